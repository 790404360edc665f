"""The fsyncs of the protocol, each shown by what a reader on another host is given without it.

The disk is one that shows a change at the fsync and not before (late_disk.py), the worst that close-to-open allows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from late_disk import LateDisk
from stores import Seen, balances, kept_and_dropped, lead, look_at, move, one_process, open_accounts

from noroshi.store import disk, mark, reader, takeover, writer
from noroshi.store.reader import SharedReader
from noroshi.store.writer_checkpoint import Checkpoint

Patch = pytest.MonkeyPatch


@pytest.fixture
def late(tmp_path: Path, monkeypatch: Patch) -> Iterator[LateDisk]:
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    there = LateDisk(near, far)
    one_process(monkeypatch)
    with there.vfs("test-late"):
        monkeypatch.setattr(writer, "VFS", "test-late")
        monkeypatch.setattr(os, "fsync", there.fsync)
        yield there


@pytest.fixture
def leader(late: LateDisk) -> Iterator[writer.Writer]:
    with lead(late.near) as leads:
        open_accounts(leads)
        assert leads.checkpoint_if_due(idle=True)
        move(leads, "a", "b")
        yield leads


def without_fsync(function: Callable[..., None], monkeypatch: Patch) -> Callable[..., None]:
    """The function, on a system where fsync does nothing."""

    def unsynced(*args: object) -> None:
        with monkeypatch.context() as context:
            context.setattr(os, "fsync", lambda descriptor: None)
            function(*args)

    return unsynced


def seen_far(late: LateDisk, action: Callable[[], object]) -> Seen:
    """What a reader on the other host is given, if `action` happens when it has read the log."""
    pending = [action]

    def read(connection: object) -> Seen:
        if pending:
            pending.pop()()
        return balances(connection)  # type: ignore[arg-type]

    return SharedReader(late.far).query(read)


def test_the_other_host_reads_what_was_acknowledged(late: LateDisk, leader: writer.Writer) -> None:
    for source, target in (("b", "c"), ("c", "a"), ("a", "c")):
        acknowledged = move(leader, source, target)
        assert look_at(late.far) == Seen(look_at(late.near).balances, acknowledged)
        assert leader.checkpoint_if_due(idle=True)
        assert look_at(late.far).serial == acknowledged


@kept_and_dropped
def test_the_truncated_log_is_fsynced(late: LateDisk, leader: writer.Writer, monkeypatch: Patch, dropped: bool) -> None:
    """Before the fsync each block may be the old or the new one: here the first commit's are old, the second's gone."""
    first_commit = len(reader.read_wal(late.near.wal))
    move(leader, "b", "c")
    if dropped:
        monkeypatch.setattr(Checkpoint, "sync_log", lambda checkpoint: None)
    leader.checkpoint_if_due(idle=True)
    monkeypatch.setattr(reader, "read_wal", lambda path: late.half_seen(late.near.wal, first_commit))
    assert look_at(late.far).whole is not dropped


@kept_and_dropped
@pytest.mark.parametrize("step", ["mark_copying", "mark_normal"])
def test_every_mark_is_fsynced(
    late: LateDisk, leader: writer.Writer, monkeypatch: Patch, step: str, dropped: bool
) -> None:
    if dropped:
        monkeypatch.setattr(Checkpoint, step, without_fsync(getattr(Checkpoint, step), monkeypatch))

    def move_and_copy() -> None:
        move(leader, "b", "c")
        leader._checkpoint.mark_copying()
        leader._checkpoint.copy_frames()

    if step == "mark_copying":
        assert seen_far(late, move_and_copy).whole is not dropped
    else:
        leader.checkpoint_if_due(idle=True)
        acknowledged = move(leader, "b", "c")
        assert (look_at(late.far).serial == acknowledged) is not dropped


@kept_and_dropped
def test_the_truncating_mark_is_fsynced(
    late: LateDisk, leader: writer.Writer, monkeypatch: Patch, dropped: bool
) -> None:
    """The far host still finds *copying*, and the first half of a log that is being emptied."""
    first_commit = len(reader.read_wal(late.near.wal))
    move(leader, "b", "c")
    leader._checkpoint.mark_copying()
    leader._checkpoint.copy_frames()
    step = Checkpoint.mark_truncating
    (without_fsync(step, monkeypatch) if dropped else step)(leader._checkpoint)
    leader._checkpoint.truncate()
    monkeypatch.setattr(reader, "read_wal", lambda path: late.half_seen(late.near.wal, first_commit))
    assert look_at(late.far).whole is not dropped


@kept_and_dropped
def test_the_record_is_fsynced(late: LateDisk, monkeypatch: Patch, dropped: bool) -> None:
    """The old leader looks from its own host: it must find the new record before the new leader reads the log."""
    if dropped:
        monkeypatch.setattr(takeover.RoleLock, "write", without_fsync(takeover.RoleLock.write, monkeypatch))
    copy = takeover.copy_wal
    far: list[int] = []

    def copy_and_look(*args: object) -> int:
        far.append(takeover.read_lock(late.far).term if takeover.read_lock(late.far) else 0)
        return copy(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(takeover, "copy_wal", copy_and_look)
    lead(late.near).close()
    assert (far == [1]) is not dropped


@kept_and_dropped
def test_renames_are_fsynced(late: LateDisk, leader: writer.Writer, monkeypatch: Patch, dropped: bool) -> None:
    """Without it the far host keeps the old leader's files and reads none of the new one's commits."""
    leader.close()
    if dropped:
        monkeypatch.setattr(takeover, "sync_directory", lambda directory: None)
    with lead(late.near, "new") as new:
        acknowledged = move(new, "b", "c")
        assert (look_at(late.far).serial == acknowledged) is not dropped


def test_a_leader_that_took_the_place_is_seen_from_afar(late: LateDisk, leader: writer.Writer) -> None:
    leader.close()
    with lead(late.near, "new") as new:
        acknowledged = move(new, "b", "c")
        new.checkpoint_if_due(idle=True)
        assert look_at(late.far).serial == acknowledged
        assert mark.read_mark(late.far.mark) == mark.read_mark(late.near.mark)
    assert disk.read_fresh(late.far.lock, 4096) == disk.read_fresh(late.near.lock, 4096)
