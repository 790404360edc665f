"""Taking over: terms, what is found and left, who is known to have ended, what a full disk does."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from stores import Say, checked, drop_lock, forget, identity, lead, look_at, move, open_accounts, running

from noroshi.store import process, reader, takeover, takeover_create
from noroshi.store.errors import DiskFailed, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.lock import LockRecord, encode, is_held, read_lock
from noroshi.store.mark import OTHERS, Owner, read_mark
from noroshi.store.writer import Writer

Patch = pytest.MonkeyPatch


# ---- the term


@pytest.mark.parametrize("lost", ["lock", "mark", "both"])
def test_the_term_grows_whatever_was_lost(old: Writer, layout: Layout, lost: str) -> None:
    """Lock file, mark and database each know it; a restored backup has the database alone."""
    old.close()
    for path in {"lock": [layout.lock], "mark": [layout.mark], "both": [layout.lock, layout.mark]}[lost]:
        path.unlink()
    with lead(layout, "new") as leader:
        assert leader.term == 2
        assert leader.read(checked).serial == 1


@pytest.mark.parametrize("garbage", [b"{", b"\0" * 1024, b'{"term": 1e999}'])
def test_a_damaged_record_is_no_obstacle(old: Writer, layout: Layout, garbage: bytes) -> None:
    old.close()
    layout.lock.write_bytes(garbage)
    with lead(layout, "new") as leader:
        assert (leader.term, leader.previous) == (2, None)


def test_nothing_that_tells_the_term_is_an_error(old: Writer, layout: Layout) -> None:
    """A damaged database alone: a term taken from nowhere could be an old leader's."""
    old.close()
    layout.lock.unlink()
    layout.mark.unlink()
    layout.database.write_bytes(b"garbage!" * 4096)
    with pytest.raises(DiskFailed, match="cannot lead"):
        lead(layout, "new")


def test_a_candidate_that_comes_back_below_its_successors_gives_up(
    old: Writer, layout: Layout, monkeypatch: Patch
) -> None:
    """Paused between computing its term and writing it, while two others led; its lock is on a file long gone."""
    old.close()
    highest = takeover.highest_term

    def paused_after(there: Layout) -> int:
        monkeypatch.setattr(takeover, "highest_term", highest)
        found = highest(there)
        drop_lock(there)
        lead(there, "second").close()
        lead(there, "third").close()
        return found

    monkeypatch.setattr(takeover, "highest_term", paused_after)
    with pytest.raises(RoleTaken):
        lead(layout, "paused")
    with lead(layout, "fourth") as leader:
        assert leader.term == 4


def test_the_term_is_raised_until_it_is_above_mark_and_database(layout: Layout, monkeypatch: Patch) -> None:
    terms = iter([1, 5])
    monkeypatch.setattr(takeover, "highest_term", lambda there: next(terms))
    monkeypatch.setattr(takeover, "kept_term", lambda there, needed: 5)
    lock = takeover.RoleLock.acquire(layout)
    assert takeover.raise_term(layout, lock, identity()).term == 6
    lock.close()


# ---- what is found


def test_a_log_without_its_database_is_kept_aside_and_not_applied(old: Writer, layout: Layout) -> None:
    forget(old)
    log = layout.wal.read_bytes()
    layout.database.unlink()
    with lead(layout, "new") as leader:
        assert leader.read(lambda connection: connection.execute("SELECT count(*) FROM terms").get) == 1
        assert leader.read(lambda connection: connection.pragma("integrity_check")) == "ok"
    (kept,) = layout.shared.glob("noroshi.db-wal.lost-*")
    assert kept.read_bytes() == log


def test_leftovers_of_dead_candidates_are_removed_and_nothing_else(layout: Layout) -> None:
    for name in ("noroshi.mark.take-1", "noroshi.db.take-2-wal", "notes.take-3", "noroshi.txt"):
        (layout.shared / name).touch()
    lead(layout).close()
    names = {path.name for path in layout.shared.iterdir()}
    assert names >= {"notes.take-3", "noroshi.txt"}
    assert not names & {"noroshi.mark.take-1", "noroshi.db.take-2-wal"}


def test_a_long_log_is_copied_whole(old: Writer, layout: Layout) -> None:
    with old.transaction() as connection:
        connection.execute("CREATE TABLE big AS SELECT randomblob(3000000) AS v")
        expected = connection.execute("SELECT hex(v) FROM big").get
    forget(old)
    with lead(layout, "new") as leader:
        assert leader.read(lambda connection: connection.execute("SELECT hex(v) FROM big").get) == expected


def test_a_log_that_never_rests_is_an_error(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    forget(old)
    headers = iter(range(100))
    monkeypatch.setattr(takeover, "wal_header", lambda path: str(next(headers)).encode())
    with pytest.raises(DiskFailed, match="another process keeps rewriting it"):
        lead(layout, "new")
    assert not is_held(layout)
    assert not list(layout.shared.glob("*.take-*"))


def test_a_successors_database_is_never_replaced(layout: Layout, monkeypatch: Patch) -> None:
    """A candidate of an empty directory wakes up with its own new database when another has begun its work."""
    build = takeover_create.build

    def paused(path: Path) -> None:
        build(path)
        monkeypatch.setattr(takeover_create, "build", build)
        drop_lock(layout)
        with lead(layout, "successor") as leader:
            open_accounts(leader)
            move(leader, "a", "b")

    monkeypatch.setattr(takeover_create, "build", paused)
    with pytest.raises(RoleTaken):
        lead(layout, "late")
    assert look_at(layout).serial == 1
    with pytest.raises(RoleTaken):
        takeover_create.link(layout.wal, layout.database)


@pytest.mark.parametrize("paused_at", ["create_new", "_sync"])
def test_a_candidate_whose_new_database_is_removed_learns_that_it_was_overtaken(
    layout: Layout, monkeypatch: Patch, paused_at: str
) -> None:
    done = getattr(takeover_create, paused_at)

    def overtaken(path: Path) -> object:
        result = done(path) if paused_at == "create_new" else None
        monkeypatch.setattr(takeover_create, paused_at, done)
        drop_lock(layout)
        lead(layout, "successor").close()
        return done(path) if paused_at == "_sync" else result

    monkeypatch.setattr(takeover_create, paused_at, overtaken)
    with pytest.raises(RoleTaken, match="another candidate"):
        lead(layout, "late")


def test_files_are_readable_by_whoever_may_read_the_directory(layout: Layout) -> None:
    layout.shared.chmod(0o750)
    mask = os.umask(0o077)
    try:
        with lead(layout) as leader:
            open_accounts(leader)
            leader.checkpoint_if_due(idle=True)
            modes = {path.name: path.stat().st_mode & 0o777 for path in layout.shared.iterdir()}
    finally:
        os.umask(mask)
    assert set(modes.values()) == {0o640}


# ---- who may still write


def test_a_killed_leader_of_this_host_is_known_to_have_ended(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with running(lambda say: leads(layout, say)) as child:
        assert child.line() == "leads"
        child.kill()
    with lead(layout, "next") as leader:
        assert leader.unsettled == ()
        assert leader.checkpoint_if_due(idle=True)


def leads(layout: Layout, say: Say) -> None:
    leader = lead(layout)
    open_accounts(leader)
    say("leads")
    threading.Event().wait()


def test_a_leader_that_ends_later_is_noticed(tmp_path: Path, monkeypatch: Patch) -> None:
    layout = Layout(tmp_path)
    monkeypatch.setattr("noroshi.store.writer.VFS", "unix-none")
    with running(lambda say: leads(layout, say)) as child:
        assert child.line() == "leads"
        os.kill(child.pid, signal.SIGSTOP)
        drop_lock(layout)
        with lead(layout, "next") as leader:
            assert [owner.pid for owner in leader.unsettled] == [child.pid]
            assert not leader.checkpoint_if_due(idle=True)
            child.kill()
            assert leader.checkpoint_if_due(idle=True)
            assert leader.unsettled == ()


def test_a_leader_of_another_boot_is_not_known_to_have_ended(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    forget(old)
    monkeypatch.setattr(process, "machine", lambda: "another boot")
    monkeypatch.setattr(takeover, "machine", lambda: "another boot")
    with lead(layout, "new") as leader:
        (owner,) = leader.unsettled
        assert (owner.node, owner.term, owner.incarnation) == ("old", 1, "0102")
        assert not leader.checkpoint_if_due(idle=True)
        serial = move(leader, "b", "c")
        leader.previous_leader_ended()
        assert leader.unsettled == ()
        assert leader.checkpoint_if_due(idle=True)
        assert look_at(layout).serial == serial


def test_former_leaders_are_settled_one_by_one(old: Writer, layout: Layout) -> None:
    """The caller knows of one node that its coordinator has ended; the other is still waited for."""
    drop_lock(layout)
    with lead(layout, "second"):
        drop_lock(layout)
        with lead(layout, "third") as leader:
            leader.former_ended(lambda owner: owner.node == "old")
            assert [owner.node for owner in leader.unsettled] == ["second"]
            assert not leader.checkpoint_if_due(idle=True)
            leader.former_ended(lambda owner: owner.node == "second")
            assert leader.checkpoint_if_due(idle=True)


def test_the_unsettled_are_handed_down(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    """The second leader ends properly; the third still waits for the first."""
    drop_lock(layout)
    lead(layout, "second").close()
    with lead(layout, "third") as third:
        assert [owner.node for owner in third.unsettled] == ["old"]
        drop_lock(layout)
        with lead(layout, "fourth") as fourth:
            assert [owner.node for owner in fourth.unsettled] == ["old", "third"]
            fourth.previous_leader_ended()
    assert read_mark(layout.mark).mark.unsettled == ()  # type: ignore[union-attr]


def test_without_a_mark_the_lock_file_names_the_former_leader(old: Writer, layout: Layout) -> None:
    forget(old)
    layout.mark.unlink()
    with lead(layout, "new") as leader:
        assert [(owner.node, owner.term) for owner in leader.unsettled] == [("old", 1)]
        assert not leader.checkpoint_if_due(idle=True)


def test_without_mark_and_record_a_former_leader_is_unknown(old: Writer, layout: Layout) -> None:
    forget(old)
    layout.mark.unlink()
    layout.lock.write_bytes(b"damaged")
    with lead(layout, "new") as leader:
        assert leader.unsettled == (OTHERS,)
        assert not leader.checkpoint_if_due(idle=True)
        leader.previous_leader_ended()
        assert leader.checkpoint_if_due(idle=True)


@pytest.mark.parametrize("step", ["remove_leftovers", "copy_wal", "install_mark", "create_database"])
def test_after_a_candidate_that_gave_up_half_way_nobody_is_waited_for(
    layout: Layout, monkeypatch: Patch, step: str
) -> None:
    """It made no database, or said that it will not write: also where it tries again in the same process."""
    with monkeypatch.context() as patched:
        patched.setattr(takeover, step, no_space)
        with pytest.raises(DiskFailed):
            lead(layout)
    with lead(layout) as leader:
        assert leader.unsettled == ()
        assert leader.checkpoint_if_due(idle=True)


def test_a_candidate_that_only_raised_the_term_need_not_be_waited_for(old: Writer, layout: Layout) -> None:
    old.close()
    layout.lock.write_bytes(encode(LockRecord("other", 9, "e", 1, 1, machine="elsewhere")))
    with lead(layout, "new") as leader:
        assert leader.term == 10
        assert leader.unsettled == ()


def test_a_process_has_ended_only_if_that_is_certain() -> None:
    here = Owner("n", 1, os.getpid(), machine=process.machine(), started=process.started(os.getpid()))
    assert here.started > 0
    assert not process.has_ended(here)
    gone = Owner("n", 1, 2**22 + 1, machine=process.machine(), started=5)
    assert process.has_ended(gone)
    reused = Owner("n", 1, os.getpid(), machine=process.machine(), started=here.started - 1)
    assert process.has_ended(reused)
    assert not process.has_ended(Owner("n", 1, 2**22 + 1, machine="other boot", started=5))
    assert not process.has_ended(Owner("n", 1, 2**22 + 1, machine="", started=5))
    assert not process.has_ended(OTHERS)


def test_giving_up_half_way_leaves_no_lock(layout: Layout, monkeypatch: Patch) -> None:
    for step in ("remove_leftovers", "copy_wal", "install_mark", "create_database"):
        with monkeypatch.context() as patched:
            patched.setattr(takeover, step, no_space)
            descriptors = len(list(Path("/proc/self/fd").iterdir()))
            with pytest.raises(DiskFailed, match="Input/output error"):
                lead(layout)
            assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        assert not is_held(layout)
    assert read_lock(layout).term == 4  # type: ignore[union-attr]
    assert reader.read_wal(layout.wal) == b""


def no_space(*args: object) -> None:
    raise OSError(5, "Input/output error")
