"""What is told about the monitor's own troubles, and when; and what is saved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs.messages import Raise
from noroshi.node.logs.position import Position, digest
from noroshi.node.logs.saved import State, Store, _drop_oldest
from noroshi.node.logs.troubles import PASSING, REPEAT, Troubles
from noroshi.node.wire.messages import LogPart
from noroshi.store.errors import NoroshiError

OK = Raise("OK", "")


def test_a_standing_trouble_is_told_once_and_its_end_too() -> None:
    troubles = Troubles()
    assert troubles.stands("disk", "ERROR", "full", 0) == [Raise("ERROR", "full")]
    assert troubles.stands("disk", "ERROR", "full", 1) == []
    assert troubles.tick(10 * PASSING) == []
    assert troubles.clear("disk") == [OK]
    assert troubles.clear("disk") == []


def test_new_words_wait_and_are_not_forgotten() -> None:
    troubles = Troubles()
    troubles.passes("gap", "WARNING", "10 bytes", 0)
    assert troubles.passes("gap", "WARNING", "20 bytes", 1) == []
    assert troubles.passes("gap", "WARNING", "30 bytes", 2) == []
    assert troubles.tick(REPEAT - 1) == []
    assert troubles.tick(REPEAT) == [Raise("WARNING", "30 bytes")]
    assert troubles.tick(REPEAT + 1) == []
    assert troubles.tick(2 + PASSING) == [OK]


def test_worse_is_told_at_once_and_the_worst_stays_the_state() -> None:
    troubles = Troubles()
    troubles.passes("pattern", "WARNING", "slow", 0)
    assert troubles.stands("pattern", "ERROR", "aside", 1) == [Raise("ERROR", "aside")]
    assert troubles.passes("gap", "WARNING", "lost", 2) == [Raise("WARNING", "lost"), Raise("ERROR", "aside")]
    assert troubles.clear("pattern") == [Raise("WARNING", "lost")]
    assert troubles.any


def test_all_is_well_is_told_only_to_those_who_may_think_otherwise() -> None:
    assert Troubles().settle() == []
    assert Troubles(unsure=True).settle() == [OK]


POSITION = Position(b"s" * 16, "/l/a", "/l/a.1", 1, 2, 3, digest(b"abc"), 4, 5, 6, 7, 8)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "logs")
    assert store.open()
    odd = Position(b"t" * 16, "/l/\udcff", "/l/\udcfe", 1, 2, 3, b"", 2**62, 5, 6, 7, 8)
    state = State(frozenset({"/l/*", "/m"}), (POSITION, odd), clean=False)
    assert store.load() == State()
    store.save(state)
    assert store.load() == state
    store.close()


def test_one_monitor_at_a_time(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    assert first.open()
    assert not second.open()
    first.close()
    assert second.open()
    second.close()


def test_a_directory_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NoroshiError, match="look at 'state'"):
        Store(tmp_path / "file" / "logs").open()


@given(st.binary(max_size=60))
def test_damaged_positions_are_told_and_kept(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("state")
    (directory / "positions").write_bytes(data)
    state = Store(directory).load()
    assert state.damaged and not state.clean and state.positions == ()
    assert (directory / "positions.damaged").read_bytes() == data


def test_what_is_set_aside_is_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paths = [
        store.set_aside(LogPart(b"s" * 16, "/l/a", number, number + 1, 1, ["x" * 100]), "bad") for number in range(5)
    ]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert all(path.exists() for path in paths)
    _drop_oldest(tmp_path / "aside", 2 * paths[0].stat().st_size)
    assert [path for path in paths if path.exists()] == paths[3:]
