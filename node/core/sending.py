"""What the sender of a stream does after each try: go on, wait, split, set aside. No I/O.

Rules: a batch refused as bad twice is split, and whatever part of it is refused is split again, until one item stands
alone; refused alone twice it is set aside, and a report that says so goes in its place. When that is refused too, the
trouble is not the item: nothing is set aside, the sender waits. Every other failure is tried again after a pause that
grows, so nothing is ever a busy loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from noroshi.node.core.backoff import Backoff

BATCH_ITEMS = 2000
_PAUSE_FIRST, _PAUSE_MOST = 0.05, 2.0
_SPLIT_PAUSE = 0.02
_TRIES = 2


@dataclass(frozen=True)
class Next:
    """Wait `pause` seconds (a new leader ends the wait); before that, perhaps, set the only item of the batch aside."""

    pause: float
    set_aside: bool = False
    give_back: bool = False
    """The report that was sent in an item's place is refused too: send the item itself again."""


class Sending:
    """The state between tries; `limit` is how many items the next batch may have."""

    def __init__(self) -> None:
        self.limit = BATCH_ITEMS
        self._bad = 0
        self._splitting = False
        self._backoff = Backoff(_PAUSE_FIRST, _PAUSE_MOST)

    def advanced(self) -> Next:
        """The receiver took something new: no pause, and batches grow again."""
        self._backoff.reset()
        self._bad = 0
        self.limit = min(self.limit * 2, BATCH_ITEMS)
        self._splitting = self._splitting and self.limit < BATCH_ITEMS
        return Next(0.0)

    def failed(self) -> Next:
        """No answer, a refusal that is not about the batch, or an answer that took nothing."""
        return Next(self._backoff.next())

    def bad(self, count: int, *, substitute: bool) -> Next:
        """A batch of `count` items was refused as bad; `substitute`: its only item stands in for one set aside."""
        if substitute:
            self._bad = 0
            return Next(_PAUSE_MOST, give_back=True)
        self._bad += 1
        if count > 1 and (self._splitting or self._bad >= _TRIES):
            self.limit, self._splitting, self._bad = count // 2, True, 0
            return Next(_SPLIT_PAUSE)
        if count == 1 and self._bad >= _TRIES:
            self._bad = 0
            return Next(0.0, set_aside=True)
        return Next(self._backoff.next())
