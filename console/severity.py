"""How bad a state is, and how it is shown: a word first, then a shape, then weight, then colour.

Rules: nothing is told by colour alone, and no two severities differ by red against green. The states of nodes and
built-in events are known; of users' own words the common ones are, any other word is `OTHER`, above the good ones.
How notifications and attempts went has words of its own. While nobody watches, what was good is only known to have been
so: it says for how long nobody has looked. Trouble stays trouble, for nobody has seen it end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """Worst first, so that sorting by it does the same."""

    CRITICAL = 0
    DEGRADED = 1
    OTHER = 2
    STOPPED = 3
    GOOD = 4

    @property
    def is_trouble(self) -> bool:
        return self <= Severity.DEGRADED


_WORDS = {
    Severity.CRITICAL: "DOWN ERROR FAILED FAILURE CRITICAL FATAL",
    Severity.DEGRADED: "SUSPECT WARNING DEGRADED WARN UNKNOWN",
    Severity.STOPPED: "STOPPED",
    Severity.GOOD: "UP OK NORMAL",
}
_SEVERITIES = {word: severity for severity, words in _WORDS.items() for word in words.split()}
_SHAPES = {
    Severity.CRITICAL: "✖",
    Severity.DEGRADED: "▲",
    Severity.OTHER: "◆",
    Severity.STOPPED: "○",
    Severity.GOOD: "●",
}
_OWN_SHAPES = {"SUSPECT": "◐", "DEGRADED": "◐", "UNKNOWN": "?"}


def severity_of(state: str) -> Severity:
    """Of a state's word, in any case."""
    return _SEVERITIES.get(state.upper(), Severity.OTHER)


def shape_of(state: str) -> str:
    """One cell wide."""
    return _OWN_SHAPES.get(state.upper()) or _SHAPES[severity_of(state)]


@dataclass(frozen=True)
class Mark:
    """How a state, a status or an outcome is shown: its word, a shape one cell wide, how bad it is.

    `past`: it was so, and nobody has looked since.
    """

    word: str
    shape: str
    severity: Severity
    past: bool = False

    @property
    def text(self) -> str:
        return f"{self.shape} {self.word}"


def state_mark(state: str, shown: str, ago: str = "") -> Mark:
    """Of a state, of which `shown` is safe. `ago`: how long nobody has watched it (`4m`), empty while somebody does."""
    severity = severity_of(state)
    if ago and severity is Severity.GOOD:
        return Mark(f"{shown} {ago} ago", "?", severity, past=True)
    return Mark(shown, shape_of(state), severity)


_STATUSES = {
    "pending": ("◐", Severity.DEGRADED),
    "failed": ("✖", Severity.CRITICAL),
    "abandoned": ("✖", Severity.CRITICAL),
    "timeout": ("▲", Severity.DEGRADED),
    "held": ("○", Severity.STOPPED),
    "skipped": ("○", Severity.STOPPED),
    "delivered": ("●", Severity.GOOD),
}
UNDER_WAY = Mark("under way", "◐", Severity.DEGRADED)


def mark_of(status: str) -> Mark:
    """Of a notification's status or an attempt's outcome."""
    return Mark(status, *_STATUSES.get(status, ("◆", Severity.OTHER)))
