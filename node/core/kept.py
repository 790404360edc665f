"""What a spool keeps and what may go: segments in order, acknowledgements, holes. No files here.

Role: the bookkeeping of one spool (design section 2, Streams; oldest kept, acknowledged dropped).
Rules: the last segment is the one being written and never goes, so the next sequence is always known. A segment goes
whole: when all of it was acknowledged, or as the oldest when a bound is passed, and then what it held is a Loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from noroshi.node.core.spool import Item, Loss, Name, missing


@dataclass
class Segment:
    """One file. `last` is the last sequence, first-1 while there is none; `written` is monotonic seconds."""

    name: Name
    last: int
    written: float

    @property
    def stream(self) -> bytes:
        return self.name.stream

    @property
    def first(self) -> int:
        return self.name.first


@dataclass(frozen=True)
class Place:
    """Where reading goes on: this sequence, in this segment."""

    segment: Segment
    sequence: int


class Kept:
    """The segments of a spool, oldest first; never empty."""

    def __init__(self, segments: list[Segment]) -> None:
        self._segments = segments
        self._acknowledged: dict[bytes, int] = {}
        self._holes: list[tuple[bytes, int, int]] = []

    @property
    def active(self) -> Segment:
        """The segment being written."""
        return self._segments[-1]

    @property
    def names(self) -> list[Name]:
        """The segments' names."""
        return [segment.name for segment in self._segments]

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def streams(self) -> list[bytes]:
        """Every stream once, the oldest first."""
        return list(dict.fromkeys(segment.stream for segment in self._segments))

    def last(self, stream: bytes) -> int:
        """The last sequence of a stream, 0 for an unknown one."""
        return max((segment.last for segment in self._segments if segment.stream == stream), default=0)

    @property
    def pending(self) -> int:
        """How many items wait for their acknowledgement."""
        return sum(self._unacknowledged(segment) for segment in self._segments)

    def begin(self, segment: Segment) -> None:
        """`segment` is the one being written from now on."""
        self._segments.append(segment)

    def acknowledge(self, stream: bytes, sequence: int) -> list[Segment]:
        """The receiver stands at `sequence` of a stream; the segments that go. Unknown streams are ignored.

        A lower sequence than before is believed (the receiver's database was restored): it is sent again if kept.
        """
        mine = [segment for segment in self._segments if segment.stream == stream]
        if mine:
            self._acknowledged[stream] = min(sequence, mine[-1].last)
        return self.done()

    def done(self) -> list[Segment]:
        """Drop the oldest that were acknowledged whole."""
        return self._drop(lambda segment: not self._unacknowledged(segment))

    def bound(self, most: int) -> tuple[list[Segment], list[Loss]]:
        """Drop the oldest until `most` segments are left: what goes, what that loses."""
        surplus = len(self._segments) - most
        return self._drop_counted(set(map(id, self._segments[:surplus])) if surplus > 0 else set(), "size")

    def expire(self, before: float) -> tuple[list[Segment], list[Loss]]:
        """Drop the oldest that were last written before this monotonic instant."""
        return self._drop_counted({id(segment) for segment in self._segments if segment.written < before}, "age")

    def place(self, stream: bytes | None = None, after: int = 0) -> Place | None:
        """The next item to send, of all or of one stream: after what was acknowledged, and after `after`."""
        for segment in self._segments:
            if stream is None or segment.stream == stream:
                start = max(segment.first, self._position(segment.stream) + 1, after + 1)
                start = self._past_hole(segment.stream, start)
                if start <= segment.last:
                    return Place(segment, start)
        return None

    def oldest(self, stream: bytes, sequence: int) -> int:
        """The oldest sequence kept from which on everything up to `sequence` is kept too; 1 for an unknown stream."""
        first = min((segment.first for segment in self._segments if segment.stream == stream), default=1)
        return max([first, *(last + 1 for of, _, last in self._holes if of == stream and last < sequence)])

    def found(self, segment: Segment, last: int, items: list[Item]) -> list[Loss]:
        """`items` are what could be read of `segment` up to `last`; what is missing and was not known to be."""
        holes = [(segment.stream, *hole) for hole in missing(items, segment.first, last)]
        fresh = [hole for hole in holes if hole not in self._holes]
        self._holes += fresh
        return [Loss("damage", *hole) for hole in fresh]

    def _position(self, stream: bytes) -> int:
        return self._acknowledged.get(stream, 0)

    def _unacknowledged(self, segment: Segment) -> int:
        return max(segment.last - max(self._position(segment.stream), segment.first - 1), 0)

    def _past_hole(self, stream: bytes, sequence: int) -> int:
        for of, first, last in self._holes:
            if of == stream and first <= sequence <= last:
                return last + 1
        return sequence

    def _drop_counted(self, which: set[int], reason: Literal["size", "age"]) -> tuple[list[Segment], list[Loss]]:
        gone = self._drop(lambda segment: id(segment) in which)
        losses = [
            Loss(reason, segment.stream, segment.last + 1 - count, segment.last)
            for segment in gone
            if (count := self._unacknowledged(segment))
        ]
        return gone, losses

    def _drop(self, may_go: Callable[[Segment], bool]) -> list[Segment]:
        """Take the leading segments that may go, never the active one."""
        gone: list[Segment] = []
        while len(self._segments) > 1 and may_go(self._segments[0]):
            gone.append(self._segments.pop(0))
        kept = {segment.stream for segment in self._segments}
        self._holes = [hole for hole in self._holes if hole[0] in kept]
        self._acknowledged = {of: last for of, last in self._acknowledged.items() if of in kept}
        return gone
