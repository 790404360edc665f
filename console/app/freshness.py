"""Says plainly when what is shown is old, and why; a pure function of what is known."""

from __future__ import annotations

from dataclasses import dataclass

from noroshi.console.app.reading import Health
from noroshi.console.queries import Leadership
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface

PATIENCE = 3.0
"""Seconds without an answer after which the disk counts as not readable."""

BLINK = 1.0
"""Seconds for which an error is not yet worth a banner."""


@dataclass(frozen=True)
class Freshness:
    """All there is to know. `gone_since`: when this console saw the role become free (microseconds UTC), None if it
    was free from the start. `started` is monotonic seconds, `written_at` microseconds UTC."""

    health: Health
    started: float
    leadership: Leadership | None = None
    gone_since: int | None = None
    written_at: int | None = None


def warning(known: Freshness, now: float, now_us: int, face: Clockface) -> str:
    """One safe line, empty while what is shown is up to date. `now` is monotonic."""
    health = known.health
    silent = now - (known.started if health.answered is None else health.answered)
    if health.no_database and health.answered is None:
        return f"WAITING: {visible(health.trouble)}"
    if silent > (BLINK if health.trouble else PATIENCE):
        return _unreadable(health, silent, now_us, face)
    if known.leadership is None or known.leadership.held:
        return ""
    return _leaderless(known, now_us, face)


def _unreadable(health: Health, silent: float, now_us: int, face: Clockface) -> str:
    old = "nothing was read yet"
    if health.answered_at is not None:
        old = f"showing what was read at {face.short(health.answered_at, now_us)}"
    return f"DISK NOT READABLE {silent:.0f} s, {old}: {visible(health.trouble or 'it does not answer')}"


def _leaderless(known: Freshness, now_us: int, face: Clockface) -> str:
    leader = known.leadership.leader if known.leadership else None
    since = f" since {face.short(known.gone_since, now_us)}" if known.gone_since else ""
    last = f" (last was {visible(leader.node)}, term {leader.term})" if leader else ""
    data = f", data of {face.short(known.written_at, now_us)}" if known.written_at else ""
    return f"COORDINATOR GONE{since}{last}{data}"
