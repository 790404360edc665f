"""Bounded waiting, in one place: poll a described condition, fail with what was last seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(describe: str, predicate: Callable[[], T], timeout: float = 20.0, interval: float = 0.02) -> T:
    """Poll until `predicate` gives a true value and return it; AssertionError names the condition and what was seen."""
    deadline = time.monotonic() + timeout
    while True:
        seen = predicate()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {describe}; last seen: {seen!r}")
        time.sleep(interval)
