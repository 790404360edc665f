"""A leader stopped with SIGSTOP, replaced, and continued: it acknowledges nothing any more and ends as deposed.

The storage is one that frees the locks of a host it has lost: the lock file is put there anew, and SQLite runs
without POSIX locks.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from hooked import HookedVFS
from stores import Child, Say, checked, drop_lock, lead, look_at, move, open_accounts, running
from waiting import wait_until

from noroshi.store import writer
from noroshi.store.errors import Deposed
from noroshi.store.layout import Layout


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(writer, "VFS", "unix-none")
    layout = Layout(tmp_path)
    with running(lambda say: found(layout)) as founder:
        assert founder.rest() == []
    return layout


def found(layout: Layout) -> None:
    with lead(layout, "first") as leader:
        open_accounts(leader)
        leader.checkpoint_if_due(idle=True)


def stop(child: Child) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    wait_stopped(child)


def wait_stopped(child: Child) -> None:
    wait_until("the leader is stopped", lambda: "\nState:\tT" in Path(f"/proc/{child.pid}/status").read_text())


def go_on(child: Child) -> None:
    os.kill(child.pid, signal.SIGCONT)


def moves_for_ever(layout: Layout, say: Say) -> None:
    with lead(layout, "old") as leader:
        say("leads")
        while True:
            say(move(leader, *random.sample("abc", 2)))
            leader.checkpoint_if_due(idle=random.random() < 0.3)


def moves_twice(layout: Layout, say: Say) -> None:
    """The new leader: says what it found, moves, and tries to checkpoint; on the parent's word tries again."""
    with lead(layout, "new") as leader:
        say(leader.read(checked).serial)
        move(leader, "a", "b")
        say(move(leader, "b", "c"))
        say(leader.checkpoint_if_due(idle=True))
        signal.sigwait([signal.SIGUSR1])
        say(leader.checkpoint_if_due(idle=True))
        say(leader.read(checked).serial)


@pytest.fixture(autouse=True)
def _word_is_kept() -> object:
    """SIGUSR1 waits for sigwait in every child."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


@pytest.mark.parametrize("commits", [1, 4, 9])
def test_it_acknowledges_nothing_after_it_was_replaced(disk: Layout, commits: int) -> None:
    with running(lambda say: moves_for_ever(disk, say)) as old:
        for _ in range(1 + commits):
            old.line()
        stop(old)
        drop_lock(disk)
        with running(lambda say: moves_twice(disk, say)) as new:
            found_serial, acknowledged = int(new.line()), int(new.line())
            assert new.line() == "False", "it must not checkpoint while the old leader may still write"
            go_on(old)
            *late, last = old.rest()
            assert last.startswith("Deposed: ")
            assert all(int(serial) <= found_serial for serial in late), "acknowledged and lost"
            assert old.wait() == 3
            os.kill(new.pid, signal.SIGUSR1)
            assert new.line() == "True", "the old leader has ended"
            assert int(new.line()) == acknowledged
        assert look_at(disk).whole


def stops_in_its_copy(layout: Layout, say: Say, at: int) -> None:
    """Two moves, then a checkpoint that stops before its page write number `at`."""
    writes = []

    def before(what: str, path: str) -> None:
        if (what, path) == ("write", str(layout.database)):
            writes.append(path)
            if len(writes) == at:
                os.kill(os.getpid(), signal.SIGSTOP)

    vfs = HookedVFS("test-stopping", "unix-none", before=before)
    writer.VFS = vfs.name
    with lead(layout, "old") as leader:
        move(leader, "a", "c")
        say(move(leader, "c", "b"))
        say(leader.checkpoint_if_due(idle=True))
        try:
            move(leader, "a", "b")
        except Deposed:
            say("deposed")
            raise


@pytest.mark.parametrize("at", [1, 2, 4])
def test_it_wakes_up_in_the_middle_of_a_checkpoint(disk: Layout, at: int) -> None:
    with running(lambda say: stops_in_its_copy(disk, say, at)) as old:
        assert old.line() == "2"
        wait_stopped(old)
        drop_lock(disk)
        with running(lambda say: moves_twice(disk, say)) as new:
            assert new.line() == "2"
            assert new.line() == "4"
            assert new.line() == "False"
            go_on(old)
            assert old.line() == "True", "its copy runs to the end, under a mark that nobody reads"
            assert old.line() == "deposed"
            assert look_at(disk).serial == 4
            old.rest()
            assert old.wait() == 3
            os.kill(new.pid, signal.SIGUSR1)
            assert new.line() == "True"
            assert new.line() == "4"
        assert look_at(disk).whole


def test_a_raised_term_alone_deposes(disk: Layout) -> None:
    """The record is replaced under a living leader: it ends at its next commit, whoever wrote it."""
    with running(lambda say: moves_for_ever(disk, say)) as old:
        old.line()
        stop(old)
        serial = look_at(disk).serial
        descriptor = os.open(disk.lock, os.O_WRONLY)
        os.pwrite(descriptor, b'{"node":"db9","term":99,"endpoint":"tcp://h:1","pid":1,"since_us":1}'.ljust(1024), 0)
        os.close(descriptor)
        go_on(old)
        *late, last = old.rest()
        assert "db9 leads in term 99" in last
        assert all(int(said) <= serial for said in late)
