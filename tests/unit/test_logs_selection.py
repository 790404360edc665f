"""Which lines are wanted, and patterns that take too long."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs.selection import Limits, RanOut, Selection, Timer

POISON = "a" * 40 + "b"
NESTED = "(a+)+$"


@pytest.fixture(scope="module")
def timer() -> Iterator[Timer]:
    timer = Timer()
    yield timer
    timer.close()


def selection(timer: Timer, select: list[str], except_: list[str] | None = None, strikes: int = 3) -> Selection:
    return Selection(select, except_ or [], Limits(block=0.02, line=0.01, strikes=strikes), timer, lambda: None)


@pytest.mark.parametrize(
    ("select", "except_", "expected"),
    [
        ([], [], ["error one", "fail two", "fine", ""]),
        (["error"], [], ["error one"]),
        (["^f"], [], ["fail two", "fine"]),
        (["error", "fail"], ["one"], ["fail two"]),
        (["(?i)ERROR", r"^\Z", r"\btwo$"], [], ["error one", "fail two", ""]),
        ([], ["error", "fail", "^$"], ["fine"]),
    ],
)
def test_select_and_except(timer: Timer, select: list[str], except_: list[str], expected: list[str]) -> None:
    assert selection(timer, select, except_).of(["error one", "fail two", "fine", ""]) == expected


@given(
    st.lists(st.sampled_from(["a", "b$", "^c", "[de]", "ab|cd"]), max_size=5), st.lists(st.text("abcde", max_size=5))
)
def test_many_patterns_are_any_of_them(timer: Timer, patterns: list[str], lines: list[str]) -> None:
    found = [line for line in lines if not patterns or any(re.search(pattern, line) for pattern in patterns)]
    assert selection(timer, patterns).of(lines) == found
    assert selection(timer, [], patterns).of(lines) == [line for line in lines if not patterns or line not in found]


def test_a_line_that_a_pattern_takes_too_long_for_counts_as_selected(timer: Timer) -> None:
    chosen = selection(timer, [NESTED])
    started = time.process_time()
    assert chosen.of(["no", POISON, "aa", "no"]) == [POISON, "aa"]
    assert time.process_time() - started < 1
    assert chosen.ran_out == [RanOut(NESTED, 41, 1, set_aside=False)]
    assert chosen.of(["no", "aa"]) == ["aa"]


def test_as_an_except_it_keeps_no_line_back(timer: Timer) -> None:
    assert selection(timer, [], [NESTED, "x"]).of([POISON, "aa", "x", "y"]) == [POISON, "y"]


@pytest.mark.parametrize("as_except", [False, True])
def test_after_some_strikes_it_is_set_aside_and_holds_nothing_back(timer: Timer, as_except: bool) -> None:
    chosen = selection(timer, [], [NESTED]) if as_except else selection(timer, [NESTED, "z"])
    assert chosen.of(["no", *[POISON] * 5, "no"]) == (["no"] if as_except else []) + [POISON] * 5 + ["no"]
    assert [event.strikes for event in chosen.ran_out] == [1, 2, 3]
    assert [event.set_aside for event in chosen.ran_out] == [False, False, True]
    assert chosen.of(["no", "aa", POISON]) == ["no", "aa", POISON]
    assert len(chosen.ran_out) == 3


@pytest.mark.parametrize("as_except", [False, True])
def test_a_pattern_that_is_slow_on_each_line_holds_a_block_up_only_so_long(timer: Timer, as_except: bool) -> None:
    slow = ["a" * 20 + "b"] * 200
    patterns: tuple[list[str], list[str]] = ([], [NESTED]) if as_except else ([NESTED], [])
    chosen = Selection(*patterns, Limits(block=0.02, line=60.0, strikes=3, lines=0.05), timer, lambda: None)
    for number in range(3):
        found = chosen.of(slow)
        assert (len(found) == 200) if as_except else (0 < len(found) < 200), "what was looked at is known"
        assert [(out.strikes, out.slow) for out in chosen.ran_out] == [(number + 1, True)]
        assert chosen.ran_out.pop().set_aside == (number == 2)
    assert chosen.of(slow) == slow and not chosen.ran_out


def test_signs_of_life_come_while_a_block_takes_long(timer: Timer) -> None:
    signs: list[float] = []
    chosen = Selection([NESTED], [], Limits(0.02, 0.01, 5), timer, lambda: signs.append(time.monotonic()))
    chosen.of([POISON] * 5)
    assert len(signs) >= 5


def test_the_timer_raises_nowhere_else(timer: Timer) -> None:
    """A time that ends within a microsecond or two of the block's own end never raises after it."""
    chosen = Selection(["x"], [], Limits(block=0.000_01, line=0.05, strikes=3), timer, lambda: None)
    lines = ["y" * 50] * 200
    until = time.process_time() + 0.5
    while time.process_time() < until:
        assert chosen.of(lines) == []
