"""Who leads, with real processes: paused, deposed, silent, starting at once, with a wrong clock, alone or two."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from cluster import Cluster
from commands import noroshi_json
from first import SILENT_SOONER, run_first
from waiting import wait_until

from noroshi.node.exits import EXIT_DEPOSED
from noroshi.store import lock, views

pytestmark = pytest.mark.slow


@contextmanager
def cluster(root: Path, *names: str, **rest: object) -> Iterator[Cluster]:
    with Cluster(root / "c", names, **rest) as made:  # type: ignore[arg-type]
        yield made


def coordinator_of(running: Cluster, node: str) -> psutil.Process:
    process = running.coordinator_process(node)
    assert process is not None
    return process


def pause(process: psutil.Process) -> None:
    process.send_signal(signal.SIGSTOP)
    wait_until("it is stopped", lambda: process.status() == psutil.STATUS_STOPPED)


def raise_term(running: Cluster, by: int) -> None:
    """What a successor does first, as seen by a leader that cannot look."""
    record = lock.read_lock(running.layout)
    assert record is not None
    other = lock.LockRecord("elsewhere", record.term + by, "tcp://10.0.0.9:1", 1, record.since_us)
    descriptor = os.open(running.layout.lock, os.O_WRONLY)
    try:
        os.pwrite(descriptor, lock.encode(other), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_a_paused_leader_whose_term_was_raised_acknowledges_nothing_and_exits(tmp_path: Path) -> None:
    with cluster(tmp_path, "a", "b", "c") as running:
        running.start()
        old = running.await_up()
        process = coordinator_of(running, old.node)
        pause(process)
        raise_term(running, by=7)
        other = running.other_than(old.node)
        for number in range(20):
            running.raise_on(other, f"app/{number}", "ERROR")
        process.send_signal(signal.SIGCONT)
        assert running.await_leader(not_term=old.term + 7).term > old.term + 7
        wait_until("the old one has ended", lambda: not process.is_running())
        said = running.nodes[old.node]
        wait_until("its daemon says how", lambda: f"ended with status {EXIT_DEPOSED}" in said.stderr)
        wait_until("all stored by the next leader", lambda: len(running.events("app/*")) == 20)
        assert [event.count for event in running.events("app/*")] == [1] * 20
        terms = running.query(views.terms) or ()
        stored = min(event.stored_at for event in running.events("app/*"))
        assert stored >= terms[-1].since, "nothing was taken in the old term"


def test_a_coordinator_that_does_not_answer_is_ended_by_its_daemon(tmp_path: Path) -> None:
    """A stopped process never frees its lock: without its daemon nobody could ever lead again."""
    environment = dict.fromkeys("ab", run_first(tmp_path / "first", SILENT_SOONER))
    with cluster(tmp_path, "a", "b", environment=environment) as running:
        running.start()
        old = running.await_up()
        process = coordinator_of(running, old.node)
        pause(process)
        running.raise_on(running.other_than(old.node), "app/meanwhile", "ERROR")
        new = running.await_leader(not_term=old.term, timeout=40)
        assert new.term == old.term + 1
        wait_until("the old one has ended", lambda: not process.is_running())
        assert "has not answered for" in running.nodes[old.node].stderr
        wait_until("stored", lambda: [event.count for event in running.events("app/meanwhile")] == [1])


def test_nodes_that_start_at_once_agree_on_one_leader(tmp_path: Path) -> None:
    with cluster(tmp_path, "a", "b", "c", "d") as running:
        for term in range(1, 3):
            running.start()
            running.await_up()  # as it was before, at first: the lock is held before its record is written
            leader = running.await_leader(not_term=term - 1)
            wait_until(
                "all others have given up",
                lambda leader=leader: [n for n in running.names if running.coordinator_process(n)] == [leader.node],
            )
            assert len(running.query(views.terms) or ()) == term, "one leader each time"
            for name in running.names:
                running.kill(name)


@pytest.mark.parametrize("names", [("a",), ("a", "b")], ids=["one", "two"])
def test_a_small_cluster_leads_and_comes_back(tmp_path: Path, names: tuple[str, ...]) -> None:
    with cluster(tmp_path, *names) as running:
        running.start()
        first = second = running.await_up()
        running.raise_on(first.node, "app/before", "OK")
        running.kill(first.node)
        if len(names) == 2:
            second = running.await_leader(not_term=first.term)
            assert second.node != first.node
            wait_until("DOWN", lambda: running.states().get(f"server/{first.node}") == "DOWN")
            running.kill(second.node)
        running.start()
        running.await_up()
        last = running.await_leader(not_term=second.term)  # the lock is held a moment before the record is new
        assert last.term == first.term + len(names)
        running.raise_on(last.node, "app/after", "OK")
        wait_until("both", lambda: {e.event for e in running.events("app/*")} == {"app/before", "app/after"})
        status_shows_who_led(running, *dict.fromkeys([first, second, last]))


def status_shows_who_led(running: Cluster, *leaders: lock.LockRecord) -> None:
    """Now, and before."""
    shown = noroshi_json(running, running.names[-1], "status")["coordinator"]
    assert (shown["node"], shown["term"]) == (leaders[-1].node, leaders[-1].term)
    history = noroshi_json(running, running.names[-1], "status", "--terms")
    assert [(row["node"], row["term"]) for row in history] == [(leader.node, leader.term) for leader in leaders]
    since = [row["since"] for row in history]
    assert since == sorted(since)
    assert shown["since"] == since[-1]


SHIFTED = """
import time
_time, _time_ns, _OFFSET = time.time, time.time_ns, {offset}
time.time = lambda: _time() + _OFFSET
time.time_ns = lambda: _time_ns() + _OFFSET * 1_000_000_000
"""
"""Run by every Python of the node before anything else: the wall clock is off, the monotonic one is not."""


def shifted(folder: Path, seconds: int) -> dict[str, str]:
    return run_first(folder, SHIFTED.format(offset=seconds))


def test_clocks_that_are_an_hour_off_decide_nothing(tmp_path: Path) -> None:
    environment = {"b": shifted(tmp_path / "fast", 3600), "c": shifted(tmp_path / "slow", -3600)}
    with cluster(tmp_path, "a", "b", "c", environment=environment) as running:
        running.start("b")
        first = running.await_leader()
        running.start("a", "c")
        running.await_up()
        running.raise_on("b", "app/x", "ERROR", "seen by a clock that is fast")
        wait_until("ERROR", lambda: running.states().get("app/x") == "ERROR")
        running.raise_on("c", "app/x", "OK", "seen by a clock that is slow")
        wait_until("what was said last holds", lambda: running.states().get("app/x") == "OK")
        observed = {event.node: event.observed_at for event in running.events("app/x")}
        assert 7100e6 < observed["b"] - observed["c"] < 7300e6, "the clocks are off"
        running.kill("b")
        second = running.await_leader(not_term=first.term)
        wait_until("DOWN", lambda: running.states().get("server/b") == "DOWN")
        assert second.since_us < first.since_us, "time went back, and the term counts"
        assert second.term == first.term + 1
        running.start("b")
        running.await_up()
        assert running.await_leader().term == second.term, "nobody is deposed by a clock"
        words = [event.state for event in running.events("server/b")]
        assert words == ["UP", "DOWN", "UP"]


def isolated() -> tuple[str, ...]:
    """A process-id namespace of its own, as another host has: nobody else can look whether a process there lives."""
    return ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_the_first_checkpoint_waits_until_the_old_leaders_node_is_known_to_have_restarted(tmp_path: Path) -> None:
    prefixes = {name: isolated() for name in ("a", "b", "c")}
    with cluster(tmp_path, "a", "b", "c", prefixes=prefixes) as running:
        running.start()
        old = running.await_up()
        running.kill(old.node)
        new = running.await_leader(not_term=old.term)
        running.raise_on(new.node, "app/x", "ERROR")
        wait_until("DOWN", lambda: running.states().get(f"server/{old.node}") == "DOWN")
        wait_until("stored", lambda: running.states().get("app/x") == "ERROR")
        size = running.layout.wal.stat().st_size
        assert size > 0
        with pytest.raises(AssertionError):
            wait_until("a checkpoint", lambda: running.layout.wal.stat().st_size == 0, timeout=2.5)
        running.start(old.node)
        wait_until("a checkpoint, for the old leader has ended", lambda: running.layout.wal.stat().st_size == 0)
        running.await_up()
        assert running.await_leader().term == new.term
