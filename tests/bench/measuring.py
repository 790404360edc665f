"""What the benchmarks share: the tests' helpers on the path, quantiles, and lines of a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(name: str, seconds: Sequence[float]) -> str:
    """One row: median, 99th percentile and maximum in ms."""
    return (
        f"{name:44} {1e3 * quantile(seconds, 0.5):9.2f} {1e3 * quantile(seconds, 0.99):9.2f} {1e3 * max(seconds):9.2f}"
    )


HEADER = f"{'':44} {'median':>9} {'99 %':>9} {'max':>9}  ms"
