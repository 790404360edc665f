"""The monitors, on file trees that stand for the hardware."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from noroshi.node.daemon import monitoring
from noroshi.node.daemon.monitoring import Monitoring
from noroshi.node.monitors import filesystem, raid
from noroshi.node.monitors.observation import Observation
from noroshi.node.monitors.registry import MONITORS, build
from noroshi.store.config import MONITORS as CONFIGURED

HEALTHY = """Personalities : [raid1]
md0 : active raid1 sdb1[1] sda1[0]
      1046528 blocks super 1.2 [2/2] [UU]

unused devices: <none>
"""
DEGRADED = HEALTHY.replace("sda1[0]", "sda1[0](F)").replace("[2/2] [UU]", "[2/1] [_U]")
REBUILDING = DEGRADED + "      [=>....]  recovery =  7.5% (78848/1046528) finish=0.2min speed=78848K/sec\n"
INACTIVE = "md1 : inactive sdc1[0](S)\n      1048576 blocks super 1.2\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEALTHY, {"md0": ("OK", "")}),
        (DEGRADED, {"md0": ("DEGRADED", "1 of 2 members in sync, failed: sda1")}),
        (REBUILDING, {"md0": ("DEGRADED", "1 of 2 members in sync, failed: sda1")}),
        (INACTIVE, {"md1": ("ERROR", "inactive")}),
        (HEALTHY + INACTIVE, {"md0": ("OK", ""), "md1": ("ERROR", "inactive")}),
        ("Personalities :\nunused devices: <none>\n", {}),
    ],
)
def test_mdstat(text: str, expected: dict[str, tuple[str, str]]) -> None:
    assert raid.parse(text) == expected


def test_a_kernel_without_md_reports_nothing(tmp_path: Path) -> None:
    assert raid.RaidMonitor("db1", {"root": str(tmp_path)}).observe() == []


def test_an_array_is_named_after_the_node(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "mdstat").write_text(DEGRADED)
    (seen,) = raid.RaidMonitor("db1", {"root": str(tmp_path)}).observe()
    assert (seen.name, seen.state) == ("raid/db1/md0", "DEGRADED")


MOUNTINFO = (
    "36 25 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "37 36 0:5 / /proc rw - proc proc rw\n"
    "38 36 254:1 / /srv/with\\040space rw - xfs /dev/vdb1 rw\n"
    "39 36 254:0 /home /mnt/bind rw - ext4 /dev/vda rw\n"
    "40 36 7:0 / /snap ro - squashfs /dev/loop0 ro\n"
    "short line\n"
)


def test_mountinfo_gives_each_device_once_and_no_pseudo_file_system() -> None:
    assert [(mount.point, mount.device) for mount in filesystem.parse(MOUNTINFO)] == [
        ("/", "/dev/vda"),
        ("/srv/with space", "/dev/vdb1"),
    ]


def _tree(root: Path, options: str, super_options: str = "rw") -> None:
    (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
    (root / "data").mkdir(exist_ok=True)
    line = f"36 25 254:0 / /data {options} - ext4 /dev/vda {super_options}\n"
    (root / "proc" / "self" / "mountinfo").write_text(line)


def _look(monitor: filesystem.FilesystemMonitor) -> Observation:
    (seen,) = monitor.observe()
    return seen


def test_a_file_system_that_becomes_read_only_is_an_error_and_one_that_always_was_is_not(tmp_path: Path) -> None:
    _tree(tmp_path, "rw")
    monitor = filesystem.FilesystemMonitor("db1", {"root": str(tmp_path), "warning": 100, "error": 100})
    assert _look(monitor) == Observation("filesystem/db1/data", "OK", "")
    _tree(tmp_path, "ro")
    assert _look(monitor) == Observation("filesystem/db1/data", "ERROR", "became read-only")
    born_read_only = filesystem.FilesystemMonitor("db1", {"root": str(tmp_path), "warning": 100, "error": 100})
    assert _look(born_read_only).state == "OK"


def test_a_kernel_that_keeps_rw_after_an_error_is_seen_through(tmp_path: Path) -> None:
    _tree(tmp_path, "rw", "rw,emergency_ro")
    seen = _look(filesystem.FilesystemMonitor("db1", {"root": str(tmp_path)}))
    assert (seen.state, seen.supplement) == ("ERROR", "read-only after an error")


def test_space_and_inodes_pass_their_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tree(tmp_path, "rw")
    full = os.statvfs_result((4096, 4096, 100, 5, 5, 100, 1, 1, 0, 255))
    monkeypatch.setattr(filesystem.os, "statvfs", lambda path: full)
    seen = _look(filesystem.FilesystemMonitor("db1", {"root": str(tmp_path)}))
    assert (seen.state, seen.supplement) == ("ERROR", "inodes over 97 %")
    seen = _look(filesystem.FilesystemMonitor("db1", {"root": str(tmp_path), "error": 99.5, "warning": 95}))
    assert (seen.state, seen.supplement) == ("WARNING", "space and inodes over 95 %")


def test_what_the_node_file_names_is_built_and_every_known_name_can_be(tmp_path: Path) -> None:
    assert sorted(build("db1", {"raid": {"interval": 5.0}})) == ["raid"]
    assert sorted(MONITORS) == sorted(CONFIGURED)
    assert build("db1", {}) == {}


class _Scripted:
    """A monitor that says, or raises, one thing after the other, then repeats the last."""

    def __init__(self, *script: list[Observation] | Exception) -> None:
        self.interval = 0.01
        self._script = list(script)

    def observe(self) -> list[Observation]:
        item = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(item, Exception):
            raise item
        return item


async def _raised_by(monitor: _Scripted | _Hanging, count: int) -> list[tuple[str, str, str]]:
    raised: list[tuple[str, str, str]] = []
    enough = asyncio.Event()

    async def raise_event(event: str, state: str, supplement: str) -> None:
        raised.append((event, state, supplement))
        if len(raised) >= count:
            enough.set()

    shell = Monitoring("db1", {"test": monitor}, raise_event)
    shell.start()
    await asyncio.wait_for(enough.wait(), 10)
    await shell.stop()
    return raised


def test_only_changes_are_sent_and_a_failing_monitor_says_so_and_recovers() -> None:
    fine, bad = [Observation("raid/db1/md0", "OK")], [Observation("raid/db1/md0", "DEGRADED", "1 of 2")]
    monitor = _Scripted(fine, fine, bad, OSError(5, "Input/output error"), fine)
    assert asyncio.run(_raised_by(monitor, 5)) == [
        ("raid/db1/md0", "OK", ""),
        ("raid/db1/md0", "DEGRADED", "1 of 2"),
        ("monitor/db1/test", "ERROR", "failed: [Errno 5] Input/output error"),
        ("monitor/db1/test", "OK", ""),
        ("raid/db1/md0", "OK", ""),
    ]


class _Hanging:
    interval = 0.01

    def __init__(self) -> None:
        self.release = threading.Event()

    def observe(self) -> list[Observation]:
        self.release.wait(10)
        return []


def test_a_hanging_monitor_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "HANG_LIMIT", 0.05)
    monitor = _Hanging()
    try:
        (raised,) = asyncio.run(_raised_by(monitor, 1))
    finally:
        monitor.release.set()
    assert raised == ("monitor/db1/test", "ERROR", "hangs: what it looks at does not answer")
