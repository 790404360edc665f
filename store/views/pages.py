"""What pages by key share: the bounds of a table, and texts that come cut to so many bytes.

Cutting works on bytes, since SQLite's own text functions end at a NUL.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

UNCUT = 2**31 - 1
"""For `cut`: give every text whole."""


@dataclass(frozen=True)
class Bounds:
    """The lowest and the highest id of a table, 0 and 0 when it is empty; ids between may be missing."""

    first: int
    last: int


@dataclass(frozen=True)
class Stretch:
    """The ids from `low` to `high`, which one step of a scan looks at on its way from `start` to `stop`."""

    low: int
    high: int
    start: int
    stop: int
    backward: bool

    @property
    def far_end(self) -> int:
        return self.low if self.backward else self.high

    def is_last(self, reached: int) -> bool:
        """Whether a step that came as far as `reached` was the last one."""
        return self.high < self.low or (reached <= self.stop if self.backward else reached >= self.stop)


def stretch(bounds: Bounds, position: int | None, span: int, *, backward: bool) -> Stretch:
    """The next `span` ids from `position` (itself excluded; None: from that end)."""
    if backward:
        start = bounds.last + 1 if position is None else min(position, bounds.last + 1)
        return Stretch(max(start - span, bounds.first), start - 1, start, bounds.first, backward)
    start = bounds.first - 1 if position is None else max(position, bounds.first - 1)
    return Stretch(start + 1, min(start + span, bounds.last), start, bounds.last, backward)


def cut_to(column: str, cut: int) -> str:
    """SQL for a text column of at most `cut` bytes; what was cut comes as bytes, see `as_text`."""
    return (
        f"CASE WHEN octet_length({column}) > {cut:d} THEN substr(CAST({column} AS BLOB), 1, {cut:d}) ELSE {column} END"
    )


def as_text(value: str | bytes) -> str:
    """A column that may have been cut: without the half of a character at its end; what else is no UTF-8 is escaped."""
    if isinstance(value, str):
        return value
    return codecs.getincrementaldecoder("utf-8")(errors="backslashreplace").decode(value)
