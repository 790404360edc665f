"""Flap damping and storm limits: when too much happens too fast, and when it is calm again (spec 7).

Role: pure counting, shared by the coordinator and by `explain`. Instants are microseconds UTC: they come from the
database and outlive a coordinator.
Rules: a window is full while its last `count` instants lie within `within`. What is damped begins when the window is
full; flapping ends when no more than half of that many are left in it, so that it does not begin again at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Window:
    """The newest `count` instants; `within` in seconds. Instants come in order, or nearly."""

    def __init__(self, count: int, within: float, past: Iterable[int] = ()) -> None:
        self._within = round(within * 1_000_000)
        self._times: deque[int] = deque(past, maxlen=count)

    def add(self, at: int) -> None:
        """It happened once more."""
        self._times.append(at)

    def is_full(self, at: int) -> bool:
        """Whether as many as it holds happened within the time before `at`."""
        return len(self._times) == self._times.maxlen and at - self._times[0] < self._within

    def calm_at(self) -> int:
        """When no more than half are left in it, if nothing happens any more."""
        half = (self._times.maxlen or 0) // 2
        return self._times[-half - 1] + self._within if len(self._times) > half else 0
