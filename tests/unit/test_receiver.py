"""What of a batch is taken: nothing twice, nothing left out that its sender still keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.receiver import Take, take


@pytest.mark.parametrize(
    ("first", "oldest", "count", "last", "expected"),
    [
        (1, 1, 3, None, Take(0, 3)),
        (5, 5, 3, None, Take(0, 7)),
        (4, 1, 3, 3, Take(0, 6)),
        (2, 1, 4, 3, Take(2, 5)),
        (1, 1, 2, 9, Take(2, 9)),
        (6, 1, 2, 3, None),
        (6, 6, 2, 3, Take(0, 7, lost=2)),
        (5, 6, 3, 3, Take(1, 7, lost=2)),
        (8, 6, 2, 3, Take(2, 5, lost=2)),
    ],
    ids=["new", "new, later", "next", "overlap", "old", "ahead", "gap", "gap within", "gap, and kept items before it"],
)
def test_a_batch(first: int, oldest: int, count: int, last: int | None, expected: Take | None) -> None:
    assert take(first, oldest, count, last) == expected


@given(
    st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), st.lists(st.integers(1, 5), min_size=60, max_size=60)
)
def test_a_restored_receiver_gets_all_that_is_kept_once_and_counts_the_rest(
    oldest: int, last: int, acknowledged: int, sizes: list[int]
) -> None:
    """The sender goes on from what was acknowledged before the restore, and believes what it is told."""
    newest, taken, lost = 40, list(range(1, last + 1)), 0
    for count in sizes:
        first = max(acknowledged + 1, oldest)
        if first > newest:
            break
        items = list(range(first, min(first + count, newest + 1)))
        found = take(first, oldest, len(items), last)
        if found is not None:
            taken += items[found.skip :]
            lost += found.lost
            last = found.position
        acknowledged = last
    assert acknowledged >= newest
    assert taken == sorted(set(taken))
    assert set(range(max(oldest, 1), newest + 1)) <= set(taken)
    assert lost == newest - len(taken)
