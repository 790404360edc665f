"""Logs that were compressed before they were read to their end: real files, the log monitor's own process."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from logstand import Stand, append, standing
from waiting import wait_until

PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path) as stand:
        yield stand


def rotate(stand: Stand, to: str, suffix: str, pack: Callable[[bytes], bytes] | None = None) -> Path:
    """Rename app.log and compress it, keeping its time as logrotate does."""
    log, packed = stand.file("app.log"), stand.file(to + suffix)
    seen = log.stat()
    packed.write_bytes((pack or PACKERS[suffix])(log.read_bytes()))
    os.utime(packed, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    log.unlink()
    return packed


def begun(stand: Stand, *lines: str) -> None:
    """A monitor has followed app.log up to these lines, and was stopped."""
    append(stand.file("app.log"), "first")
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), *lines)
    stand.wait_for("app.log", list(lines))
    monitor.stop()


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


def test_several_that_were_compressed_meanwhile_come_in_their_order(stand: Stand) -> None:
    begun(stand, "1")
    for day, line in enumerate(["2", "3", "4"]):
        append(stand.file("app.log"), line)
        os.utime(stand.file("app.log"), ns=(0, stand.file("app.log").stat().st_mtime_ns + day * 1_000_000_000))
        rotate(stand, f"app.log-2026112{day}", ".gz")
    append(stand.file("app.log"), "5")
    os.utime(stand.file("app.log"), ns=(0, stand.file("app.log").stat().st_mtime_ns + 9_000_000_000))
    monitor = stand.follow("app.log")
    stand.wait_for("app.log", ["1", "2", "3", "4", "5"])
    assert monitor.raised == []


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


def room(process: int) -> int:
    """Bytes on the disk of the files without a name that a process has."""
    total = 0
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            seen = descriptor.stat()
            total += seen.st_blocks * 512 if stat.S_ISREG(seen.st_mode) and not seen.st_nlink else 0
    return total


def test_what_cannot_be_unpacked_here_or_is_broken_is_told(stand: Stand) -> None:
    begun(stand, "1")
    append(stand.file("app.log"), "2")
    os.utime(stand.file("app.log"), ns=(0, stand.file("app.log").stat().st_mtime_ns + 1_000_000))
    rotate(stand, "app.log.1", ".zst", lambda data: b"\x28\xb5\x2f\xfd" + data)
    monitor = stand.follow("app.log")
    wait_until("it is told", lambda: monitor.raised)
    words = [event.supplement for event in monitor.raised]
    assert any("app.log.1.zst cannot be unpacked" in each and "delaycompress" in each for each in words)
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
