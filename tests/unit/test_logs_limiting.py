"""The rate limit: what is let through, and what a backlog is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.messages import Limit

S = 1_000_000


def limiter(lines: int = 10, burst: int = 20, seconds: int = 1) -> Limiter:
    return Limiter(Limit(lines, seconds, burst, f"{lines}/s"), 0)


def test_a_burst_then_the_rate() -> None:
    one = limiter()
    assert one.allow(100, 0) == 20
    assert one.allow(100, S) == 10
    assert one.allow(3, 2 * S) == 3
    assert one.allow(100, 2 * S) == 7


def test_what_was_not_used_while_there_was_nothing_to_read_is_lost_but_for_the_burst() -> None:
    one = limiter()
    one.caught_up(60 * S)
    assert one.allow(1000, 60 * S) == 20


def test_a_backlog_of_less_than_the_rate_is_let_through_whole() -> None:
    one = limiter()
    one.caught_up(S)
    assert one.allow(300, 61 * S) == 300
    assert one.allow(1000, 61 * S) == 320


def test_a_clock_that_is_set_back_lets_nothing_through_twice() -> None:
    one = limiter()
    assert one.allow(100, 10 * S) == 100
    assert one.allow(100, 5 * S) == 20
    assert one.allow(100, 6 * S) == 10


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3 * S), st.booleans()), max_size=30))
def test_never_more_than_the_rate_and_one_burst(steps: list[tuple[int, int, bool]]) -> None:
    one, now, through = limiter(10, 20), 0, 0
    for lines, pause, caught_up in steps:
        now += pause
        allowed = one.allow(lines, now)
        assert 0 <= allowed <= lines
        through += allowed
        if caught_up:
            one.caught_up(now)
    assert through <= 20 + 10 * now / S
