"""Logs that were compressed before they were read to their end: real files, the log monitor's own process."""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compressing import PACKERS, begun, looked, rotate
from logstand import Stand, append, standing
from waiting import wait_until


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path) as stand:
        yield stand


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("pattern", ["app.log", "*"])
def test_what_was_compressed_meanwhile_is_finished_and_never_a_log_of_its_own(
    stand: Stand, suffix: str, pattern: str
) -> None:
    append(stand.file("app.log"), "first")
    stand.follow(pattern)
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    stand.monitors[0].stop()
    append(stand.file("app.log"), "2", "3")
    rotate(stand, "app.log.1", suffix)
    append(stand.file("app.log"), "4")
    monitor = stand.follow(pattern)
    stand.wait_for("app.log", ["1", "2", "3", "4"])
    append(stand.file("app.log"), "5")
    stand.wait_for("app.log", ["1", "2", "3", "4", "5"])
    assert set(stand.coordinator.shelf.lines) == {str(stand.file("app.log"))} and monitor.raised == []


@pytest.mark.parametrize("pattern", ["app.log", "*.log"])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_log_that_was_compressed_before_it_was_ever_seen(stand: Stand, pattern: str, stopped: bool) -> None:
    append(stand.file("app.log"), "of an earlier service")
    old = rotate(stand, "app.log.9", ".gz")
    os.utime(old, ns=(0, old.stat().st_mtime_ns - 5_000_000_000))
    monitor = stand.follow(pattern)
    if stopped:
        monitor.stop()
    for number in (2, 1):
        unseen = stand.file("app.unseen")
        append(unseen, str(number))
        os.utime(unseen, ns=(0, unseen.stat().st_mtime_ns + (9 - number) * 1_000_000_000))
        stand.file(f"app.log.{number}.gz").write_bytes(gzip.compress(unseen.read_bytes()))
        os.utime(stand.file(f"app.log.{number}.gz"), ns=(0, unseen.stat().st_mtime_ns))
        unseen.unlink()
    stand.file("app.new").write_text("3\n")
    stand.file("app.new").rename(stand.file("app.log"))
    if stopped:
        monitor = stand.follow(pattern)
    stand.wait_for("app.log", ["2", "1", "3"])
    assert monitor.raised == []


def test_what_was_read_to_its_end_and_is_gone_is_not_read_again_from_its_compressed_copy(stand: Stand) -> None:
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1", "2")
    stand.wait_for("app.log", ["1", "2"])
    wait_until("it is followed", lambda: monitor.alive is not None and monitor.alive.files == 1)
    rotate(stand, "app.log.1", ".gz")
    wait_until("it is forgotten", lambda: monitor.alive is not None and monitor.alive.files == 0)
    append(stand.file("app.log"), "3")
    stand.wait_for("app.log", ["1", "2", "3"])


def test_copied_truncated_and_compressed_meanwhile(stand: Stand) -> None:
    begun(stand, "1")
    append(stand.file("app.log"), "2")
    content, seen = stand.file("app.log").read_bytes(), stand.file("app.log").stat()
    stand.file("app.log.1.gz").write_bytes(gzip.compress(content))
    os.utime(stand.file("app.log.1.gz"), ns=(seen.st_atime_ns, seen.st_mtime_ns))
    os.truncate(stand.file("app.log"), 0)
    append(stand.file("app.log"), "something longer than all that was there before")
    monitor = stand.follow("app.log")
    stand.wait_for("app.log", ["1", "2", "something longer than all that was there before"])
    assert monitor.raised == []


def test_what_was_read_and_not_yet_taken_when_its_file_went_is_found_again_after_a_kill(stand: Stand) -> None:
    """Copied and truncated first, so that it goes on in the copy, which is not opened, for it was read; then packed."""
    begun(stand, "1")
    stand.coordinator.judge = lambda batch: "drop"
    monitor, before = stand.follow("app.log"), stand.coordinator.batches
    append(stand.file("app.log"), "2", "3")
    wait_until("it is read, and sent in vain", lambda: stand.coordinator.batches > before)
    stand.file("app.log.1").write_bytes(stand.file("app.log").read_bytes())
    os.truncate(stand.file("app.log"), 0)
    looked(monitor)
    seen = stand.file("app.log.1").stat()
    stand.file("app.log.1.gz").write_bytes(gzip.compress(stand.file("app.log.1").read_bytes()))
    os.utime(stand.file("app.log.1.gz"), ns=(seen.st_atime_ns, seen.st_mtime_ns))
    stand.file("app.log.1").unlink()
    looked(monitor)
    monitor.kill()
    stand.coordinator.judge = lambda batch: None
    append(stand.file("app.log"), "4")
    stand.follow("app.log")
    stand.wait_for("app.log", ["1", "2", "3", "4"])
    assert stand.coordinator.shelf.lost == 0


def test_a_monitor_killed_while_it_unpacks_goes_on_there(stand: Stand) -> None:
    begun(stand, "1")
    lines = [f"{number} ".ljust(500, "x") for number in range(40_000)]
    append(stand.file("app.log"), *lines)
    rotate(stand, "app.log.1", ".gz")
    append(stand.file("app.log"), "last")
    stand.coordinator.judge = lambda batch: "drop" if len(stand.stored("app.log")) > 5000 else None
    monitor = stand.follow("app.log")
    wait_until("some are stored", lambda: len(stand.stored("app.log")) > 5000)
    monitor.kill()
    before = len(stand.stored("app.log"))
    stand.coordinator.judge = lambda batch: None
    stand.follow("app.log")
    wait_until("all are stored", lambda: len(stand.stored("app.log")) >= len(lines) + 2, 40)
    assert before < len(lines) and stand.stored("app.log") == ["1", *lines, "last"]


def test_what_is_unpacked_and_stored_takes_no_room_on_the_disk(stand: Stand) -> None:
    begun(stand, "1")
    lines = [f"{number} ".ljust(500, "x") for number in range(60_000)]
    append(stand.file("app.log"), *lines)
    rotate(stand, "app.log.1", ".gz")
    monitor = stand.follow("app.log")
    most = 0

    def stored() -> bool:
        nonlocal most
        most = max(most, room(monitor.process.pid))
        return len(stand.stored("app.log")) > len(lines)

    wait_until("all are stored", stored, 40, 0.005)
    assert stand.stored("app.log") == ["1", *lines]
    assert 0 < most < 16 * 1024 * 1024


@pytest.mark.root
@pytest.mark.parametrize("left", [512 * 1024, 0])
def test_with_the_own_disk_full_it_is_told_waits_and_loses_nothing(stand: Stand, left: int) -> None:
    state = stand.directory / "state"
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", state], check=False).returncode:
        pytest.skip("needs root and a tmpfs")
    try:
        begun(stand, "1")
        lines = [f"{number} ".ljust(500, "x") for number in range(10_000)]
        append(stand.file("app.log"), *lines)
        rotate(stand, "app.log.1", ".gz")
        filling = state / "filling"
        disk = os.statvfs(state)
        filling.write_bytes(bytes(disk.f_bavail * disk.f_frsize - left))
        monitor = stand.follow("app.log")
        wait_until("it is told", lambda: any("free room" in event.supplement for event in monitor.raised))
        filling.unlink()
        stand.wait_for("app.log", ["1", *lines])
        wait_until("all is well", lambda: monitor.raised[-1].state == "OK")
        assert monitor.count("gaps") == 0
        monitor.stop()
    finally:
        subprocess.run(["umount", "--lazy", state], check=True)


def room(process: int) -> int:
    """Bytes on the disk of the files without a name that a process has."""
    total = 0
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            seen = descriptor.stat()
            total += seen.st_blocks * 512 if stat.S_ISREG(seen.st_mode) and not seen.st_nlink else 0
    return total


@pytest.mark.parametrize("suffix", [".zst", ".lz4", ".gz"])
def test_what_cannot_be_unpacked_here_or_is_broken_is_told(stand: Stand, suffix: str) -> None:
    begun(stand, "1")
    append(stand.file("app.log"), "2")
    os.utime(stand.file("app.log"), ns=(0, stand.file("app.log").stat().st_mtime_ns + 1_000_000))
    rotate(stand, "app.log.1", suffix, lambda data: b"\x28\xb5\x2f\xfd" + data)
    monitor = stand.follow("app.log")
    wait_until("it is told", lambda: monitor.raised)
    words = [event.supplement for event in monitor.raised]
    assert any(f"app.log.1{suffix} cannot be unpacked" in each and "delaycompress" in each for each in words)
    wait_until("it is a gap", lambda: monitor.count("gaps"))
    assert monitor.raised[0].state == "WARNING"


def test_a_compressed_file_that_ends_too_soon_is_a_gap(stand: Stand) -> None:
    begun(stand, "1")
    append(stand.file("app.log"), *[os.urandom(300).hex() for _ in range(100)])
    packed = rotate(stand, "app.log.1", ".gz")
    seen = packed.stat()
    os.truncate(packed, seen.st_size // 2)
    os.utime(packed, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    append(stand.file("app.log"), "next")
    monitor = stand.follow("app.log")
    wait_until("the next is stored", lambda: stand.stored("app.log")[-1:] == ["next"])
    told = "cannot be unpacked to its end"
    wait_until("it is told", lambda: any(told in event.supplement for event in monitor.raised))
    monitor.await_signs(1)
    assert monitor.count("gaps") == 1


def test_an_older_compressed_file_that_begins_alike_is_left_alone(stand: Stand) -> None:
    append(stand.file("app.log"), "same", "OLD")
    old = rotate(stand, "app.log.1", ".gz")
    os.utime(old, ns=(0, old.stat().st_mtime_ns - 5_000_000_000))
    append(stand.file("app.log"), "same")
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    monitor.stop()
    stand.file("app.log").unlink()
    append(stand.file("app.log"), "new")
    monitor = stand.follow("app.log")
    stand.wait_for("app.log", ["1", "new"])
    wait_until("the gap is told", lambda: monitor.raised)
