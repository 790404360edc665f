"""Leaders at the moment SQLite writes: a host paused in the middle of a checkpoint, a write that fails.

The storage is one that frees the locks of a host it has lost: the lock file is put there anew, and SQLite runs
without POSIX locks.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cluster import Cluster
from first import run_first
from lost_lock import free_lock
from waiting import wait_until

from noroshi.node.exits import EXIT_DEPOSED
from noroshi.store import views
from noroshi.store.soundness import integrity

pytestmark = pytest.mark.slow

STORE_TESTS = Path(__file__).parent.parent / "store"
HOOKED = """
import sys
if "coordinator" in sys.orig_argv:
    sys.path.append({there!r})
    import os, pathlib, signal
    import apsw
    from hooked import HookedVFS
    from noroshi.store import writer
    gate = pathlib.Path({gate!r})

    def before(what, path):
        if what == "write" and path.endswith({file!r}) and gate.exists():
            gate.unlink()
            {does}

    made = HookedVFS("test-disk", "unix-none", before=before)
    writer.VFS = made.name
"""
"""In every coordinator; the first that writes to the file while the gate is there closes it and meets what it does."""
PAUSES_THE_HOST = "os.killpg(0, signal.SIGSTOP)"
FAILS = "raise apsw.IOError('the disk is gone')"
NAMES = ("a", "b", "c")


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    file, does = request.param
    code = HOOKED.format(there=str(STORE_TESTS), gate=str(tmp_path / "gate"), file=file, does=does)
    environment = dict.fromkeys(NAMES, run_first(tmp_path / "first", code))
    with Cluster(tmp_path / "c", NAMES, environment=environment) as made:
        made.start()
        made.await_up()
        yield made


def stopped(running: Cluster, node: str) -> psutil.Process | None:
    """The node's coordinator, once the host is paused."""
    process = running.coordinator_process(node)
    return process if process is not None and process.status() == psutil.STATUS_STOPPED else None


def counts(running: Cluster) -> dict[str, int]:
    return {event.event: event.count for event in running.events("app/**")}


@pytest.mark.parametrize("running", [("noroshi.db", PAUSES_THE_HOST)], indirect=True, ids=["paused"])
def test_a_host_paused_in_its_checkpoint_wakes_up_replaced_and_the_next_checkpoint_has_waited(
    running: Cluster, tmp_path: Path
) -> None:
    old = running.await_leader()
    other = running.other_than(old.node)
    (tmp_path / "gate").touch()
    running.raise_on(other, "app/before", "ERROR")  # its own node may be paused before it can answer
    process = wait_until("paused in its copy", lambda: stopped(running, old.node))
    running.raise_on(other, "app/asked-of-the-paused-one", "ERROR")
    wait_until("it is not heard", lambda: f"{old.node}: SUSPECT -> DOWN" in running.nodes[other].stderr)
    free_lock(running.layout.lock)
    new = running.await_leader(not_term=old.term)
    assert new.term == old.term + 1
    wait_until("stored by the next one", lambda: running.states().get(f"server/{old.node}") == "DOWN")
    running.raise_on(other, "app/after", "ERROR")
    wait_until("all three", lambda: len(counts(running)) == 3)
    with pytest.raises(AssertionError):
        wait_until("a checkpoint", lambda: running.layout.wal.stat().st_size == 0, timeout=2.5)
    assert process.status() == psutil.STATUS_STOPPED
    running.signal_group(old.node, signal.SIGCONT)
    wait_until("a checkpoint", lambda: running.layout.wal.stat().st_size == 0)
    assert not process.is_running(), "not before the old one had ended"
    said = running.nodes[old.node]
    wait_until("its daemon says how", lambda: f"ended with status {EXIT_DEPOSED}" in said.stderr)
    running.await_up()
    running.raise_on(old.node, "app/again", "ERROR")
    wait_until("four", lambda: len(counts(running)) == 4)
    assert set(counts(running).values()) == {1}
    assert running.await_leader().term == new.term
    assert [term.term for term in running.query(views.terms) or ()] == [old.term, new.term]
    assert running.query(integrity) == ""


@pytest.mark.parametrize("running", [("noroshi.db-wal", FAILS)], indirect=True, ids=["failed"])
def test_a_write_that_fails_is_final_nothing_is_acknowledged_and_the_next_term_has_all(
    running: Cluster, tmp_path: Path
) -> None:
    old = running.await_leader()
    process = running.coordinator_process(old.node)
    assert process is not None
    (tmp_path / "gate").touch()
    for number in range(10):
        running.raise_on(running.other_than(old.node), f"app/{number}", "ERROR")
    new = running.await_leader(not_term=old.term)
    assert new.term == old.term + 1
    wait_until("it has ended", lambda: not process.is_running())
    wait_until("said so", lambda: "ended with status 1" in running.nodes[old.node].stderr)
    assert "the disk is gone" in running.nodes[old.node].stderr
    wait_until("all", lambda: len(counts(running)) == 10)
    assert set(counts(running).values()) == {1}
    began = (running.query(views.terms) or ())[-1].since
    assert min(event.stored_at for event in running.events("app/*")) >= began, "the failed write was not tried again"
