"""What was read of one incarnation and is not acknowledged yet: parts of selected lines. Pure: no I/O, no clock.

Rules: what a part covers begins where the last one ended, so bytes without a selected line leave no gap between parts.
A part grows until it is sent, and stays until it is acknowledged. Deferred lines are sent with the offset behind each,
for they travel in pieces. Of the first part of a life the offsets are known too: the receiver may have some of it from
the life before, and the file may be gone by then. What the rate limit holds back is counted in the part that covers its
bytes, so that the receiver takes both or neither; its offsets are known wherever those of the lines are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import msgspec

from noroshi.node.core.batches import split_at, within
from noroshi.node.logs.cutting import BLOCK
from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.lines import MOST_LINES
from noroshi.node.logs.times import UNKNOWN, OwnTimes
from noroshi.node.wire.messages import Held, LogPart

PART = 2 * 1024 * 1024
"""Bytes of lines that a part waiting to be sent may grow to: what one commit of the receiver is worth."""

NO_PROGRESS = 1.0
"""Seconds until a part is sent again that the receiver answered without taking any of it."""


class Reading(Protocol):
    """Where the lines come from."""

    def stored_up_to(self, offset: int) -> None:
        """The receiver has all that was sent, up to there: from here on the two go in step."""

    def go_back(self, offset: int) -> bool:
        """Read again from there on; False where that is not possible."""


@dataclass
class Prepared:
    """A part that waits for its acknowledgement; its lines were read from `read_from` on. `weight` is in bytes.

    The part has the offset behind each line, and behind each that was held back, where they are known.

    Once `sent` it is not changed any more: what is sent again is the same.
    """

    part: LogPart
    read_from: int
    weight: int
    sent: bool = False
    refusals: int = 0

    @property
    def count(self) -> int:
        """How many lines and offsets it takes room for."""
        return len(self.part.lines) + (len(self.part.held.ends) if self.part.held is not None else 0)


class Outgoing:
    """One stream. `stored`: the receiver has it up to this offset. `let_through`: so many lines of that, for the rate
    limit. `sent`: an earlier life had sent it up to there. `counts` is shared by all of a monitor."""

    def __init__(
        self,
        stream: bytes,
        source: str,
        stored: int,
        reading: Reading,
        counts: Counter[str],
        *,
        deferred: bool = False,
        limiter: Limiter | None = None,
        let_through: int = 0,
        sent: int = 0,
    ) -> None:
        self.stream, self.source, self.stored, self.deferred = stream, source, stored, deferred
        self.pending: list[Prepared] = []
        self.in_flight = False
        self.durable = False
        """Whether the stream's id is on the disk, so that its first part may be sent."""
        self.not_before = 0.0
        self._reading, self._counts, self._limiter = reading, counts, limiter
        self._times = OwnTimes()
        self.let_through = let_through
        self._border = sent

    @property
    def read_from(self) -> int | None:
        """From where all that waits can be read again; None where nothing waits."""
        return self.pending[0].read_from if self.pending else None

    @property
    def sent(self) -> int:
        """Where the part ends that was sent and may have been taken; 0 where there is none."""
        if self.pending and self.pending[0].sent:
            return self.pending[0].part.end
        return self._border if self._border > self.stored else 0

    @property
    def weight(self) -> int:
        """Bytes of what waits."""
        return sum(prepared.weight for prepared in self.pending)

    @property
    def room(self) -> bool:
        """Whether reading on would not pile up parts."""
        return len(self.pending) < 2 or (len(self.pending) == 2 and _joins(self.pending[-1], BLOCK, 1))

    def keep(self, lines: list[str], ends: list[int], covered: tuple[int, int], now_us: int) -> None:
        """Let these lines wait, but for what the rate limit holds back. `ends` is empty where nobody asked; `covered`
        are the bytes that were read."""
        allowed = len(lines) if self._limiter is None else self._limiter.allow(len(lines), now_us)
        self._counts["lines"] += allowed
        self._counts["lines held back"] += len(lines) - allowed
        if not lines:
            return
        held = self._held(len(lines) - allowed, ends[allowed:])
        for new in self._cut(self._prepared(lines[:allowed], ends[:allowed], held, covered, now_us)):
            waiting = self.pending[-1] if self.pending else None
            if waiting is not None and waiting.part.end != self._border and _joins(waiting, new.weight, new.count):
                self._extend(waiting, new)
            else:
                self.pending.append(new)

    def _cut(self, new: Prepared) -> list[Prepared]:
        """In two where a part ended that an earlier life sent: the receiver may have that, and takes a part of deferred
        lines from there on, but cannot tell what of it was held back before."""
        parts = split_at(new.part, [self._border])
        return [Prepared(part, max(new.read_from, part.start), weight_of(part.lines)) for part in parts]

    def _prepared(
        self, lines: list[str], ends: list[int], held: Held | None, covered: tuple[int, int], now_us: int
    ) -> Prepared:
        read_from, end = covered
        start = self.pending[-1].part.end if self.pending else self.stored
        times = self._times.of(lines, now_us)
        part = LogPart(self.stream, self.source, start, end, now_us, lines, ends, times, held)
        return Prepared(part, read_from, weight_of(lines))

    def _extend(self, waiting: Prepared, new: Prepared) -> None:
        part, more = waiting.part, new.part
        _extend_times(part, more.times, len(more.lines))
        part.lines.extend(more.lines)
        part.ends.extend(more.ends)
        held = [each for each in (part.held, more.held) if each is not None]
        both = self._held(sum(each.lines for each in held), [end for each in held for end in each.ends])
        waiting.part = msgspec.structs.replace(part, end=more.end, held=both)
        waiting.weight += new.weight

    def _held(self, lines: int, ends: list[int]) -> Held | None:
        return Held(lines, self._limiter.limit.text, ends) if lines and self._limiter is not None else None

    # --- sending ---

    def may_send(self, now: float) -> bool:
        return bool(self.pending) and self.durable and not self.in_flight and now >= self.not_before

    def sending(self) -> LogPart:
        """The first pending part, which is now on its way."""
        self.in_flight = self.pending[0].sent = True
        part = self.pending[0].part
        return part if self.deferred else _without_ends(part)

    def taken(self, position: int, now: float) -> None:
        """The receiver has the stream up to `position`, after the first pending part was sent."""
        self.in_flight = False
        if position == self.pending[0].part.end:
            self.let_through += len(self.pending.pop(0).part.lines)
            self.stored = position
            self._reading.stored_up_to(position)
        else:
            self._go_back(position, now)

    def not_taken(self) -> None:
        """The first pending part has to be sent again."""
        self.in_flight = False

    def skip(self) -> LogPart:
        """Give the first pending part up; the receiver will see the gap."""
        self.in_flight = False
        return self.pending.pop(0).part

    def _go_back(self, position: int, now: float) -> None:
        """The receiver stands elsewhere, as after a life of which not all was saved: go on from there."""
        if position <= self.pending[0].part.start:
            self.not_before = now + NO_PROGRESS
        if self._reading.go_back(position):
            self._give_back(position)
            self.pending.clear()
        else:
            self._trim(position)
        self.stored = position

    def _give_back(self, position: int) -> None:
        """To the rate limit: what was let through behind `position` is so again."""
        part = self.pending[0].part
        stored = bisect_right(part.ends, position)
        lines = sum(len(prepared.part.lines) for prepared in self.pending) - stored
        self.let_through += stored
        if position < part.start:  # as after a restored database; which of the stored ones nobody knows
            lines, self.let_through = lines + self.let_through, 0
        if self._limiter is not None:
            self._limiter.give_back(lines)

    def _trim(self, position: int) -> None:
        """What cannot be read again is sent with the part of it that the receiver lacks."""
        self.pending = [prepared for prepared in self.pending if prepared.part.end > position]
        if self.pending and self.pending[0].part.start < position:
            self.pending[0].part = within(self.pending[0].part, position, self.pending[0].part.end)


def _without_ends(part: LogPart) -> LogPart:
    """As it is sent where it is taken whole, or read again."""
    held = part.held
    if held is not None and held.ends:
        held = msgspec.structs.replace(held, ends=[])
    return msgspec.structs.replace(part, ends=[], held=held)


def _extend_times(part: LogPart, times: list[int], count: int) -> None:
    """Add the times of `count` lines that come behind those of the part; empty stays what gives none."""
    if times or part.times:
        part.times.extend([UNKNOWN] * (len(part.lines) - len(part.times)))
        part.times.extend(times or [UNKNOWN] * count)


def weight_of(lines: list[str]) -> int:
    """What they take in a message, a little more than that: MAX_MESSAGE is a bound in bytes, not in characters."""
    plain = all(map(str.isascii, lines))
    return sum(map(len, lines if plain else map(str.encode, lines))) + 14 * len(lines)


def _joins(waiting: Prepared, weight: int, count: int) -> bool:
    """Whether more lines may go into a part that was never sent."""
    small = waiting.weight + weight <= PART and waiting.count + count <= MOST_LINES
    return small and not waiting.sent
