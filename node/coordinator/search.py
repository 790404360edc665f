"""The definitions' patterns on log lines, with a bound: no pattern may hold the coordinator (design section 2).

A block of lines shares one timer; only when that runs out each line gets its own. A line on which a pattern runs out
of time counts as not matching, and is named; a pattern that does so too often is set aside until the coordinator ends.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from noroshi.node.logs.selection import OutOfTime, Timer

BLOCK_SECONDS = 0.25
LINE_SECONDS = 0.05
STRIKES = 8


class BoundedSearch:
    """`found(pattern, lines)`; `complaints` holds what the owner has not told yet, (pattern, set aside)."""

    def __init__(self) -> None:
        self._timer = Timer()
        self._strikes: Counter[str] = Counter()
        self._compile = lru_cache(4096)(re.compile)
        self.complaints: list[tuple[str, bool]] = []

    def found(self, pattern: str, lines: list[str]) -> list[int]:
        """The places of the lines in which `pattern` is found; every place for the empty pattern."""
        if not pattern:
            return list(range(len(lines)))
        if self._strikes[pattern] >= STRIKES:
            return []
        search = self._compile(pattern).search
        try:
            with self._timer.of(BLOCK_SECONDS):
                return [place for place, line in enumerate(lines) if search(line)]
        except OutOfTime:
            return [place for place, line in enumerate(lines) if self._one(pattern, line)]

    def _one(self, pattern: str, line: str) -> bool:
        if self._strikes[pattern] >= STRIKES:
            return False
        try:
            with self._timer.of(LINE_SECONDS):
                return self._compile(pattern).search(line) is not None
        except OutOfTime:
            self._strikes[pattern] += 1
            self.complaints.append((pattern, self._strikes[pattern] >= STRIKES))
            return False
