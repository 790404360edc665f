"""Which lines of a file are wanted (spec 3.1): a rule's patterns, run with a bound.

Role: `Selection` holds the rule of one file; `Timer` interrupts `re` from a signal, which only the main thread can.
Rules: `select` and `except` are re.search on the decoded line, or on a whole record of several; no `select` means
every line. `start` says where a record begins; without it a line that is indented, or empty, goes on with the record
before it. The timer is set once for a block; only a block that ran out of time is gone through line by line and
pattern by pattern. A pattern that runs out of time on a line never costs a line: the line counts as selected; so do
those that are left of a block on which it has used its time for all of them, a little on each. A pattern that ran out
of time too often is set aside for this file: as `select` or `start` it then matches every line, as `except` none. Time
is CPU time, so that a process that was stopped or waited for a processor blames no pattern.
"""

from __future__ import annotations

import itertools
import re
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType

Search = Callable[[str], object]


@dataclass(frozen=True)
class Limits:
    """CPU seconds for a block and for one pattern on one line, how often a pattern may run out of time, and CPU seconds
    for one pattern on all lines of a block that is gone through line by line."""

    block: float = 0.25
    line: float = 0.05
    strikes: int = 8
    lines: float = 1.0


@dataclass(frozen=True)
class RanOut:
    """A pattern ran out of time on a line of `length` characters, for the `strikes`th time in this file; or, `slow`, on
    that line and those before it together."""

    pattern: str
    length: int
    strikes: int
    set_aside: bool
    slow: bool = False


class OutOfTime(Exception):
    """Raised inside `re` when the timer ends."""


class Timer:
    """`with timer.of(seconds):` raises OutOfTime inside once so much CPU time is used. One of them, main thread."""

    def __init__(self) -> None:
        self._running = False
        self._seconds = 0.0
        signal.signal(signal.SIGVTALRM, self._ended)

    def of(self, seconds: float) -> Timer:
        """Sets the time of the next `with`."""
        self._seconds = seconds
        return self

    def __enter__(self) -> None:
        self._running = True
        signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._running = False  # first: a signal already on its way must not raise outside
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def close(self) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)

    def _ended(self, number: int, frame: FrameType | None) -> None:
        if self._running:
            self._running = False
            raise OutOfTime


class _Pattern:
    """One pattern, and how it has behaved on this file."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.search: Search = re.compile(pattern).search
        self.strikes = 0
        self.aside = False
        self.used = 0.0
        """CPU seconds on the block that is gone through line by line."""


class Selection:
    """The patterns of one rule for one file. `alive` is called now and then while a block takes long."""

    def __init__(
        self,
        select: Iterable[str],
        except_: Iterable[str],
        limits: Limits,
        timer: Timer,
        alive: Callable[[], None],
        start: str | None = None,
    ) -> None:
        self._select = [_Pattern(pattern) for pattern in select]
        self._except = [_Pattern(pattern) for pattern in except_]
        self._start = None if start is None else _Pattern(start)
        self._limits, self._timer, self._alive = limits, timer, alive
        self._wanted: Search | None = None
        self._unwanted: Search | None = None
        self.ran_out: list[RanOut] = []
        """What has happened since the owner last emptied it."""
        self._arrange()

    def of(self, lines: list[str]) -> list[str]:
        """The lines wanted, in their order."""
        if self._wanted is None and self._unwanted is None:
            return lines
        try:
            with self._timer.of(self._limits.block):
                return self._at_once(lines)
        except OutOfTime:
            self._begin_block(*self._select, *self._except)
            return [line for line in lines if self._one(line)]

    def begins(self, lines: list[str]) -> list[bool]:
        """Whether each of these lines begins a record."""
        if self._start is None:
            return [bool(line) and not line[0].isspace() for line in lines]
        start = self._start
        if start.aside:
            return [True] * len(lines)
        try:
            with self._timer.of(self._limits.block):
                return [found is not None for found in map(start.search, lines)]
        except OutOfTime:
            self._begin_block(start)
            return [self._bounded(start, line, True) for line in lines]

    def _at_once(self, lines: list[str]) -> list[str]:
        if self._wanted is not None:
            lines = list(filter(self._wanted, lines))
        if self._unwanted is not None:
            lines = list(itertools.filterfalse(self._unwanted, lines))
        return lines

    def _one(self, line: str) -> bool:
        if self._select and not any(self._bounded(pattern, line, True) for pattern in self._select):
            return False
        return not any(self._bounded(pattern, line, False) for pattern in self._except)

    def _bounded(self, pattern: _Pattern, line: str, unknown: bool) -> bool:
        """Whether the pattern is found; `unknown` where it cannot be said in time."""
        if pattern.aside or pattern.used > self._limits.lines:
            return unknown
        self._alive()
        began = time.thread_time()
        try:
            with self._timer.of(self._limits.line):
                found = pattern.search(line) is not None
        except OutOfTime:
            self._strike(pattern, line)
            return unknown
        pattern.used += time.thread_time() - began
        if pattern.used > self._limits.lines:
            self._strike(pattern, line, slow=True)
        return found

    def _begin_block(self, *patterns: _Pattern) -> None:
        for pattern in patterns:
            pattern.used = 0.0

    def _strike(self, pattern: _Pattern, line: str, *, slow: bool = False) -> None:
        pattern.strikes += 1
        pattern.aside = pattern.strikes >= self._limits.strikes
        self.ran_out.append(RanOut(pattern.pattern, len(line), pattern.strikes, pattern.aside, slow))
        if pattern.aside:
            self._arrange()

    def _arrange(self) -> None:
        """What runs over a whole block, without the patterns that were set aside."""
        everything = not self._select or any(pattern.aside for pattern in self._select)
        self._wanted = None if everything else _any_of([pattern.search for pattern in self._select])
        unwanted = [pattern.search for pattern in self._except if not pattern.aside]
        self._unwanted = _any_of(unwanted) if unwanted else None


def _any_of(searches: Sequence[Search]) -> Search:
    """One function that is true where any of them is; faster than a loop or an alternation of the patterns."""
    if len(searches) == 1:
        return searches[0]
    half = len(searches) // 2
    first, second = _any_of(searches[:half]), _any_of(searches[half:])
    return lambda line: first(line) or second(line)
