"""From items to packets and back to what the coordinator takes: deferred lines are split, runs become batches (spec 5).

Rules: a part of a log is split between lines, each piece with its own bytes [start, end) and what was held back among
them, so that any number of pieces may be taken and the rest sent again. An item that cannot be read, or that the
coordinator cannot work on, stands alone as `Unfit`: it is set aside, for nothing would ever come of sending it again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import msgspec

from noroshi.node.core.packet import Item, Kind, Run, decode_item
from noroshi.node.wire.codec import BadMessage, encode
from noroshi.node.wire.messages import EventBatch, Held, LineBatch, LogPart, OutcomeBatch, Unfit

Batch = EventBatch | LineBatch | OutcomeBatch

_Name = Literal["deferred", "deferred-logs", "outcomes"]
_NAMES: Mapping[object, _Name] = MappingProxyType(
    {EventBatch: "deferred", LineBatch: "deferred-logs", OutcomeBatch: "outcomes"}
)
"""What streams of such batches are called in the database."""
_BATCHES = {Kind.EVENT: EventBatch, Kind.LOG: LineBatch, Kind.OUTCOME: OutcomeBatch}
_LARGEST = 2**63 - 1
_HEADS = 12
"""Bytes by which the heads of three lists may grow."""
_LINE_COST = 5 + 9 + 9
"""Bytes that a line takes beside its text, at most: its length, its end, its time."""


def split(part: LogPart, most: int, borders: Iterable[int] = ()) -> list[LogPart]:
    """Pieces that take at most `most` bytes each when encoded, in order; a line too long for that is one by itself.

    No piece goes across one of the offsets `borders`. A part that does not tell where its lines end is left whole.
    """
    return [piece for within in split_at(part, borders) for piece in _split(within, most)]


def split_at(part: LogPart, borders: Iterable[int]) -> list[LogPart]:
    """The same in parts that end where a border lies in it; whole where it does not tell where its lines end."""
    inside = sorted({border for border in borders if part.start < border < part.end})
    if len(part.ends) != len(part.lines) or not inside:
        return [part]
    return [within(part, start, end) for start, end in pairwise([part.start, *inside, part.end])]


def within(part: LogPart, start: int, end: int) -> LogPart:
    """What of a part lies behind `start`, up to `end`. Where it does not say where what was held back lies, that is at
    its end."""
    first, last = bisect_right(part.ends, start), bisect_right(part.ends, end)
    held = part.held
    if held is not None and (held.ends or end < part.end):
        ends = held.ends[bisect_right(held.ends, start) : bisect_right(held.ends, end)]
        held = Held(len(ends), held.limit, ends) if ends else None
    rest: dict[str, Sequence[object]] = {
        "lines": part.lines[first:last],
        "ends": part.ends[first:last],
        "times": part.times[first:last],
    }
    return msgspec.structs.replace(part, start=start, end=end, held=held, **rest)


def _split(part: LogPart, most: int) -> list[LogPart]:
    if len(part.ends) != len(part.lines) or not part.lines:
        return [msgspec.structs.replace(part, held=_held_among(part, part.start, part.end))]
    pieces, first = [], 0
    for last in _cuts(part, most):
        start = part.ends[first - 1] if first else part.start
        end = part.ends[last - 1] if last < len(part.lines) else part.end
        held = _held_among(part, start, end)
        piece = slice(first, last)
        pieces.append(
            LogPart(
                part.stream,
                part.source,
                start,
                end,
                part.observed_at,
                part.lines[piece],
                part.ends[piece],
                part.times[piece],
                held,
            )
        )
        first = last
    return pieces


def _held_among(part: LogPart, start: int, end: int) -> Held | None:
    """What was held back in (start, end] of the part; where it does not say where, all of it in the last piece."""
    held = part.held
    if held is None or not held.ends:
        return held if end == part.end else None
    count = bisect_right(held.ends, end) - bisect_right(held.ends, start)
    return Held(count, held.limit) if count else None


def _cuts(part: LogPart, most: int) -> list[int]:
    """Behind which lines the pieces end."""
    held = part.held and Held(part.held.lines, part.held.limit)
    empty = len(encode(LogPart(part.stream, part.source, _LARGEST, _LARGEST, _LARGEST, [], [], [], held))) + _HEADS
    cuts, size = [], empty
    for index, line in enumerate(part.lines):
        cost = len(line.encode()) + _LINE_COST
        if size + cost > most and size > empty:
            cuts.append(index)
            size = empty
        size += cost
    return [*cuts, len(part.lines)]


def read(run: Run) -> list[Batch | Unfit]:
    """A run of deferred events, lines or outcomes as the coordinator takes it, in order. Raises KeyError for others."""
    make = _BATCHES[run.kind]
    found: list[Batch | Unfit] = []
    items: list[Item] = []
    for sequence, body in enumerate(run.items, run.first):
        try:
            items.append(decode_item(run.kind, body))
        except BadMessage as error:
            if items:
                found.append(make(run.stream, sequence - len(items), run.oldest, items))
            found.append(Unfit(run.stream, sequence, run.oldest, _NAMES[make], body, str(error)))
            items = []
    if items:
        found.append(make(run.stream, run.last + 1 - len(items), run.oldest, items))
    return found


def narrowed(batch: Batch | Unfit, why: str) -> list[Batch | Unfit]:
    """What cannot be worked on, in two batches; one item as unfit; nothing of what is so already."""
    if isinstance(batch, Unfit):
        return []
    items = items_of(batch)
    if len(items) == 1:
        return [Unfit(batch.stream, batch.first, batch.oldest, _NAMES[type(batch)], encode(items[0]), why)]
    half = len(items) // 2
    make: Callable[..., Batch] = type(batch)
    return [
        make(batch.stream, batch.first, batch.oldest, items[:half]),
        make(batch.stream, batch.first + half, batch.oldest, items[half:]),
    ]


def items_of(batch: Batch) -> Sequence[Item]:
    """What a batch holds."""
    match batch:
        case EventBatch():
            return batch.reports
        case LineBatch():
            return batch.parts
        case OutcomeBatch():
            return batch.answers
