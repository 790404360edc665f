"""Deferred lines in pieces and back, and runs as the coordinator takes them."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.batches import Batch, items_of, narrowed, read, split
from noroshi.node.core.packet import TO_COORDINATOR, Kind, Run
from noroshi.node.core.receiver import take, take_part
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import Answer, EventBatch, LineBatch, LogPart, OutcomeBatch, Report, Unfit

STREAM = b"stream-of-16-by."


def part_of(lines: list[str], gaps: list[int], start: int = 1000) -> LogPart:
    """`gaps`: bytes not selected before each line; some follow the last."""
    ends = [*accumulate((gap + len(line.encode()) + 1 for line, gap in zip(lines, gaps, strict=True)), initial=start)]
    return LogPart(STREAM, "/var/log/x", start, ends[-1] + 7, 5, lines, ends[1:])


lines_and_gaps = st.lists(st.tuples(st.text(max_size=300), st.integers(0, 5000)), min_size=1, max_size=60)


@given(lines_and_gaps, st.integers(300, 4000))
def test_pieces_follow_one_another_and_fit(content: list[tuple[str, int]], most: int) -> None:
    part = part_of([line for line, _ in content], [gap for _, gap in content])
    pieces = split(part, most)
    assert [line for piece in pieces for line in piece.lines] == part.lines
    assert [end for piece in pieces for end in piece.ends] == part.ends
    assert [piece.start for piece in pieces] == [part.start, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == part.end
    for piece in pieces:
        assert piece.lines
        assert len(encode(piece)) <= most or len(piece.lines) == 1
        assert piece.start < piece.ends[0] and piece.ends[-1] <= piece.end


@given(lines_and_gaps, st.integers(300, 2000), st.data())
def test_however_pieces_are_cut_again_each_line_is_taken_once(
    content: list[tuple[str, int]], most: int, data: st.DataObject
) -> None:
    """Some pieces were taken; then the file is read again from somewhere before that, to somewhere behind it."""
    whole = part_of([f"{number} {line}" for number, (line, _) in enumerate(content)], [gap for _, gap in content])
    first = split(whole, most)
    position: int | None = None
    taken: list[str] = []
    for piece in first[: data.draw(st.integers(0, len(first)))]:
        taken += piece.lines
        position = piece.end
    begin = data.draw(st.integers(0, len(whole.lines) if position is None else len(taken)))
    start = whole.ends[begin - 1] if begin else whole.start
    if position is None:
        begin, start = 0, whole.start
    again = LogPart(STREAM, whole.source, start, whole.end, 6, whole.lines[begin:], whole.ends[begin:])
    for piece in split(again, data.draw(st.integers(300, 5000))):
        found = take_part(piece.start, piece.end, position, piece.ends)
        assert found.lost == 0
        position = found.position
        if found.taken:
            taken += piece.lines[found.skip :]
    assert taken == whole.lines
    assert position == whole.end


def test_a_line_too_long_stands_alone() -> None:
    pieces = split(part_of(["a", "b" * 5000, "c"], [0, 0, 0]), 4000)
    assert [piece.lines for piece in pieces] == [["a"], ["b" * 5000], ["c"]]


def test_a_part_that_does_not_tell_its_lines_apart_stays_whole() -> None:
    part = LogPart(STREAM, "/var/log/x", 0, 9000, 5, ["b" * 3000] * 3)
    assert split(part, 4000) == [part]
    assert take_part(part.start, part.end, 100, part.ends).taken is False


@pytest.mark.parametrize(
    ("last", "taken", "skip", "position", "lost"),
    [
        (None, True, 0, 400, 0),
        (100, True, 0, 400, 0),
        (60, True, 0, 400, 40),
        (150, True, 0, 400, 0),
        (200, True, 1, 400, 0),
        (399, True, 2, 400, 0),
        (400, False, 0, 400, 0),
        (500, False, 0, 500, 0),
    ],
)
def test_what_of_a_part_is_new(last: int | None, taken: bool, skip: int, position: int, lost: int) -> None:
    found = take_part(100, 400, last, [200, 300])
    assert (found.taken, found.skip, found.position, found.lost) == (taken, skip, position, lost)


REPORTS = [Report(0, f"app/{number}", "OK", "", 5) for number in range(5)]


def run_of(kind: Kind, bodies: list[bytes]) -> Run:
    return Run(kind, TO_COORDINATOR, STREAM, 11, 7, tuple(bodies))


def test_a_run_is_a_batch_of_its_kind() -> None:
    part, answer = LogPart(STREAM, "/x", 0, 9, 5, ["a"], [2]), Answer("d1", "delivered", "exit status 0")
    assert read(run_of(Kind.EVENT, list(map(encode, REPORTS)))) == [EventBatch(STREAM, 11, 7, REPORTS)]
    assert read(run_of(Kind.LOG, [encode(part)])) == [LineBatch(STREAM, 11, 7, [part])]
    assert read(run_of(Kind.OUTCOME, [encode(answer)])) == [OutcomeBatch(STREAM, 11, 7, [answer])]


@given(st.lists(st.booleans(), min_size=1, max_size=5))
def test_what_cannot_be_read_stands_alone_and_holds_up_nothing(good: list[bool]) -> None:
    bodies = [encode(report) if fine else b"\xc1" for fine, report in zip(good, REPORTS, strict=False)]
    last, unfit, events = 10, [], []
    for batch in read(run_of(Kind.EVENT, bodies)):
        one = isinstance(batch, Unfit)
        found = take(batch.first, batch.oldest, 1 if one else len(batch.reports), last)
        assert found is not None and found.lost == 0
        last = found.position
        if isinstance(batch, Unfit):
            unfit.append(batch.first)
            assert (batch.stream, batch.kind, batch.body) == (STREAM, "deferred", b"\xc1")
            assert batch.why
        else:
            events += batch.reports[found.skip :]
    assert events == [report for fine, report in zip(good, REPORTS, strict=False) if fine]
    assert unfit == [11 + place for place, fine in enumerate(good) if not fine]
    assert last == 10 + len(good)


@pytest.mark.parametrize(
    "batch",
    [
        EventBatch(STREAM, 11, 7, REPORTS),
        LineBatch(STREAM, 11, 7, [LogPart(STREAM, "/x", 0, 9, 5, ["a"], [2])] * 5),
        OutcomeBatch(STREAM, 11, 7, [Answer("d1", "delivered", "")] * 5),
    ],
)
def test_a_batch_is_narrowed_down_to_single_items(batch: Batch) -> None:
    narrow: list[Batch | Unfit] = [batch]
    for _ in range(5):
        narrow = [part for wide in narrow for part in narrowed(wide, "no")]
    assert narrow == [], "what is unfit already is not narrowed any more"
    halves = narrowed(batch, "no")
    assert [(half.first, half.oldest, half.stream) for half in halves] == [(11, 7, STREAM), (13, 7, STREAM)]
    (one,) = narrowed(narrowed(halves[0], "no")[1], "no")
    assert isinstance(one, Unfit)
    assert (one.first, one.oldest, one.body, one.why) == (12, 7, encode(items_of(batch)[1]), "no")
