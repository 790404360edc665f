"""The coordinator's helper as a process of its own, and the share of the time that retention takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from first import run_first
from waiting import wait_until

from noroshi.node.coordinator import care
from noroshi.node.coordinator.care import Found, Helper, Purge
from noroshi.node.coordinator.desk import Noticed, Term
from noroshi.node.coordinator.watchdog import Watchdog
from noroshi.store.backup import backups, write_backup
from noroshi.store.config import Backups, Cluster, NodeAddress, Retention
from noroshi.store.layout import Layout
from noroshi.store.tables import logs, nodes
from noroshi.store.writer import Identity, Writer, lead


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    one = Watchdog()
    yield one
    one.close()


@pytest.fixture
def leader(tmp_path: Path) -> Iterator[Writer]:
    with lead(Layout(tmp_path), Identity("a", "tcp://127.0.0.1:7402", b"1", os.getpid())) as writer:
        with writer.transaction() as connection:
            nodes.source_id(connection, nodes.node_id(connection, "a"), "/var/log/app")
        yield writer


def helper(layout: Layout, watchdog: Watchdog, every: float = 3600.0) -> Helper:
    cluster = Cluster("test", (NodeAddress("a", "127.0.0.1", 7400),), backup=Backups(every, 1))
    return Helper(Term("a", 1, "", cluster, layout), watchdog)


def step(one: Helper, later: float = 0.0) -> Found:
    """What the next process leaves, `later` seconds from now."""
    return wait_until("the helper ends", lambda: one.step(time.monotonic() + later), 20)


def test_check_then_backup_beside_a_leader_at_work(leader: Writer, tmp_path: Path, watchdog: Watchdog) -> None:
    layout = Layout(tmp_path)
    one = helper(layout, watchdog)
    assert one.step(time.monotonic()) is None, "what waited for the take-over comes first"
    assert step(one, care.SETTLE).told is None
    assert backups(layout) == []
    one.step(time.monotonic() + care.SETTLE)
    assert one.holding, "no checkpoint while it is copied"
    assert step(one, care.SETTLE).told == Noticed("coordinator/backup", "OK", "")
    assert not one.holding
    (made,) = backups(layout)
    assert one.step(time.monotonic() + 3500) is None
    assert one._process is None, "the next one is an hour after that one"
    assert step(one, 3700).told == Noticed("coordinator/backup", "OK", "")
    (newer,) = backups(layout)
    assert newer.name > made.name
    with leader.transaction() as connection:  # its lock is still its own
        logs.add_lines(connection, [(1, 1, 1, "line")])


IMPATIENT = """
import sys
if "noroshi.store.care" in sys.orig_argv:
    from noroshi.store import checking
    checking._PATIENCE = 0.2
"""
"""In the helper: this disk shows the same at every reading."""


def test_damage_is_said_and_a_backup_that_cannot_be_made_too(
    tmp_path: Path, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", run_first(tmp_path / "first", IMPATIENT)["PYTHONPATH"])
    layout = Layout(tmp_path)
    lead(layout, Identity("a", "", b"1", os.getpid())).close()
    with layout.database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 40960)
    assert step(helper(layout, watchdog), care.SETTLE).damage
    layout.database.unlink()
    layout.cluster.touch()
    one = helper(layout, watchdog)
    assert step(one, care.SETTLE).told is None
    told = step(one, 3600).told
    assert told is not None
    assert (told.event, told.state) == ("coordinator/backup", "ERROR")
    assert "no database yet" in told.supplement


def test_a_newer_backup_of_an_operator_counts(leader: Writer, tmp_path: Path, watchdog: Watchdog) -> None:
    layout = Layout(tmp_path)
    layout.backup.parent.mkdir()
    leader.close()
    write_backup(layout, layout.backup)
    one = helper(layout, watchdog)
    assert step(one, care.SETTLE).told is None
    assert one.step(time.monotonic() + 3000) is None
    assert one._process is None


def test_no_helper_outlives_its_coordinator(tmp_path: Path) -> None:
    """Also one that waits for the disk: a named pipe in place of the mark."""
    os.mkfifo(tmp_path / "noroshi.mark")
    command = [sys.executable, "-m", "noroshi.store.care", "check", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        waiting = psutil.Process(process.pid)
        wait_until("it is at work", lambda: waiting.num_threads() > 1 and "psutil" in _maps(process.pid))
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def _maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


# --- retention -------------------------------------------------------------------------------------------------------


class Clock:
    """Every look at the time costs `step` seconds."""

    def __init__(self) -> None:
        self.now, self.step = 1000.0, 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


def test_batches_fit_the_disk_and_leave_the_time_to_the_turns(
    leader: Writer, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leader.transaction() as connection:
        logs.add_lines(connection, [(1, 1, 1, "x" * 400)] * 30_000)
    leader.checkpoint_if_due(idle=True)
    clock = Clock()
    monkeypatch.setattr(care, "time", SimpleNamespace(monotonic=clock.monotonic))
    purge = Purge(leader, watchdog, Retention(size=8 * 1024 * 1024))

    def batch(seconds: float) -> tuple[int, float]:
        """One that takes so long: rows gone, seconds of pause after it."""
        before = leader.read(lambda connection: connection.execute("SELECT count(*) FROM logs").get)
        clock.now = purge.next_at
        clock.step = seconds
        purge.step(clock.now, 10)
        clock.step = 0.0
        leader.checkpoint_if_due(idle=True)
        after = leader.read(lambda connection: connection.execute("SELECT count(*) FROM logs").get)
        return before - after, purge.next_at - clock.now

    gone, pause = batch(0.1)
    assert gone == care.ROWS_FIRST
    assert pause == pytest.approx(0.1 / 9, abs=1e-3), "nine tenths of the time while the size is passed by much"
    assert batch(0.1)[0] == care.ROWS_FIRST // 2
    assert batch(0.01)[0] == care.ROWS_FIRST // 4
    assert batch(0.01)[0] == care.ROWS_FIRST // 2
    while (over := purge._retention.over(leader._connection)) > 1.05:
        batch(care.between(over, care.TARGET, care.TARGET_MOST))  # as it should be: the next is as large
    gone, pause = batch(0.01)
    assert gone > 0
    assert 2 * 0.01 < pause < 9.1 * 0.01, "a small share of it then"
    while batch(0.005)[0]:
        pass
    assert purge._retention.over(leader._connection) <= 1
    assert purge.next_at == pytest.approx(clock.now + care.LOOK, abs=0.1)


def test_nothing_goes_for_its_age_before_the_clock_could_be_set(
    leader: Writer, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leader.transaction() as connection:
        logs.add_lines(connection, [(1, 1, 1, "x")] * 10)
    clock = Clock()
    monkeypatch.setattr(care, "time", SimpleNamespace(monotonic=clock.monotonic))
    purge = Purge(leader, watchdog, Retention())

    def left() -> int:
        return int(leader.read(lambda connection: connection.execute("SELECT count(*) FROM logs").get))

    wrong = 4_000_000_000_000_000
    purge.step(clock.now + care.SETTLE, wrong)
    assert left() == 10
    purge.step(clock.now + care.AGE_GRACE, wrong)
    assert left() == 1
