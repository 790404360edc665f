"""Every step of a take-over that the design calls necessary, and those of a candidate that wakes up late.

As in test_protocol_steps.py: each history is played with the step, and without it, when data is seen to be lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hooked import HookedVFS
from stores import copy_into_database, drop_lock, forget, kept_and_dropped, lead, look_at, move, open_accounts

from noroshi.store import mark, takeover, writer
from noroshi.store.disk import create_new, write_synced
from noroshi.store.errors import Deposed, RoleTaken
from noroshi.store.layout import Layout

Patch = pytest.MonkeyPatch


# ---- taking over


@kept_and_dropped
def test_the_term_is_raised_before_the_log_is_read(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    acknowledged = []
    copy = takeover.copy_wal

    def copy_then_the_old_one_commits(*args: Any) -> int:
        copied = copy(*args)
        try:
            acknowledged.append(move(old, "b", "c"))
        except Deposed:
            pass
        finally:
            late.write_now()
        return copied

    late = LateRecord(monkeypatch, dropped)
    monkeypatch.setattr(takeover, "copy_wal", copy_then_the_old_one_commits)
    drop_lock(layout)
    with lead(layout, "new"):
        assert bool(acknowledged) is dropped
        assert (look_at(layout).serial >= max(acknowledged, default=1)) is not dropped


class LateRecord:
    """A candidate that writes its record only after it has copied the log."""

    def __init__(self, monkeypatch: Patch, late: bool) -> None:
        self._pending: list[Callable[[], None]] = []
        if not late:
            return
        write = takeover.RoleLock.write
        monkeypatch.setattr(takeover, "look", lambda lock, layout: None)
        monkeypatch.setattr(
            takeover.RoleLock, "write", lambda lock, record: self._pending.append(lambda: write(lock, record))
        )

    def write_now(self) -> None:
        while self._pending:
            self._pending.pop()()


@kept_and_dropped
def test_the_log_is_copied_not_reused(old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    """The old leader wakes up in its checkpoint, before the truncation, when the new one has acknowledged."""
    if dropped:
        monkeypatch.setattr(takeover, "copy_wal", lambda layout, lock, token: os.open(layout.wal, os.O_RDWR))
    copy_into_database(old)
    old._checkpoint.mark_truncating()
    drop_lock(layout)
    with lead(layout, "new") as new:
        acknowledged = move(new, "b", "c")
        old._checkpoint.truncate()
        assert (look_at(layout).serial == acknowledged) is not dropped


@kept_and_dropped
def test_the_log_is_copied_again_if_it_was_emptied(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """The old leader empties the log when its first commit is copied and its second is not."""
    move(old, "b", "c")
    copy_into_database(old)
    old._checkpoint.mark_truncating()
    monkeypatch.setattr(takeover, "CHUNK", 32 + 3 * (24 + 4096))
    chunks = takeover._chunks
    awake = [old._checkpoint.truncate]

    def emptied_after_the_first(path: Path) -> Iterator[tuple[int, bytes]]:
        for chunk in chunks(path):
            yield chunk
            while awake:
                awake.pop()()

    monkeypatch.setattr(takeover, "_chunks", emptied_after_the_first)
    if dropped:
        monkeypatch.setattr(takeover, "_copy_whole", lambda layout, copy: takeover.copy_once(layout.wal, copy))
    drop_lock(layout)
    with lead(layout, "new"):
        assert look_at(layout).whole is not dropped


@kept_and_dropped
def test_the_mark_is_a_new_file(old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    """The old leader wakes up in its checkpoint and marks it truncating; the new one has committed."""
    if dropped:
        monkeypatch.setattr(takeover, "install_mark", in_place)
    copy_into_database(old)
    drop_lock(layout)
    with lead(layout, "new") as new:
        acknowledged = move(new, "b", "c")
        old._checkpoint.mark_truncating()
        assert (look_at(layout).serial == acknowledged) is not dropped


def in_place(layout: Layout, lock: object, value: mark.Mark) -> mark.OwnMark:
    """The old mark's file, reset."""
    descriptor = os.open(layout.mark, os.O_RDWR)
    write_synced(descriptor, mark.encode(value))
    return mark.OwnMark(descriptor, value)


@kept_and_dropped
def test_the_mark_is_installed_before_the_first_commit(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """The old leader died while truncating: under its mark the new one's commits are invisible."""
    copy_into_database(old)
    old._checkpoint.mark_truncating()
    forget(old)
    if dropped:
        monkeypatch.setattr(
            takeover,
            "install_mark",
            lambda layout, lock, value: mark.OwnMark(create_new(layout.mark.with_suffix(".later")), value),
        )
    with lead(layout, "new") as new:
        acknowledged = move(new, "b", "c")
        assert (look_at(layout).serial == acknowledged) is not dropped


@kept_and_dropped
def test_the_first_checkpoint_waits_for_the_old_leader(layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    """The old leader wakes up between two page writes of its copy and overwrites what the new one copied."""
    monkeypatch.setattr(writer, "VFS", "test-pausing")
    with HookedVFS("test-pausing") as vfs, lead(layout, "old") as old:
        open_accounts(old)
        assert old.checkpoint_if_due(idle=True)
        move(old, "a", "b")
        monkeypatch.setattr(writer, "VFS", "unix-none")
        new: list[writer.Writer] = []

        def replaced(what: str, path: str) -> None:
            if (what, path) != ("write", str(layout.database)):
                return
            vfs.before = lambda what, path: None
            drop_lock(layout)
            new.append(lead(layout, "new"))
            move(new[0], "b", "c")
            move(new[0], "a", "c")
            if dropped:
                new[0].previous_leader_ended()
            assert new[0].checkpoint_if_due(idle=True) is dropped

        vfs.before = replaced
        old._checkpoint.run()
        seen = look_at(layout)
        assert (seen.whole and seen.serial == 3) is not dropped
        new[0].close()


# ---- candidates that wake up late


@kept_and_dropped
def test_a_successor_removes_what_a_candidate_was_about_to_rename(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """Paused between its look and its rename, it wakes up when its successor has acknowledged."""
    forget(old)
    looked = takeover.look
    new: list[writer.Writer] = []
    acknowledged = []

    def paused_after_the_look(lock: takeover.RoleLock, there: Layout) -> None:
        looked(lock, there)
        monkeypatch.setattr(takeover, "look", looked)
        drop_lock(layout)
        new.append(lead(layout, "new"))
        acknowledged.append(move(new[0], "b", "c"))

    monkeypatch.setattr(takeover, "look", paused_after_the_look)
    if dropped:
        monkeypatch.setattr(takeover, "remove_leftovers", lambda layout: None)
    with pytest.raises(RoleTaken):
        lead(layout, "late")
    assert (look_at(layout).serial == acknowledged[0]) is not dropped
    new[0].close()


@kept_and_dropped
def test_a_candidate_looks_at_the_record_before_each_rename(
    old: writer.Writer, layout: Layout, monkeypatch: Patch, dropped: bool
) -> None:
    """Paused before it makes its file, it copies the successor's log, which goes on growing."""
    forget(old)
    copy, whole = takeover.copy_wal, takeover._copy_whole
    new: list[writer.Writer] = []
    acknowledged = []

    def paused_before_its_file(*args: Any) -> int:
        monkeypatch.setattr(takeover, "copy_wal", copy)
        drop_lock(layout)
        new.append(lead(layout, "new"))
        monkeypatch.setattr(takeover, "_copy_whole", paused_after_its_copy)
        if dropped:
            monkeypatch.setattr(takeover, "look", lambda lock, there: None)
        return copy(*args)

    def paused_after_its_copy(there: Layout, descriptor: int) -> None:
        whole(there, descriptor)
        acknowledged.append(move(new[0], "b", "c"))

    monkeypatch.setattr(takeover, "copy_wal", paused_before_its_file)
    with pytest.raises(RoleTaken):
        lead(layout, "late")
    assert (look_at(layout).serial == acknowledged[0]) is not dropped
    new[0].close()
