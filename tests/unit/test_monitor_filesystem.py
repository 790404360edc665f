"""File systems: space and inodes, read-only in all its forms, ext4's own counters, writes that fail."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from monitored import options, seen, tree

from noroshi.node.monitors import filesystem, mounts, probe
from noroshi.node.monitors.filesystem import FilesystemMonitor
from noroshi.node.monitors.probe import WriteProbe

MOUNTINFO = (
    "36 25 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "37 36 0:5 / /proc rw - proc proc rw\n"
    "38 36 254:1 / /srv/with\\040space rw - xfs /dev/vdb1 rw\n"
    "39 36 254:0 /home /mnt/bind rw - ext4 /dev/vda rw\n"
    "40 36 7:0 / /snap ro - squashfs /dev/loop0 ro\n"
    "short line\n"
)


def test_mountinfo_gives_each_device_once_and_no_pseudo_file_system() -> None:
    assert [(mount.point, mount.device, mount.number) for mount in mounts.parse(MOUNTINFO)] == [
        ("/", "/dev/vda", "254:0"),
        ("/srv/with space", "/dev/vdb1", "254:1"),
    ]


def _tree(root: Path, mount: str = "rw", super_options: str = "rw", kind: str = "ext4") -> Path:
    (root / "data").mkdir(exist_ok=True)
    return tree(root, {"proc/self/mountinfo": f"36 25 254:0 / /data {mount} - {kind} /dev/vda {super_options}"})


def _monitor(root: Path, **changes: object) -> FilesystemMonitor:
    return FilesystemMonitor("db1", options("filesystem", root, **{"warning": 100, "error": 100, **changes}))


def test_a_file_system_that_becomes_read_only_is_an_error_and_one_that_always_was_is_not(tmp_path: Path) -> None:
    monitor = _monitor(_tree(tmp_path))
    assert seen(monitor) == {"filesystem/db1/data": ("OK", "")}
    _tree(tmp_path, "ro")
    assert seen(monitor) == {"filesystem/db1/data": ("ERROR", "became read-only")}
    assert seen(_monitor(tmp_path)) == {"filesystem/db1/data": ("OK", "")}
    _tree(tmp_path)
    assert seen(monitor) == {"filesystem/db1/data": ("OK", "")}


def test_one_that_was_an_error_when_the_daemon_ended_is_not_read_only_on_purpose(tmp_path: Path) -> None:
    monitor = _monitor(_tree(tmp_path, "ro"))
    monitor.recall(["filesystem/db1/data"])
    assert seen(monitor) == {"filesystem/db1/data": ("ERROR", "became read-only")}


def test_a_kernel_that_keeps_rw_after_an_error_is_seen_through(tmp_path: Path) -> None:
    monitor = _monitor(_tree(tmp_path, "rw", "rw,emergency_ro"))
    assert seen(monitor) == {"filesystem/db1/data": ("ERROR", "read-only after an error")}


@pytest.mark.parametrize(("age", "state"), [(60, "ERROR"), (90_000, "WARNING")])
def test_ext4s_counters_show_an_error_that_no_mount_option_shows(tmp_path: Path, age: int, state: str) -> None:
    counters = "sys/fs/ext4/dm-3"
    _tree(tmp_path)
    tree(tmp_path, {"sys/devices/dm-3": None, "sys/dev/block/254:0": "->../../devices/dm-3"})
    tree(tmp_path, {f"{counters}/errors_count": 0, f"{counters}/last_error_time": 0})
    monitor = FilesystemMonitor(
        "db1", options("filesystem", tmp_path, warning=100, error=100), utc=lambda: 1_000_000 + age
    )
    assert seen(monitor)["filesystem/db1/data"] == ("OK", "")
    tree(tmp_path, {f"{counters}/errors_count": 2, f"{counters}/last_error_time": 1_000_000})
    tree(tmp_path, {f"{counters}/last_error_func": "ext4_lookup"})
    said = "errors recorded, the last in ext4_lookup: check it with fsck"
    assert seen(monitor)["filesystem/db1/data"] == (state, said)


def _usage(space: float, inodes: float) -> os.statvfs_result:
    free, files = round(1000 - 10 * space), round(1000 - 10 * inodes)
    return os.statvfs_result((4096, 4096, 1000, free, free, 1000, files, files, 0, 255))


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ([(50, 50)], ("OK", "")),
        ([(90, 50)], ("WARNING", "space over 90 %")),
        ([(95, 91)], ("WARNING", "space and inodes over 90 %")),
        ([(95, 97)], ("ERROR", "inodes over 97 %")),
        ([(90, 0), (89.5, 0)], ("WARNING", "space over 90 %")),
        ([(90, 0), (88.9, 0)], ("OK", "")),
        ([(97, 0), (96.5, 0)], ("ERROR", "space over 97 %")),
        ([(97, 0), (95.9, 0)], ("WARNING", "space over 90 %")),
        ([(89.5, 0)], ("OK", "")),
    ],
)
def test_use_passes_its_thresholds_and_leaves_them_with_some_slack(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    use: list[tuple[float, float]],
    expected: tuple[str, str],
) -> None:
    monitor = _monitor(_tree(tmp_path), warning=90, error=97)
    for space, inodes in use:
        monkeypatch.setattr(filesystem.os, "statvfs", lambda path, now=(space, inodes): _usage(*now))
        last = seen(monitor)
    assert last == {"filesystem/db1/data": expected}


def test_a_file_system_that_cannot_be_looked_at_is_an_error(tmp_path: Path) -> None:
    _tree(tmp_path)
    (tmp_path / "data").rmdir()
    assert seen(_monitor(tmp_path)) == {"filesystem/db1/data": ("ERROR", "cannot be read: No such file or directory")}


def test_a_write_probe_leaves_nothing_behind_and_says_what_fails(tmp_path: Path) -> None:
    directory = tmp_path / "written"
    directory.mkdir()
    monitor = _monitor(_tree(tmp_path), write=(str(directory),))
    name = f"filesystem/db1{directory}"
    assert seen(monitor)[name] == ("OK", "")
    assert list(directory.iterdir()) == []
    directory.rmdir()
    assert seen(monitor)[name] == ("ERROR", "cannot be written: No such file or directory")


def test_a_write_probe_of_a_mount_point_is_one_event_with_it(tmp_path: Path) -> None:
    monitor = _monitor(_tree(tmp_path), write=("/data/not/there",))
    tree(tmp_path, {"proc/self/mountinfo": "36 25 254:0 / /data/not/there rw - ext4 /dev/vda rw"})
    (found,) = seen(monitor).items()
    assert found == ("filesystem/db1/data/not/there", ("ERROR", "cannot be read: No such file or directory"))


def test_a_disk_that_keeps_no_nameless_files_is_probed_by_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def without_nameless(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return really(path, flags, mode)

    monkeypatch.setattr(probe.os, "open", without_nameless)
    assert probe.write(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_never_comes_back_is_said_so_and_no_other_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = [], threading.Event()

    def stuck(directory: str) -> bool:
        begun.append(directory)
        return release.wait(10)

    monkeypatch.setattr(probe, "write", stuck)
    disk = WriteProbe("/srv", limit=0.02)
    assert [disk.look(), disk.look()] == ["a write does not come back"] * 2
    assert begun == ["/srv"]
    release.set()
    patient = WriteProbe("/srv", limit=10)
    assert patient.look() == ""
