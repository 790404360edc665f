"""Exactly once out of at least once: what of a batch is new (design section 2, Streams).

The receiver keeps the last sequence of each stream in the transaction of the data; a batch is taken from there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Take:
    """Take the items from index `skip` on; afterwards `position` is the last one taken.

    `lost` counts items that can no longer come: the sender kept nothing older.
    """

    skip: int
    position: int
    lost: int = 0


def take(first: int, oldest: int, count: int, last: int | None) -> Take | None:
    """A batch holds sequences first .. first+count-1, its sender still keeps `oldest` on; `last` was taken before.

    None: ignore the batch, what comes before it is still to come. A stream never seen begins with its first batch.
    Where items are lost but others before the batch are still kept, none of it is taken: the sender goes back to those.
    """
    known = first - 1 if last is None else last
    end = first + count - 1
    if first <= known + 1:
        return Take(min(max(known + 1 - first, 0), count), max(known, end))
    if oldest > known + 1:
        if first > oldest:
            return Take(count, oldest - 1, lost=oldest - known - 1)
        return Take(oldest - first, max(end, oldest - 1), lost=oldest - known - 1)
    return None


@dataclass(frozen=True)
class LogTake:
    """`taken`: store the part's lines from index `skip` on. `position` is where the stream stands now; the sender goes
    on from there. `lost` bytes can no longer come."""

    taken: bool
    position: int
    lost: int = 0
    skip: int = 0


def take_part(start: int, end: int, last: int | None, ends: Sequence[int] = ()) -> LogTake:
    """Bytes [start, end) of a log stream whose offset `last` was taken before, None when it was never seen.

    A part that begins before `last` and ends behind it is taken where `ends` tells which of its lines are new.
    """
    if last is None or start == last:
        return LogTake(True, end)
    if start > last:
        return LogTake(True, end, lost=start - last)
    if ends and end > last:
        return LogTake(True, end, skip=bisect_right(ends, last))
    return LogTake(False, last)
