"""Every step the design calls necessary, shown by what happens without it.

Each scenario is a history of two or three actors, played in one process at the exact moments that matter. It runs
twice: with the step, and with the step taken out. Kept, the invariant holds; dropped, it is seen to break. (On a disk
that shows files at fsync only, see test_late_disk.py.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from stores import (
    Seen,
    balances,
    copy_into_database,
    drop_lock,
    forget,
    kept_and_dropped,
    lead,
    look_at,
    move,
)

from noroshi.store import mark, reader, writer
from noroshi.store.errors import Deposed, DiskFull
from noroshi.store.layout import Layout
from noroshi.store.mark import Phase
from noroshi.store.reader import SharedReader
from noroshi.store.writer_checkpoint import Checkpoint

Patch = pytest.MonkeyPatch


def after_log(action: Callable[[], object]) -> Callable[[apsw.Connection], Seen]:
    """A query function before whose first reading of the accounts `action` happens; the log has been read by then."""
    pending = [action]

    def read(connection: apsw.Connection) -> Seen:
        if pending:
            pending.pop()()
        return balances(connection)

    return read


# ---- the writer


@kept_and_dropped
def test_the_index_is_private_before_the_log_is_opened(layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    monkeypatch.setattr(writer, "VFS", "unix")  # unix-none cannot share an index at all
    if dropped:
        locking, journal, *others = writer._SETTINGS
        monkeypatch.setattr(writer, "_SETTINGS", (journal, locking, *others))
    with lead(layout):
        assert layout.database.with_name("noroshi.db-shm").exists() is dropped


@kept_and_dropped
def test_closing_does_not_checkpoint_behind_the_mark(old: writer.Writer, layout: Layout, dropped: bool) -> None:
    if dropped:
        old._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)

    def move_and_exit() -> None:
        move(old, "b", "c")
        old._connection.close()  # what the end of a process does; the mark is as it was

    seen = SharedReader(layout).query(after_log(move_and_exit))
    assert seen.whole is not dropped


@kept_and_dropped
def test_the_term_is_looked_at_after_the_fsync(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    acknowledged = []

    def commit_while_deposed() -> None:
        with old.transaction() as connection:
            connection.execute("UPDATE serial SET v = 1000")
            drop_lock(layout)
            new.append(lead(layout, "new"))
            if dropped:
                monkeypatch.setattr(old, "_look", lambda: None)
        acknowledged.append(1000)

    new: list[writer.Writer] = []
    if dropped:
        commit_while_deposed()
        assert look_at(layout).serial < acknowledged[0]
    else:
        with pytest.raises(Deposed):
            commit_while_deposed()
        assert not acknowledged
    new[0].close()


@kept_and_dropped
def test_copying_is_marked_first(old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    if dropped:
        monkeypatch.setattr(Checkpoint, "mark_copying", lambda checkpoint: None)

    def move_and_copy() -> None:
        move(old, "b", "c")
        copy_into_database(old)

    assert SharedReader(layout).query(after_log(move_and_copy)).whole is not dropped


@kept_and_dropped
def test_truncating_is_marked_first(old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    """A log read in pieces, and emptied in between, is cut off at some commit, under a whole database."""
    move(old, "b", "c")
    copy_into_database(old)
    if dropped:
        monkeypatch.setattr(Checkpoint, "mark_truncating", lambda checkpoint: None)
    first_commit = reader.read_wal(layout.wal)[: 32 + 3 * (24 + 4096)]
    pieces = [first_commit]

    def in_pieces(path: Path) -> bytes:
        if not pieces:
            return read_wal(path)
        old._checkpoint.mark_truncating()
        old._checkpoint.truncate()
        return pieces.pop() + read_wal(path)

    read_wal = reader.read_wal
    monkeypatch.setattr(reader, "read_wal", in_pieces)
    assert look_at(layout).whole is not dropped


@kept_and_dropped
def test_the_end_of_a_checkpoint_is_marked(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    if dropped:
        monkeypatch.setattr(Checkpoint, "mark_normal", lambda checkpoint: None)
    old.checkpoint_if_due(idle=True)
    acknowledged = move(old, "b", "c")
    assert (look_at(layout).serial == acknowledged) is not dropped


@kept_and_dropped
def test_a_copy_tried_again_has_a_mark_of_its_own(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """A full disk stops the copy; commits come in between; the second copy must not pass for the first."""
    copy = Checkpoint.copy_frames
    full = [DiskFull("no space")]

    def copy_on_a_full_disk(checkpoint: Checkpoint) -> bool:
        if full:
            raise full.pop()
        done = copy(checkpoint)
        if readers_turn:
            raise KeyboardInterrupt  # paused here, for the reader to end
        return done

    readers_turn: list[bool] = []
    monkeypatch.setattr(Checkpoint, "copy_frames", copy_on_a_full_disk)
    with pytest.raises(DiskFull):
        old.checkpoint_if_due(idle=True)
    if dropped:
        old._checkpoint._done = 1

    def move_and_copy_again() -> None:
        move(old, "b", "c")
        readers_turn.append(True)
        with pytest.raises(KeyboardInterrupt):
            old.checkpoint_if_due(idle=True)

    assert SharedReader(layout).query(after_log(move_and_copy_again)).whole is not dropped


@kept_and_dropped
def test_no_commit_between_copy_and_truncation(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """The mark reached the disk, its fsync found no space. A commit now would go into a log readers take for empty."""
    full = [DiskFull("no space")]
    enter = mark.OwnMark.enter

    def enter_on_a_full_disk(own: mark.OwnMark, phase: Phase) -> None:
        enter(own, phase)
        if phase is Phase.TRUNCATING and full:
            raise full.pop()

    monkeypatch.setattr(mark.OwnMark, "enter", enter_on_a_full_disk)
    with pytest.raises(DiskFull):
        old.checkpoint_if_due(idle=True)
    if dropped:
        monkeypatch.setattr(Checkpoint, "finish", lambda checkpoint: None)
    acknowledged = move(old, "b", "c")
    assert (look_at(layout).serial == acknowledged) is not dropped


# ---- the reader


@kept_and_dropped
def test_the_mark_is_read_before_the_log(old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    """A checkpoint falls between the first two things a reader reads, whichever these are."""

    def move_and_checkpoint() -> None:
        move(old, "b", "c")
        assert old.checkpoint_if_due(idle=True)

    pending = [move_and_checkpoint]

    def then(read: Callable[[Path], object]) -> Callable[[Path], object]:
        def reads(path: Path) -> object:
            result = read(path)
            if pending:
                pending.pop()()
            return result

        return reads

    monkeypatch.setattr(reader, "read_mark", then(reader.read_mark))
    monkeypatch.setattr(reader, "read_wal", then(reader.read_wal))
    if dropped:
        log = reader.read_wal(layout.wal)
        monkeypatch.setattr(reader, "read_wal", lambda path: log)
    assert look_at(layout).whole is not dropped
    assert not pending


@kept_and_dropped
def test_the_mark_is_read_again_at_the_end(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    if dropped:
        monkeypatch.setattr(SharedReader, "_compare", lambda shared, before: None)

    def move_and_checkpoint() -> None:
        move(old, "b", "c")
        old.checkpoint_if_due(idle=True)

    assert SharedReader(layout).query(after_log(move_and_checkpoint)).whole is not dropped


@kept_and_dropped
def test_the_mark_is_read_by_a_fresh_open(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """A descriptor kept open stays on the old leader's mark, which nobody changes any more."""
    kept = os.open(layout.mark, os.O_RDONLY)
    if dropped:
        monkeypatch.setattr(reader, "read_mark", lambda path: mark.SeenMark(os.pread(kept, mark.SIZE, 0), None))

    def replace_leader_and_checkpoint() -> None:
        forget(old)
        with lead(layout, "new") as new:
            move(new, "b", "c")
            new.previous_leader_ended()
            assert new.checkpoint_if_due(idle=True)

    assert SharedReader(layout).query(after_log(replace_leader_and_checkpoint)).whole is not dropped
    os.close(kept)


@kept_and_dropped
def test_truncating_means_the_log_is_empty(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """A disk that shows the truncation late, or in pieces: the mark is what counts."""
    move(old, "b", "c")
    log = reader.read_wal(layout.wal)
    copy_into_database(old)
    old._checkpoint.mark_truncating()
    old._checkpoint.truncate()
    monkeypatch.setattr(reader, "read_wal", lambda path: log[: 32 + 3 * (24 + 4096)])
    if dropped:
        monkeypatch.setattr(reader, "Phase", Other)
    assert look_at(layout).whole is not dropped


class Other:
    """Phases that no mark ever has."""

    TRUNCATING = object()
