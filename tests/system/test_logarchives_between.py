"""Logs that were rotated more than once, or by another boot, between two looks: in order, and nothing left out."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from compressing import begun, looked, rotate
from logstand import Stand, append, standing
from waiting import wait_until


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path) as stand:
        yield stand


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


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("how", ["rename", "copy"])
def test_twice_rotated_and_compressed_between_two_looks(stand: Stand, how: str, empty: bool) -> None:
    """Also where nothing was there to know the first by, when it was looked at last."""
    log, inode = stand.file("app.log"), stand.file("kept")
    append(log, "first")
    monitor = stand.follow("app.log")
    append(log, "1")
    stand.wait_for("app.log", ["1"])
    if empty:
        log.rename(stand.file("app.log.9"))
        log.touch()
        looked(monitor)
    monitor.stop()
    for number, line in ((2, "2"), (1, "3")):
        append(log, line)
        os.utime(log, ns=(0, log.stat().st_mtime_ns + (3 - number) * 1_000_000_000))
        if how == "copy":
            os.link(log, inode)
        rotate(stand, f"app.log.{number}", ".gz")
        if how == "copy":
            inode.rename(log)
            os.truncate(log, 0)
    append(log, "4")
    os.utime(log, ns=(0, log.stat().st_mtime_ns + 3_000_000_000))
    monitor = stand.follow("app.log")
    stand.wait_for("app.log", ["1", "2", "3", "4"])
    assert monitor.raised == []


@pytest.mark.parametrize("seen_rotated", [False, True])
@pytest.mark.parametrize("how", ["compressed", "removed"])
def test_rotated_more_than_once_while_the_one_before_is_open_and_has_no_name_any_more(
    stand: Stand, how: str, seen_rotated: bool
) -> None:
    """Between two looks, as of a monitor that had to wait for a disk."""
    log, lines = stand.file("app.log"), ["1"]
    monitor = stand.follow("app.log")
    append(log, "1")
    stand.wait_for("app.log", lines)
    if seen_rotated:
        log.rename(stand.file("app.log.1"))
        append(log, "2")
        lines.append("2")
        stand.wait_for("app.log", lines)
    os.kill(monitor.process.pid, signal.SIGSTOP)
    tick(log)
    shift(stand)
    if how == "compressed":
        rotate(stand, "app.log.1", ".gz")
    else:
        log.unlink()
    append(log, "3")
    for line in "45":
        tick(log)
        shift(stand)
        log.rename(stand.file("app.log.1"))
        append(log, line)
    os.kill(monitor.process.pid, signal.SIGCONT)
    stand.wait_for("app.log", [*lines, "3", "4", "5"])
    assert monitor.raised == []


def shift(stand: Stand) -> None:
    """Make room for another app.log.1."""
    for number in (3, 2, 1):
        for old in (stand.file(f"app.log.{number}"), stand.file(f"app.log.{number}.gz")):
            if old.exists():
                old.rename(stand.file(old.name.replace(f".{number}", f".{number + 1}")))


def tick(log: Path) -> None:
    """Until the disk's clock, by which rotated files are put in order, has moved."""
    before, clock = log.stat().st_mtime_ns, log.with_name("clock")

    def now() -> int:
        clock.touch()
        return clock.stat().st_mtime_ns

    wait_until("the disk's clock moves", lambda: now() > before, interval=0.001)


def test_one_in_between_that_cannot_be_unpacked_is_told(stand: Stand) -> None:
    begun(stand, "1")
    append(stand.file("app.log"), "2")
    rotate(stand, "app.log.3", ".gz")
    append(stand.file("app.log"), "lost")
    rotate(stand, "app.log.2", ".lz4", lambda data: data)
    for number, line in ((1, "3"), (0, "4")):
        append(stand.file("app.log"), line)
        os.utime(stand.file("app.log"), ns=(0, stand.file("app.log").stat().st_mtime_ns + (9 - number) * 1_000_000_000))
        if number:
            rotate(stand, "app.log.1", ".gz")
    monitor = stand.follow("app.log")
    stand.wait_for("app.log", ["1", "2", "3", "4"])
    assert ["app.log.2.lz4 cannot be unpacked" in event.supplement for event in monitor.raised] == [True]


@pytest.mark.parametrize("witness", ["an archive", "another log"])
def test_device_numbers_that_are_others_after_a_restart_of_the_host_lose_nothing(stand: Stand, witness: str) -> None:
    """A file that is not found may be on a disk that is not mounted; but not where this is seen to be that disk."""
    names = ["app.log"] if witness == "an archive" else ["app.log", "other.log"]
    for name in names:
        append(stand.file(name), "first")
    monitor = stand.follow(*names)
    for name in names:
        append(stand.file(name), "1")
        stand.wait_for(name, ["1"])
    monitor.stop()
    renumber(stand.directory / "state" / "logs" / "positions")
    append(stand.file("app.log"), "2")
    os.link(stand.file("app.log"), stand.directory / "held")  # so that nobody else gets its inode number
    if witness == "an archive":
        rotate(stand, "app.log.1", ".gz")
    else:
        stand.file("app.log").unlink()
    append(stand.file("app.log"), "3")
    monitor = stand.follow(*names)
    stand.wait_for("app.log", ["1", "2", "3"] if witness == "an archive" else ["1", "3"])
    if witness == "an archive":
        assert monitor.raised == []
    else:
        wait_until("the gap is told", lambda: monitor.raised)
        assert "app.log was removed" in monitor.raised[0].supplement
    wait_until(
        "nothing is left of what is gone", lambda: monitor.alive is not None and monitor.alive.files == len(names)
    )


def renumber(positions: Path) -> None:
    """As after a boot that found the disks in another order."""
    saved = msgspec.msgpack.decode(positions.read_bytes())
    for position in saved["positions"]:
        position[3] += 1
    positions.write_bytes(msgspec.msgpack.encode(saved))
