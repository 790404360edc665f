"""The mark file: what it says, that it never says it twice, and what damage means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.store.disk import create_new
from noroshi.store.mark import OTHERS, SIZE, Mark, Owner, OwnMark, Phase, decode, encode, read_mark

names = st.text(min_size=1, max_size=20)
owners = st.builds(
    Owner,
    node=names,
    term=st.integers(0, 2**63 - 1),
    pid=st.integers(1, 2**22),
    incarnation=st.binary(max_size=16).map(bytes.hex),
    machine=names,
    started=st.integers(0, 2**63 - 1),
)
marks = st.builds(
    Mark,
    term=st.integers(1, 2**63 - 1),
    counter=st.integers(0, 2**62),
    token=st.binary(min_size=8, max_size=8).map(bytes.hex),
    owner=owners,
    closed=st.booleans(),
    unsettled=st.lists(owners, max_size=6).map(tuple),
)
MARK = Mark(7, 0, "aa", Owner("db1", 7, 42))


@given(marks)
def test_a_mark_comes_back_as_it_was_written(mark: Mark) -> None:
    raw = encode(mark)
    assert len(raw) == SIZE
    assert decode(raw) == mark


@given(marks, st.integers(0, SIZE - 1), st.integers(1, 255))
def test_one_wrong_byte_is_damage(mark: Mark, position: int, change: int) -> None:
    raw = bytearray(encode(mark))
    raw[position] ^= change
    assert decode(bytes(raw)) is None


@given(marks, marks, st.integers(0, SIZE))
def test_a_torn_mark_is_one_of_the_two_or_damage(old: Mark, new: Mark, tear: int) -> None:
    assert decode(encode(new)[:tear] + encode(old)[tear:]) in (old, new, None)


@given(st.binary(max_size=SIZE))
def test_whatever_is_there_is_never_an_error(raw: bytes) -> None:
    assert decode(raw) is None


@given(st.integers(0, 10**6), st.sampled_from([Phase.NORMAL, Phase.COPYING, Phase.TRUNCATING]))
def test_the_counter_only_grows_and_tells_the_phase(counter: int, phase: Phase) -> None:
    before = Mark(1, counter, "t", Owner("n", 1, 1))
    after = before.advanced(phase)
    assert after.phase is phase
    assert counter < after.counter <= counter + 3


def test_more_unsettled_leaders_than_fit_are_never_forgotten() -> None:
    many = tuple(Owner(f"node{number}", number, number, "ab" * 8, "m" * 60, number) for number in range(30))
    read = decode(encode(Mark(31, 0, "t", many[-1], unsettled=many)))
    assert read is not None
    assert read.unsettled[-1] == OTHERS
    assert set(read.unsettled[:-1]) < set(many)


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(Mark(1, 0, "t", Owner("n" * 5000, 1, 1)))


def test_a_missing_mark_is_unknown(tmp_path: Path) -> None:
    seen = read_mark(tmp_path / "mark")
    assert (seen.raw, seen.mark, seen.phase) == (None, None, Phase.UNKNOWN)


def test_changes_are_in_place_and_seen_by_the_next_open(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    own = OwnMark(create_new(path), MARK)
    own.write(MARK)
    inode = path.stat().st_ino
    seen = [read_mark(path)]
    for phase in (Phase.COPYING, Phase.TRUNCATING, Phase.NORMAL):
        own.enter(phase)
        seen.append(read_mark(path))
        assert seen[-1].phase is phase
        assert seen[-1].mark == own.value
    assert len({entry.raw for entry in seen}) == 4
    assert (path.stat().st_ino, path.stat().st_size) == (inode, SIZE)
    own.close()


def test_a_change_that_fails_is_not_taken_for_made(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    own = OwnMark(create_new(path), MARK)
    own.write(MARK)
    own.close()
    own.descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        own.enter(Phase.COPYING)
    assert own.value == MARK
    own.close()
