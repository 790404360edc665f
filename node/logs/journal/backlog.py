"""What was selected of a journal and is not yet acknowledged, numbered. Pure: no I/O, no clock.

Rules: each line has the next number of the stream; a part covers numbers [start, end), has lines of one source and is
sent only once it is saved. Parts of one stream follow each other without a gap, in one batch or in several.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import msgspec

from noroshi.node.logs.outgoing import weight_of
from noroshi.node.wire.messages import LogPart

ROOM = 1024 * 1024
"""Bytes of lines that may wait."""

LINES = 16384
PARTS = 512
"""Parts in a batch."""

NO_PROGRESS = 1.0
"""Seconds until a part is sent again that the receiver answered without taking any of it."""


@dataclass(frozen=True)
class Line:
    """One selected entry. `time` is its own, in microseconds UTC."""

    source: str
    time: int
    text: str


@dataclass
class Waiting:
    """A part; once `saved` it is not changed any more, but for what the receiver has of it."""

    part: LogPart
    weight: int
    saved: bool = False
    refusals: int = 0


class Backlog:
    """One stream. `last` is the number of the newest line; what is `waiting` was saved."""

    def __init__(self, stream: bytes, deferred: bool, last: int = 0, waiting: Iterable[LogPart] = ()) -> None:
        self.stream, self.deferred, self.last = stream, deferred, last
        self.pending = [Waiting(_fitted(part, deferred), weight_of(part.lines), saved=True) for part in waiting]
        self.not_before = 0.0
        self._in_flight = False

    @property
    def room(self) -> bool:
        """Whether more may be added."""
        return sum(each.weight for each in self.pending) < ROOM and sum(len(e.part.lines) for e in self.pending) < LINES

    @property
    def unsaved(self) -> bool:
        """Whether something waits that is not on the disk."""
        return bool(self.pending) and not self.pending[-1].saved

    @property
    def parts(self) -> list[LogPart]:
        """What has to be on the disk."""
        return [each.part for each in self.pending]

    def add(self, lines: Iterable[Line], now_us: int) -> None:
        """Number these and let them wait."""
        for source, run in groupby(lines, key=lambda line: line.source):
            found = list(run)
            texts, times = [line.text for line in found], [line.time for line in found]
            newest = self.pending[-1] if self.pending else None
            if newest is None or newest.saved or newest.part.source != source:
                newest = Waiting(LogPart(self.stream, source, self.last, self.last, now_us, []), 0)
                self.pending.append(newest)
            self.last += len(texts)
            before = newest.part
            both = {"lines": before.lines + texts, "times": before.times + times}
            part = msgspec.structs.replace(before, end=self.last, **both)
            newest.part, newest.weight = _fitted(part, self.deferred), newest.weight + weight_of(texts)

    def saved(self) -> None:
        """All that waits is on the disk."""
        for each in self.pending:
            each.saved = True

    # --- sending ---

    def may_send(self, now: float) -> bool:
        return bool(self.pending) and self.pending[0].saved and not self._in_flight and now >= self.not_before

    def sending(self) -> LogPart:
        """The first part, which is now on its way."""
        self._in_flight = True
        return self.pending[0].part

    def batch(self, room: int) -> list[LogPart]:
        """The first part, and as many after it as are no heavier than `room`; one that was refused goes alone."""
        parts, weight = [self.sending()], self.pending[0].weight
        for each in [] if self.pending[0].refusals else self.pending[1:PARTS]:
            weight += each.weight
            if weight > room or not each.saved or each.refusals:
                break
            parts.append(each.part)
        return parts

    def taken(self, position: int, now: float) -> None:
        """The receiver has the lines up to this number."""
        self._in_flight = False
        if self.pending and position <= self.pending[0].part.start:
            self.not_before = now + NO_PROGRESS
        while self.pending and self.pending[0].part.end <= position:
            self.pending.pop(0)
        if self.pending and self.pending[0].part.start < position:
            first = self.pending[0]
            first.part = _fitted(_from(first.part, position), self.deferred)
        if position > self.last:  # this disk went back in time: what comes now is new all the same
            self.last = position

    def not_taken(self) -> None:
        """What was sent has to be sent again."""
        self._in_flight = False

    def skip(self) -> LogPart:
        """Give the first part up; the receiver will see the gap."""
        self._in_flight = False
        return self.pending.pop(0).part


def _from(part: LogPart, position: int) -> LogPart:
    skip = position - part.start
    return msgspec.structs.replace(part, start=position, lines=part.lines[skip:], times=part.times[skip:])


def _fitted(part: LogPart, deferred: bool) -> LogPart:
    """With the number behind each line where lines travel in pieces."""
    ends = list(range(part.start + 1, part.end + 1)) if deferred else []
    return msgspec.structs.replace(part, ends=ends)
