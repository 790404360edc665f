"""The time limits of all attempts under way, the nearest first.

Rules: an attempt that ended is left in the heap and passed over; when such make up more than half, the heap is built
again, so that its size follows the attempts under way. Equal deadlines fall in the attempts' total order.
"""

from __future__ import annotations

import heapq

from noroshi.node.core.notification import Attempt

_Entry = tuple[float, tuple[int, int], Attempt]


class Deadlines:
    """Holds attempts whose outcome is None; `live` below is their number, which the owner knows."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []

    def __len__(self) -> int:
        """Entries held, those passed over included."""
        return len(self._heap)

    def add(self, attempt: Attempt, live: int) -> None:
        """Watch `attempt` until its deadline; amortised O(log n)."""
        if len(self._heap) > 64 + 2 * live:
            self._heap = [entry for entry in self._heap if entry[2].outcome is None]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (attempt.deadline, attempt.order, attempt))

    def first(self) -> float | None:
        """The nearest deadline, monotonic seconds."""
        self._drop_ended()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> Attempt | None:
        """The next attempt whose deadline has come, taken out."""
        self._drop_ended()
        due = self._heap and self._heap[0][0] <= now
        return heapq.heappop(self._heap)[2] if due else None

    def _drop_ended(self) -> None:
        while self._heap and self._heap[0][2].outcome is not None:
            heapq.heappop(self._heap)
