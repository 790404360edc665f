"""What was there a while ago and is not now: a disk off the bus, a member taken out of a bond.

Rules: pure, time is an argument. A thing counts as missing for `forget` seconds; after that its absence is how it is.
"""

from __future__ import annotations

from collections.abc import Iterable

HOUR = 3600.0


class Seen:
    """The things of one kind, each by its name."""

    def __init__(self, forget: float) -> None:
        self._forget = forget
        self._last: dict[str, float] = {}

    def missing(self, present: Iterable[str], now: float) -> list[str]:
        """Say what is there now; what was there before and is not, sorted."""
        there = dict.fromkeys(present, now)
        self._last.update(there)
        self._last = {name: at for name, at in self._last.items() if now - at < self._forget}
        return sorted(self._last.keys() - there.keys())
