"""The one contract of all monitors: look, and say in which state each thing is.

Rules: a monitor reads below `root` (a prefix of /proc and /sys) or asks a program; hardware that is not there gives no
observation. It keeps supplements free of numbers that move (a fill level, a rebuild's per cent): another supplement is
another event. It may raise anything; the shell turns that into an event of its own and goes on. It is looked at by one
thread at a time, never by the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

OK, WARNING, ERROR, DEGRADED = "OK", "WARNING", "ERROR", "DEGRADED"

_SEVERITY = {state: place for place, state in enumerate((OK, WARNING, DEGRADED, ERROR))}

Condition = tuple[str, str]
"""State and supplement."""

FINE: Condition = (OK, "")


@dataclass(frozen=True, slots=True)
class Observation:
    """`name` is the event's name: KIND/NODE/THING."""

    name: str
    state: str
    supplement: str = ""


class Monitor(ABC):
    """What the shell needs of a monitor."""

    interval: float
    """Seconds between the end of a look and the next."""
    limit: float = 60.0
    """Seconds after which a look counts as hanging."""
    gone: str = "no longer there"
    """What is said, with OK, of a thing that is not observed any more."""

    @abstractmethod
    def observe(self, now: float) -> list[Observation]:
        """Look once. `now` is monotonic, seconds."""

    def recall(self, names: Collection[str]) -> None:
        """Names of this monitor that were not OK when the daemon last ended; said once, before the first look."""
        del names


def worst(*conditions: Condition) -> Condition:
    """The gravest condition; the first of equally grave ones. FINE where there is none."""
    return max(conditions, key=lambda condition: _SEVERITY[condition[0]], default=FINE)
