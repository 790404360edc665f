"""Bounded waiting, in one place: poll a described condition, fail with what was last seen."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Self, TypeVar

T = TypeVar("T")

GAP = 0.5
"""Seconds between two looks that count at most: a machine that stood still meanwhile has not let anything happen."""


class Patience:
    """So many seconds, as somebody has them who looks again and again."""

    def __init__(self, seconds: float) -> None:
        self._left, self._looked = seconds, time.monotonic()

    @property
    def over(self) -> bool:
        """Asked after each look."""
        now = time.monotonic()
        self._left -= min(now - self._looked, GAP)
        self._looked = now
        return self._left < 0


def wait_until(
    describe: str | Callable[[], str], predicate: Callable[[], T], timeout: float = 20.0, interval: float = 0.02
) -> T:
    """Poll until `predicate` gives a true value and return it; AssertionError names the condition and what was seen."""
    patience = Patience(timeout)
    while True:
        seen = predicate()
        if seen:
            return seen
        if patience.over:
            what = describe if isinstance(describe, str) else describe()
            raise AssertionError(f"not within {timeout} s: {what}; last seen: {seen!r}")
        time.sleep(interval)


async def eventually(describe: str, predicate: Callable[[], object], within: float = 20.0) -> None:
    """As `wait_until`, in an event loop."""
    patience = Patience(within)
    while not predicate():
        assert not patience.over, f"not within {within} s: {describe}; last seen: {predicate()!r}"
        await asyncio.sleep(0.01)


class Stopwatch:
    """Seconds that went by inside, without those in which this process was given no time; for what waits, not computes.

    A thread that wants to look often notices how long it could not.
    """

    TICK = 0.005

    def __enter__(self) -> Self:
        self._began = self._looked = time.monotonic()
        self._lost, self._ended = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, name="stopwatch")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began - self.lost

    @property
    def lost(self) -> float:
        """Seconds without time so far."""
        return self._lost + max(0.0, time.monotonic() - self._looked - self.TICK)

    def _look(self) -> None:
        while not self._ended.wait(self.TICK):
            now = time.monotonic()
            self._lost += max(0.0, now - self._looked - self.TICK)
            self._looked = now
