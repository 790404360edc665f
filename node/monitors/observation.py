"""The one contract of all monitors: look, and say in which state each thing is.

Rules: a monitor reads below `root` (a prefix of /proc and /sys) or runs `command`, and returns observations; hardware
that is not there gives none. It keeps supplements free of numbers that move (a fill level, a rebuild's per cent):
another supplement is another event. It may raise OSError or ValueError; the shell turns that into an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OK, WARNING, ERROR, DEGRADED = "OK", "WARNING", "ERROR", "DEGRADED"


@dataclass(frozen=True)
class Observation:
    """`name` is the event's name: KIND/NODE/THING."""

    name: str
    state: str
    supplement: str = ""


class Monitor(Protocol):
    """Called in a thread of its own each `interval` seconds; may block, and then only delays itself."""

    interval: float

    def observe(self) -> list[Observation]: ...


def below(root: object, path: str) -> Path:
    """`path` below the prefix that the configuration names, / where it names none."""
    return Path(str(root or "/")) / path.lstrip("/")


def interval_of(options: Mapping[str, object], default: float) -> float:
    """The monitor's interval in seconds."""
    value = options.get("interval", default)
    return float(value) if isinstance(value, int | float) else default


def number_of(options: Mapping[str, object], key: str, default: float) -> float:
    """A threshold of the monitor."""
    value = options.get(key, default)
    return float(value) if isinstance(value, int | float) else default
