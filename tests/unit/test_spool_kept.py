"""Which segments may go, what that loses, and where sending goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.kept import Kept, Segment
from noroshi.node.core.spool import Item, Loss, Name

A, B = b"a" * 16, b"b" * 16


def kept(*segments: tuple[bytes, int, int], written: float = 0.0) -> Kept:
    return Kept([Segment(Name(at, first, of), last, written) for at, (of, first, last) in enumerate(segments, 1)])


def ranges(segments: list[Segment]) -> list[tuple[bytes, int, int]]:
    return [(segment.stream, segment.first, segment.last) for segment in segments]


def place(keeper: Kept, stream: bytes | None = None, after: int = 0) -> tuple[bytes, int] | None:
    found = keeper.place(stream, after)
    return (found.segment.stream, found.sequence) if found else None


def test_acknowledged_segments_go_whole_and_the_active_one_stays() -> None:
    keeper = kept((A, 1, 10), (A, 11, 20), (A, 21, 30))
    assert ranges(keeper.acknowledge(A, 9)) == []
    assert place(keeper) == (A, 10)
    assert ranges(keeper.acknowledge(A, 25)) == [(A, 1, 10), (A, 11, 20)]
    assert ranges(keeper.acknowledge(A, 30)) == []
    assert (place(keeper), keeper.pending, keeper.active.first) == (None, 0, 21)


def test_an_acknowledgement_beyond_the_end_counts_to_the_end() -> None:
    keeper = kept((A, 1, 10))
    keeper.acknowledge(A, 1000)
    keeper.active.last = 11
    assert place(keeper) == (A, 11)


def test_a_receiver_that_went_back_gets_again_what_is_kept() -> None:
    keeper = kept((A, 1, 10), (A, 11, 20))
    keeper.acknowledge(A, 18)
    keeper.acknowledge(A, 12)
    assert (place(keeper), keeper.oldest(A, 13), keeper.pending) == ((A, 13), 11, 8)


def test_unknown_streams_change_nothing() -> None:
    keeper = kept((A, 1, 10))
    assert keeper.acknowledge(B, 5) == []
    assert (place(keeper), place(keeper, B)) == ((A, 1), None)


def test_an_older_stream_is_sent_to_its_end_first() -> None:
    keeper = kept((A, 1, 3), (B, 1, 2))
    assert keeper.streams == [A, B]
    assert (place(keeper), place(keeper, B), place(keeper, A, 2)) == ((A, 1), (B, 1), (A, 3))
    keeper.acknowledge(A, 3)
    assert (place(keeper), keeper.streams) == ((B, 1), [B])


def test_the_bound_drops_the_oldest_and_counts_only_what_was_not_taken() -> None:
    keeper = kept((A, 1, 10), (A, 11, 20), (A, 21, 30), (A, 31, 31))
    keeper.acknowledge(A, 4)
    gone, losses = keeper.bound(2)
    assert ranges(gone) == [(A, 1, 10), (A, 11, 20)]
    assert losses == [Loss("size", A, 5, 10), Loss("size", A, 11, 20)]
    assert [loss.count for loss in losses] == [6, 10]
    assert (place(keeper), keeper.oldest(A, 21)) == ((A, 21), 21)


def test_age_drops_what_was_last_written_long_ago_but_not_the_active_one() -> None:
    keeper = kept((A, 1, 10), (A, 11, 20), written=100.0)
    assert keeper.expire(100.0) == ([], [])
    gone, losses = keeper.expire(100.1)
    assert (ranges(gone), losses) == ([(A, 1, 10)], [Loss("age", A, 1, 10)])
    assert keeper.expire(1000.0) == ([], [])


def test_a_hole_is_told_once_skipped_and_declared() -> None:
    keeper = kept((A, 1, 10), (A, 11, 20))
    readable = [Item(sequence, b"") for sequence in (1, 2, 6, 7, 8)]
    assert keeper.found(keeper.place().segment, 10, readable) == [  # type: ignore[union-attr]
        Loss("damage", A, 3, 5),
        Loss("damage", A, 9, 10),
    ]
    assert keeper.found(keeper.place().segment, 10, readable) == []  # type: ignore[union-attr]
    assert [place(keeper, A, after) for after in (1, 2, 5, 8)] == [(A, 2), (A, 6), (A, 6), (A, 11)]
    assert [keeper.oldest(A, sequence) for sequence in (2, 6, 11)] == [1, 6, 11]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.lists(st.integers(0, 40), max_size=6), st.integers(1, 6))
def test_nothing_pending_goes_without_being_counted(sizes: list[int], acks: list[int], most: int) -> None:
    first, segments = 1, []
    for size in sizes:
        segments.append((A, first, first + size - 1))
        first += size
    keeper = kept(*segments)
    for ack in sorted(acks):
        keeper.acknowledge(A, ack)
    before = keeper.pending
    assert before == first - 1 - min(max(acks, default=0), first - 1)
    _, losses = keeper.bound(most)
    assert keeper.pending + sum(loss.count for loss in losses) == before
    assert len(keeper) <= max(most, 1)
    assert keeper.active.first == segments[-1][1]
