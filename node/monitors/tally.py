"""How many of something happened within a sliding window, told by totals that only grow, or start anew.

Rules: pure, time is an argument (monotonic, seconds). A total that shrank was reset (a reboot, a module loaded anew, a
log cleared): what it shows then is new. The first total of a thing is where counting begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_GRAINS = 256
"""Parts of the window; what falls into one part is kept as one, so a thing costs a bounded amount of memory."""


@dataclass
class Count:
    """One thing's total, and when how many were new."""

    total: int | None = None
    seen: deque[tuple[float, int]] = field(default_factory=deque)


class Tally:
    """Counts for all things of one monitor; `window` in seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._counts: dict[str, Count] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    def restore(self, name: str, count: Count) -> None:
        """Go on from what an earlier process counted."""
        self._counts[name] = count

    def take(self, name: str, total: int, now: float) -> int:
        """The thing's total now; how many are new."""
        count = self._counts.setdefault(name, Count())
        before, count.total = count.total, total
        new = 0 if before is None else total - before if total >= before else total
        self.happened(name, new, now)
        return new

    def happened(self, name: str, new: int, at: float) -> None:
        """So many at this time, for what has no total; times come in order."""
        seen = self._counts.setdefault(name, Count()).seen
        if new and seen and at - seen[-1][0] < self._window / _GRAINS:
            seen[-1] = (seen[-1][0], seen[-1][1] + new)
        elif new:
            seen.append((at, new))

    def within(self, name: str, now: float) -> int:
        """How many within the window that ends now."""
        count = self._counts.get(name)
        if count is None:
            return 0
        while count.seen and count.seen[0][0] <= now - self._window:
            count.seen.popleft()
        return sum(new for _, new in count.seen)
