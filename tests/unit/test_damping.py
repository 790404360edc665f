"""Windows: when too much is too much, and when it is calm again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noroshi.store.damping import Window

SECOND = 1_000_000


def test_full_is_so_many_within_the_time_and_the_oldest_leaves_first() -> None:
    window = Window(3, 10.0)
    for at in (0, 4, 9):
        assert not window.is_full(at * SECOND)
        window.add(at * SECOND)
    assert window.is_full(9 * SECOND)
    assert not window.is_full(10 * SECOND)


def test_it_begins_with_what_the_history_has() -> None:
    assert Window(2, 10.0, [0, 1, 2]).is_full(2)


def test_calm_is_half_as_much() -> None:
    window = Window(4, 10.0, [0, 1 * SECOND, 2 * SECOND, 3 * SECOND])
    assert window.calm_at() == 11 * SECOND
    assert Window(4, 10.0, [0, 1]).calm_at() == 0


@given(st.integers(2, 8), st.lists(st.integers(0, 30), max_size=20).map(sorted))
def test_both_are_what_counting_says(count: int, times: list[int]) -> None:
    window, at = Window(count, 10.0), times[-1] * SECOND if times else 0
    for time in times:
        window.add(time * SECOND)
    kept = [time * SECOND for time in times[-count:]]
    assert window.is_full(at) == (sum(at - time < 10 * SECOND for time in kept) >= count)
    calm = window.calm_at()
    assert sum(calm - time < 10 * SECOND for time in kept) <= count // 2
    assert calm == 0 or sum(calm - 1 - time < 10 * SECOND for time in kept) > count // 2
