"""Says plainly when what is shown is old, since when, and why; pure functions of what is known."""

from __future__ import annotations

from dataclasses import dataclass

from noroshi.console.app.reading import Health
from noroshi.console.queries import WHY_UNHEARD, Leadership
from noroshi.console.sanitise import visible
from noroshi.console.times import SECOND, Clockface

PATIENCE = 3.0
"""Seconds without an answer after which the disk counts as not readable."""

BLINK = 1.0
"""Seconds for which an error is not yet worth a banner."""

TAKING_OVER = 20.0
"""Seconds after which it is no take-over any more, in which nobody has to do anything."""

WHAT_NOW = "no node has taken over: does `noroshi node` run anywhere? `noroshi doctor` says what is wrong"


@dataclass(frozen=True)
class Freshness:
    """All there is to know. `gone_since`: when this console saw the role become free (microseconds UTC), None if it
    was free from the start. `started` is monotonic seconds, `written_at` microseconds UTC; `nodes` of the cluster."""

    health: Health
    started: float
    leadership: Leadership | None = None
    gone_since: int | None = None
    written_at: int | None = None
    nodes: int = 0


def warning(known: Freshness, now: float, now_us: int, face: Clockface) -> str:
    """One safe line, empty while what is shown is up to date. `now` is monotonic."""
    health = known.health
    if health.no_database and health.answered is None:
        return f"WAITING: {visible(health.trouble)}"
    if _is_unreadable(known, now):
        return _unreadable(health, _silent(known, now), now_us, face)
    if _is_leaderless(known):
        return _leaderless(known, now, now_us, face)
    return _unheard(known, now_us, face) if health.unheard_by else ""


def as_of(known: Freshness, now: float) -> int | None:
    """The last instant of which what is shown tells for sure, microseconds UTC; None while it is up to date."""
    since = []
    if _is_leaderless(known):
        since.append(known.gone_since or known.written_at)
    if _is_unreadable(known, now):
        since.append(known.health.answered_at or known.written_at)
    if known.health.unheard_by and len(known.health.unheard_by) * 2 > known.nodes - 1:
        since.append(known.written_at)
    return min((at for at in since if at is not None), default=None)


def _silent(known: Freshness, now: float) -> float:
    answered = known.health.answered
    return now - (known.started if answered is None else answered)


def _is_unreadable(known: Freshness, now: float) -> bool:
    return _silent(known, now) > (BLINK if known.health.trouble else PATIENCE)


def _is_leaderless(known: Freshness) -> bool:
    return known.leadership is not None and not known.leadership.held


def _unreadable(health: Health, silent: float, now_us: int, face: Clockface) -> str:
    old = "nothing was read yet"
    if health.answered_at is not None:
        old = f"showing what was read at {face.short(health.answered_at, now_us)}"
    what = "A FAULT OF THIS CONSOLE, please report it:" if health.fault else "DISK NOT READABLE"
    return f"{what} {silent:.0f} s, {old}: {visible(health.trouble or 'it does not answer')}"


def _unheard(known: Freshness, now_us: int, face: Clockface) -> str:
    """It holds the role, and those who run do not hear it: its host hangs or is cut off, and keeps others from it."""
    leader = known.leadership.leader if known.leadership else None
    who = f"COORDINATOR {visible(leader.node)}" if leader else "COORDINATOR"
    nodes = ", ".join(map(visible, known.health.unheard_by))
    data = f", data of {face.short(known.written_at, now_us)}" if known.written_at else ""
    return f"{who} NOT HEARD by {nodes}{data}: {WHY_UNHEARD}"


def _leaderless(known: Freshness, now: float, now_us: int, face: Clockface) -> str:
    leader = known.leadership.leader if known.leadership else None
    since = f" since {face.short(known.gone_since, now_us)}" if known.gone_since else ""
    last = f" (last was {visible(leader.node)}, term {leader.term})" if leader else ""
    data = f", data of {face.short(known.written_at, now_us)}" if known.written_at else ""
    gone = now - known.started if known.gone_since is None else (now_us - known.gone_since) / SECOND
    return f"COORDINATOR GONE{since}{last}{data}" + (f"; {WHAT_NOW}" if gone > TAKING_OVER else "")
