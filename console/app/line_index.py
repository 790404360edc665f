"""Which entry of a table stands in which row of the view: every one, or those a filter found; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from noroshi.store.views import Bounds

MOST = 100_000
"""Matches kept; a search ends there, since nobody reads on."""


EMPTY = Bounds(0, 0)


class DenseIndex:
    """Every id from first to last: a row is a subtraction away, so a million lines open at once."""

    def __init__(self, bounds: Bounds = EMPTY) -> None:
        self.bounds = bounds

    def __len__(self) -> int:
        return self.bounds.last - self.bounds.first + 1 if self.bounds.last else 0

    def id_at(self, row: int) -> int:
        return self.bounds.first + row

    def row_of(self, number: int) -> int:
        """The row of the line with this id, or of the nearest one after it; `len` where there is none."""
        return max(0, min(number - self.bounds.first, len(self)))

    def ids(self, low: int, high: int) -> Sequence[int]:
        """The ids of the rows from `low` up to but without `high`."""
        return range(self.id_at(max(0, low)), self.id_at(min(high, len(self))))


class SparseIndex:
    """The ids that matched, in order; grows at both ends while a search goes on."""

    def __init__(self) -> None:
        self._ids: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def full(self) -> bool:
        return len(self._ids) >= MOST

    def id_at(self, row: int) -> int:
        return self._ids[row]

    def row_of(self, number: int) -> int:
        """As `DenseIndex.row_of`."""
        return bisect_left(self._ids, number)

    def ids(self, low: int, high: int) -> Sequence[int]:
        """As `DenseIndex.ids`."""
        return self._ids[max(0, low) : high]

    def add_older(self, ids: Iterable[int]) -> None:
        """Put ids before the first."""
        self._ids[:0] = list(ids)

    def add_newer(self, ids: Iterable[int]) -> None:
        """Put ids after the last."""
        self._ids += list(ids)

    def keep(self, number: int, wanted: bool) -> None:
        """Have this id or not, wherever it stands."""
        at = bisect_left(self._ids, number)
        there = at < len(self._ids) and self._ids[at] == number
        if wanted and not there:
            self._ids.insert(at, number)
        elif there and not wanted:
            del self._ids[at]

    def neighbour(self, number: int, step: int) -> int | None:
        """The matching id next to `number` in that direction, None past the last."""
        at = bisect_left(self._ids, number)
        if step < 0:
            return self._ids[at - 1] if at else None
        at += at < len(self._ids) and self._ids[at] == number
        return self._ids[at] if at < len(self._ids) else None

    def keep_from(self, first: int) -> None:
        """Forget ids below `first`, which retention removed."""
        del self._ids[: bisect_left(self._ids, first)]
