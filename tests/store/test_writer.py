"""The leader's connection: transactions, errors and their names, checkpoints, giving up."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hooked import HookedVFS
from stores import balances, drop_lock, lead, look_at, move, open_accounts

from noroshi.store import writer, writer_checkpoint
from noroshi.store.disk import name_sqlite_error
from noroshi.store.errors import Damaged, Deposed, DiskFailed, DiskFull, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held, read_lock
from noroshi.store.mark import Phase, read_mark
from noroshi.store.schema import MIGRATIONS, version_of
from noroshi.store.writer import Writer
from noroshi.store.writer_checkpoint import WAL_LIMIT, Checkpoint

Patch = pytest.MonkeyPatch


def test_the_first_leader_finds_a_whole_database(layout: Layout) -> None:
    with lead(layout) as leader:
        assert leader.term == 1
        assert (leader.previous, leader.unsettled) == (None, ())
        assert leader.record == read_lock(layout)
        assert (leader.record.node, leader.record.incarnation, leader.record.pid) == ("db1", "0102", os.getpid())
        assert leader.read(version_of) == len(MIGRATIONS)
        terms = leader.read(lambda connection: connection.execute("SELECT * FROM terms").fetchall())
        assert terms == [(1, "db1", "tcp://127.0.0.1:7402", leader.record.since_us)]
    names = sorted(path.name for path in layout.shared.iterdir())
    assert names == ["coordinator.lock", "noroshi.db", "noroshi.db-wal", "noroshi.mark"]


def test_terms_are_counted_and_kept(layout: Layout) -> None:
    for term, node in enumerate(("db1", "db2", "db1"), start=1):
        with lead(layout, node) as leader:
            assert leader.term == term
            assert leader.previous is None or leader.previous.term == term - 1
    history = look_at_terms(layout)
    assert history == [(1, "db1"), (2, "db2"), (3, "db1")]


def look_at_terms(layout: Layout) -> list[tuple[int, str]]:
    with lead(layout, "looker") as leader:
        rows = leader.read(lambda connection: connection.execute("SELECT term, node FROM terms").fetchall())
    return rows[:-1]


def test_the_settings_are_really_set(old: Writer) -> None:
    for name, expected in (("locking_mode", "exclusive"), ("journal_mode", "wal"), ("synchronous", 2)):
        assert old.read(lambda connection, name=name: connection.pragma(name)) == expected
    assert old.read(lambda connection: connection.pragma("wal_autocheckpoint")) == 0
    assert old.read(lambda connection: connection.pragma("page_size")) == 4096


def test_a_setting_that_does_not_take_is_refused(layout: Layout, monkeypatch: Patch) -> None:
    settings = [(name, value, "delete" if name == "journal_mode" else found) for name, value, found in writer._SETTINGS]
    monkeypatch.setattr(writer, "_SETTINGS", settings)
    with pytest.raises(DiskFailed, match="journal_mode is 'wal' instead of 'delete'"):
        lead(layout)
    assert not is_held(layout)


def test_what_is_raised_inside_rolls_back(old: Writer, layout: Layout) -> None:
    for error in (ValueError("mine"), KeyboardInterrupt(), apsw.ConstraintError("x"), OSError(5, "the caller's own")):
        with pytest.raises(type(error)), old.transaction() as connection:
            connection.execute("UPDATE a SET v = 100")
            raise error
    assert look_at(layout).serial == 1
    assert move(old, "b", "c") == 2
    assert look_at(layout).serial == 2


def test_reading_sees_one_state_and_the_transactions_own(old: Writer) -> None:
    with old.transaction() as connection:
        connection.execute("UPDATE serial SET v = 50")
        assert old.read(balances).serial == 50
    assert old.read(balances).serial == 50
    with pytest.raises(ValueError, match="mine"):
        old.read(fails)
    assert move(old, "a", "b") == 51


def fails(connection: apsw.Connection) -> None:
    raise ValueError("mine")


def test_a_checkpoint_is_due_when_the_log_is_long_or_time_is_free(old: Writer, layout: Layout) -> None:
    assert old.wal_size > 0
    assert not old.checkpoint_if_due(idle=False)
    with old.transaction() as connection:
        connection.execute("CREATE TABLE big AS SELECT zeroblob(?) AS v", (WAL_LIMIT,))
    assert old.wal_size >= WAL_LIMIT
    assert old.checkpoint_if_due(idle=False)
    assert old.wal_size == 0
    assert not old.checkpoint_if_due(idle=True), "nothing to do"
    assert read_mark(layout.mark).phase is Phase.NORMAL
    assert look_at(layout).serial == 1


def test_a_statement_that_still_reads_puts_the_checkpoint_off(old: Writer, layout: Layout) -> None:
    reading = old._connection.execute("SELECT v FROM a UNION ALL SELECT v FROM b")
    next(reading)
    with old.transaction() as connection:
        connection.execute("UPDATE serial SET v = 2")
    assert not old.checkpoint_if_due(idle=True)
    assert look_at(layout).serial == 2
    reading.close()
    assert old.checkpoint_if_due(idle=True)
    assert look_at(layout).serial == 2


def test_closing_gives_the_role_up_and_says_so(old: Writer, layout: Layout) -> None:
    old.close()
    old.close()
    assert not is_held(layout)
    seen = read_mark(layout.mark).mark
    assert seen is not None
    assert seen.closed
    with lead(layout) as leader:
        assert leader.unsettled == ()
        assert leader.checkpoint_if_due(idle=True)


@pytest.mark.parametrize("how", ["closed", "left"])
def test_a_leader_that_exits_leaves_the_log_as_it_is(tmp_path: Path, how: str) -> None:
    """A plain exit of the interpreter, with and without close()."""
    program = f"""
import sys
import threading
from pathlib import Path
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
from stores import lead, move, open_accounts
from noroshi.store.layout import Layout
leader = lead(Layout(Path({str(tmp_path)!r})))
open_accounts(leader)
move(leader, "a", "b")
{"leader.close()" if how == "closed" else ""}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    layout = Layout(tmp_path)
    assert layout.wal.stat().st_size > 0
    assert look_at(layout).serial == 1


# ---- giving up


def test_a_deposed_leader_stays_deposed(old: Writer, layout: Layout) -> None:
    drop_lock(layout)
    with lead(layout, "new"):
        for _ in range(2):
            with pytest.raises(Deposed, match="new leads in term 2, ours was 1"), old.transaction():
                pytest.fail("the block of a deposed leader was run")
        with pytest.raises(Deposed):
            old.checkpoint_if_due(idle=True)
        with pytest.raises(Deposed):
            old.read(balances)
        old.close()
        assert read_lock(layout).term == 2  # type: ignore[union-attr]


def test_a_lock_file_that_was_removed_deposes(old: Writer, layout: Layout) -> None:
    layout.lock.unlink()
    with pytest.raises(Deposed, match="the record is gone"):
        move(old, "a", "b")


@pytest.mark.parametrize("name", ["noroshi.mark", "noroshi.db-wal"])
def test_files_that_were_replaced_under_the_leader_end_it(old: Writer, layout: Layout, name: str) -> None:
    path = layout.shared / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(DiskFailed, match="removed or replaced"):
        old.checkpoint_if_due(idle=True)
    with pytest.raises(DiskFailed):
        move(old, "a", "b")
    assert look_at(layout).serial == 1


def test_files_that_a_successor_replaced_depose(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    """Paused behind its look at the term, before it compares the files: the name of its end is the right one."""
    looks = [lambda: replaced_by.append(successor(layout))]
    look = old._checkpoint._look
    replaced_by: list[Writer] = []

    def paused_behind_the_look() -> None:
        look()
        while looks:
            looks.pop()()

    monkeypatch.setattr(old._checkpoint, "_look", paused_behind_the_look)
    with pytest.raises(Deposed):
        old.checkpoint_if_due(idle=True)
    replaced_by[0].close()


def successor(layout: Layout) -> Writer:
    drop_lock(layout)
    return lead(layout, "new")


class FailingDisk:
    """Raises for the chosen operations on the chosen file while `error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.what, self.suffix = "", ""

    def __call__(self, what: str, path: str) -> None:
        if self.error and what == self.what and path.endswith(self.suffix):
            raise self.error

    def fail(self, what: str, suffix: str, error: Exception) -> None:
        self.what, self.suffix, self.error = what, suffix, error


@pytest.fixture
def failing(layout: Layout, monkeypatch: Patch) -> Iterator[FailingDisk]:
    disk = FailingDisk()
    with HookedVFS("test-failing", before=disk):
        monkeypatch.setattr(writer, "VFS", "test-failing")
        yield disk


@pytest.fixture
def leader(layout: Layout, failing: FailingDisk) -> Iterator[Writer]:
    with lead(layout) as leads:
        open_accounts(leads)
        leads.checkpoint_if_due(idle=True)
        move(leads, "a", "b")
        yield leads


@pytest.mark.parametrize("what", ["write", "sync"])
def test_an_io_error_is_final(layout: Layout, leader: Writer, failing: FailingDisk, what: str) -> None:
    failing.fail(what, "-wal", apsw.IOError("the disk is gone"))
    with pytest.raises(DiskFailed, match="the disk is gone"):
        move(leader, "b", "c")
    failing.error = None
    with pytest.raises(DiskFailed, match="the disk is gone"):
        move(leader, "b", "c")
    leader.close()
    assert look_at(layout).whole
    with lead(layout, "next") as successor:
        assert successor.read(balances).whole


@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_full_disk_is_not_final(layout: Layout, leader: Writer, failing: FailingDisk, what: str) -> None:
    for _ in range(3):
        failing.fail(what, "-wal", apsw.FullError("no space"))
        with pytest.raises(DiskFull, match="no space"):
            move(leader, "b", "c")
        assert look_at(layout).whole
        failing.error = None
        acknowledged = move(leader, "b", "c")
        assert look_at(layout).serial == acknowledged
    assert leader.checkpoint_if_due(idle=True)
    assert look_at(layout).serial == acknowledged == 4


def test_a_full_disk_in_the_copy(layout: Layout, leader: Writer, failing: FailingDisk) -> None:
    failing.fail("write", "noroshi.db", apsw.FullError("no space"))
    for _ in range(2):
        with pytest.raises(DiskFull):
            leader.checkpoint_if_due(idle=True)
        acknowledged = move(leader, "b", "c")
        assert look_at(layout).serial == acknowledged
    failing.error = None
    assert leader.checkpoint_if_due(idle=True)
    assert look_at(layout).serial == acknowledged


@pytest.mark.parametrize("step", writer_checkpoint.STEPS)
def test_a_checkpoint_goes_on_after_any_step_found_no_space(
    old: Writer, layout: Layout, monkeypatch: Patch, step: str
) -> None:
    done = getattr(Checkpoint, step)
    full = [OSError(errno.ENOSPC, "No space left on device")]

    def on_a_full_disk(checkpoint: Checkpoint) -> object:
        if full:
            raise full.pop()
        return done(checkpoint)

    monkeypatch.setattr(Checkpoint, step, on_a_full_disk)
    with pytest.raises(DiskFull):
        old.checkpoint_if_due(idle=True)
    assert look_at(layout).serial == 1
    acknowledged = move(old, "b", "c")
    assert look_at(layout).serial == acknowledged
    old.checkpoint_if_due(idle=True)
    assert (look_at(layout).serial, old.wal_size) == (acknowledged, 0)
    assert read_mark(layout.mark).phase is Phase.NORMAL


def test_a_truncation_that_fails_is_final(layout: Layout, leader: Writer, failing: FailingDisk) -> None:
    failing.fail("truncate", "-wal", apsw.IOError("will not shrink"))
    with pytest.raises(DiskFailed):
        leader.checkpoint_if_due(idle=True)
    assert look_at(layout).serial == 1
    leader.close()
    failing.error = None
    with lead(layout, "next") as successor:
        assert successor.read(balances).serial == 1


@pytest.mark.parametrize(
    ("error", "number", "named"),
    [
        (apsw.FullError("x"), 0, DiskFull),
        (apsw.IOError("x"), errno.EDQUOT, DiskFull),
        (apsw.IOError("x"), errno.ENOSPC, DiskFull),
        (apsw.IOError("x"), errno.EIO, DiskFailed),
        (apsw.CorruptError("x"), 0, Damaged),
        (apsw.NotADBError("x"), 0, Damaged),
        (apsw.ReadOnlyError("x"), 0, DiskFailed),
        (apsw.CantOpenError("x"), 0, DiskFailed),
        (apsw.BusyError("x"), 0, RoleTaken),
    ],
)
def test_every_disk_error_has_a_name_and_a_next_step(error: apsw.Error, number: int, named: type) -> None:
    found = name_sqlite_error(error, number, Path("/shared/noroshi.db"))
    assert type(found) is named
    assert found is not None
    assert found.hint


def test_errors_of_a_statement_have_none() -> None:
    for error in (apsw.SQLError("x"), apsw.ConstraintError("x"), apsw.MismatchError("x")):
        assert name_sqlite_error(error, 0, Path("x")) is None
