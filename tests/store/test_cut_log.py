"""A damaged frame in the log of a leader that was killed: what was committed behind it is missed and told, never
silently; and no log that merely ends in an unfinished commit is taken for damaged.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import balances, checked, copy_into_database, die_after, forget, lead, look_at, move

from noroshi.store import damage, takeover
from noroshi.store.backup import write_backup
from noroshi.store.cutlog import Cut, find_cut
from noroshi.store.damage import Story, story
from noroshi.store.layout import Layout
from noroshi.store.mark import read_mark
from noroshi.store.writer import Writer

HEADER, FRAME = 32, 24 + 4096


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """This disk shows the same at every reading."""
    monkeypatch.setattr(damage, "PATIENCE", 0.05)
    monkeypatch.setattr(takeover, "_PATIENCE", 0.05)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def story_of(leader: Writer) -> Story | None:
    return leader.read(story)


@pytest.fixture
def killed(old: Writer, layout: Layout) -> tuple[Layout, list[int]]:
    """Five moves in the log of a leader that is gone; where the log ended before each of them, and at last."""
    assert old.checkpoint_if_due(idle=True)
    ends = []
    for _ in range(5):
        ends.append(layout.wal.stat().st_size)
        move(old, "a", "b")
    ends.append(layout.wal.stat().st_size)
    forget(old)
    return layout, ends


@pytest.mark.parametrize("place", [0, 4, 8, 20, 24, 24 + 4000], ids=["page", "size", "salt", "sum", "begin", "end"])
@pytest.mark.parametrize("commit", [1, 2, 3])
def test_commits_behind_a_damaged_frame_are_missed_and_told(
    killed: tuple[Layout, list[int]], commit: int, place: int
) -> None:
    layout, ends = killed
    flip(layout.wal, ends[commit] + place)
    log = layout.wal.read_bytes()
    with lead(layout, "new") as leader:
        assert leader.read(checked).serial == 1 + commit
        told = story_of(leader)
        assert told is not None
        assert told.cut
        assert (layout.shared / told.aside).read_bytes() == log
        assert "commits behind the damage are lost; kept as noroshi.db-wal.damaged-" in str(told)
        assert look_at(layout).serial == 1 + commit
        move(leader, "b", "c")
        forget(leader)
    with lead(layout, "next") as leader:  # with a short commit before what the old log had there
        assert leader.read(checked).serial == 2 + commit
        assert story_of(leader) == told, "told once"
        assert leader.checkpoint_if_due(idle=True) or leader.unsettled
    assert len(list(layout.shared.glob("*.damaged-*"))) == 1


def test_a_damaged_head_of_the_log_is_all_of_it(killed: tuple[Layout, list[int]]) -> None:
    layout, _ = killed
    flip(layout.wal, 17)
    assert find_cut(layout) == Cut(0)
    with lead(layout, "new") as leader:
        assert leader.read(checked).serial == 1
        assert story_of(leader) is not None


def test_where_a_checkpoint_was_under_way_it_is_begun_from_the_backup(old: Writer, layout: Layout) -> None:
    """The database has pages of commits that its log has lost: no state that ever was."""
    layout.backup.parent.mkdir()
    write_backup(layout, layout.backup)
    assert old.checkpoint_if_due(idle=True)
    for _ in range(3):
        damaged_at = layout.wal.stat().st_size
        move(old, "a", "b")
    move(old, "a", "c")
    copy_into_database(old)
    forget(old)
    with lead(layout, "between") as leader:
        assert read_mark(layout.mark).mark.half  # type: ignore[union-attr]
        assert story_of(leader) is None
        move(leader, "c", "a")
        forget(leader)
    flip(layout.wal, damaged_at + 100)
    with lead(layout, "new") as leader:
        assert leader.read(checked).serial == 1
        told = story_of(leader)
        assert told is not None
        assert (told.cut, told.backup) == (False, "noroshi.db")
        assert not read_mark(layout.mark).mark.half  # type: ignore[union-attr]


def test_a_log_that_was_copied_whole_is_not_needed(old: Writer, layout: Layout) -> None:
    """Its leader died as it emptied it: the database has everything, and pages of the log would be old ones."""
    for _ in range(3):
        damaged_at = layout.wal.stat().st_size
        acknowledged = move(old, "a", "b")
    move(old, "a", "b")
    copy_into_database(old)
    old._checkpoint.mark_truncating()
    forget(old)
    flip(layout.wal, damaged_at + 100)
    with lead(layout, "new") as leader:
        assert leader.read(checked).serial == acknowledged + 1
        assert story_of(leader) is None
    assert not list(layout.shared.glob("*.damaged-*"))


def test_the_first_leader_begins_with_nothing_half_done(layout: Layout) -> None:
    with lead(layout):
        assert not read_mark(layout.mark).mark.half  # type: ignore[union-attr]


def test_a_checkpoint_that_ended_leaves_nothing_half_done(old: Writer, layout: Layout) -> None:
    copy_into_database(old)
    forget(old)
    with lead(layout, "new") as leader:
        assert read_mark(layout.mark).mark.half  # type: ignore[union-attr]
        leader.previous_leader_ended()
        assert leader.checkpoint_if_due(idle=True)
        assert not read_mark(layout.mark).mark.half  # type: ignore[union-attr]


@pytest.mark.parametrize("step", ["keep_log_aside", "copy_wal", "install_mark"])
def test_a_candidate_that_dies_on_the_way_leaves_it_to_be_told(
    killed: tuple[Layout, list[int]], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    layout, ends = killed
    flip(layout.wal, ends[2] + 500)
    die_after(monkeypatch, damage if step == "keep_log_aside" else takeover, step, layout)
    with lead(layout, "new") as leader:
        assert leader.read(checked).serial == 3
        told = story_of(leader)
        assert told is not None
        assert told.cut
    assert len(list(layout.shared.glob("*.damaged-*"))) == 1


# --- no false alarm -------------------------------------------------------------------------------------------------


@given(cut=st.integers(0, 5 * 20 * FRAME), flipped=st.none() | st.integers(0, FRAME - 1))
@settings(max_examples=60)
def test_a_log_that_ends_anywhere_is_sound(whole: tuple[Layout, bytes, int], cut: int, flipped: int | None) -> None:
    """Also with its last frame, or any frame of its last commit, only partly on the disk."""
    layout, log, last = whole
    left = bytearray(log[: max(len(log) - cut, 0)])
    if flipped is not None and len(left) == len(log):
        left[last + flipped] ^= 255
    layout.wal.write_bytes(left)
    assert find_cut(layout) is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, bytes, int]:
    """A log of five commits; where the last one begins."""
    layout = Layout(tmp_path_factory.mktemp("whole"))
    leader = lead(layout)
    with leader.transaction() as connection:
        connection.execute("CREATE TABLE some (v)")
    assert leader.checkpoint_if_due(idle=True)
    for _ in range(5):
        last = layout.wal.stat().st_size
        with leader.transaction() as connection:
            connection.execute("INSERT INTO some VALUES (randomblob(40000))")
    forget(leader)
    return layout, layout.wal.read_bytes(), last


def test_an_older_filling_behind_the_end_is_no_proof(killed: tuple[Layout, list[int]]) -> None:
    """As another program leaves it that opened the database: the log begun again in place, from its first byte."""
    layout, _ = killed
    old = layout.wal.read_bytes()
    layout.wal.write_bytes(b"")
    with lead(layout, "new") as leader:
        move(leader, "a", "b")
        forget(leader)
    new = layout.wal.read_bytes()
    assert len(new) < len(old) - 2 * FRAME
    layout.wal.write_bytes(new + old[len(new) :])
    assert find_cut(layout) is None


@pytest.mark.parametrize("spilled", [1, 2, 3])
def test_what_was_rolled_back_leaves_no_proof(layout: Layout, spilled: int) -> None:
    """Big transactions, written to the log before their end and rolled back; then a small commit in their place."""
    with lead(layout) as leader:
        with leader.transaction() as connection:
            connection.execute("CREATE TABLE some (v)")
        connection = leader._connection
        connection.pragma("cache_size", 5)
        for size in range(spilled, 0, -1):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO some VALUES (randomblob(?))", (size * 400_000,))
            connection.execute("ROLLBACK")
        before = layout.wal.stat().st_size
        with leader.transaction() as connection:
            connection.execute("INSERT INTO some VALUES (1)")
        assert layout.wal.stat().st_size == before > 400_000, "it lies before what was rolled back"
        forget(leader)
    assert find_cut(layout) is None


def test_a_commit_that_the_disk_refused_leaves_no_proof(layout: Layout) -> None:
    """Its last frame is a commit's, whole on the disk; only the fsync failed."""
    with lead(layout) as leader:
        with leader.transaction() as connection:
            connection.execute("CREATE TABLE some (v)")
        begun = layout.wal.stat().st_size
        with leader.transaction() as connection:
            connection.execute("INSERT INTO some VALUES (randomblob(400000))")
        whole = layout.wal.read_bytes()
        forget(leader)
    with layout.wal.open("r+b") as file:
        file.truncate(begun)
    with lead(layout, "new") as leader:
        with leader.transaction() as connection:
            connection.execute("INSERT INTO some VALUES (1)")
        forget(leader)
    short = layout.wal.read_bytes()
    assert len(short) < len(whole)
    layout.wal.write_bytes(short + whole[len(short) :])
    assert find_cut(layout) is None


def test_every_commit_of_a_log_is_seen_by_the_same_rule(killed: tuple[Layout, list[int]]) -> None:
    """A flip in any frame but those of the last commit is found."""
    layout, ends = killed
    sound = layout.wal.read_bytes()
    missed = []
    for frame in range(HEADER, ends[-1], FRAME):
        flip(layout.wal, frame + 24 + 17)
        if (find_cut(layout) is not None) != (frame < ends[-2]):
            missed.append(frame)
        layout.wal.write_bytes(sound)
    assert missed == []
    assert find_cut(layout) is None


def test_a_log_being_written_is_looked_at_again(
    killed: tuple[Layout, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy or a reading of a log to which a former leader writes may have a frame in part, and what came later."""
    layout, ends = killed
    sound = layout.wal.read_bytes()
    flip(layout.wal, ends[1] + 500)
    torn = layout.wal.read_bytes()
    layout.wal.write_bytes(sound)
    readings = iter([torn, sound])
    monkeypatch.setattr("noroshi.store.cutlog.read_wal", lambda path: next(readings))
    assert find_cut(layout) is None


def test_a_leader_that_is_alive_is_none_of_its_business(old: Writer, layout: Layout) -> None:
    move(old, "a", "b")
    assert balances(old._connection).serial == 2
    assert isinstance(old._connection, apsw.Connection)
    pid = os.fork()
    if not pid:
        os._exit(0 if find_cut(layout) is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
