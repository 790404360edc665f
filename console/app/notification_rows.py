"""A notification in the words of a list: what it told of, why it was begun, its chain of attempts; pure.

Rules: every text that is returned has passed the sanitiser.
"""

from __future__ import annotations

from noroshi.console.failure import failed_about
from noroshi.console.sanitise import visible
from noroshi.console.severity import UNDER_WAY, Mark, mark_of
from noroshi.console.times import SECOND, age
from noroshi.store.views import Attempt, Notification

LONGEST = 1000
"""Characters of a text from outside that a row can show at most."""

NOTICES = {
    "change": "the event changed, or the line came",
    "resumed": "it had been held back, and was still so",
    "repeat": "told again, nobody had acknowledged it",
    "escalation": "told to the next group, nobody had acknowledged it",
    "recovery": "it was over; told to those who had heard of it",
    "summary": "how much was held back",
    "test": "somebody asked for a test",
}


def shown(text: str) -> str:
    """What a row can show of a text from outside."""
    return visible(text[:LONGEST])


def about(row: Notification) -> str:
    """The event and its state, or the file and its line; the first of it is what matters most."""
    if row.failure_of is not None and (failed := failed_about(row.supplement or "")):
        return shown(f"failure of {row.failure_of}: {failed}")
    if row.event is not None:
        return shown(f"{row.event} {row.state}" + (f": {row.supplement}" if row.supplement else ""))
    if row.source is not None:
        return shown(f"{row.source.rpartition('/')[2]}: {row.line}")
    return "(what it told of is no longer kept)"


def subject(row: Notification) -> str:
    """Likewise, with why it was told in front where that is not the ordinary reason."""
    why = "" if row.notice == "change" else f"{shown(row.notice)}: "
    damaged = row.damaged or any(attempt.damaged for attempt in row.attempts)
    return f"{'[DAMAGED ROW] ' if damaged else ''}{why}{about(row)}"


def definition(row: Notification) -> str:
    """Name and version."""
    return f"{shown(row.definition)} v{row.version}" if row.definition else "(not defined)"


def outcome(attempt: Attempt) -> Mark:
    """How an attempt went, or that it is under way."""
    return UNDER_WAY if attempt.outcome is None else mark_of(attempt.outcome)


def chain(row: Notification, now: int) -> str:
    """Each attempt by its shape and node, first first, and how long it took; or what held it back."""
    if row.status == "held":
        return shown(row.reason.removeprefix("silenced: ")) or "held back"
    tried = " ".join(f"{outcome(attempt).shape}{shown(attempt.node)}" for attempt in row.attempts)
    return f"{tried} {took(row, now)}".strip()


def took(row: Notification, now: int) -> str:
    """How long it took, or has taken so far."""
    if row.ended_at is None:
        return age(row.created_at, max(now, row.created_at))
    return duration(row.ended_at - row.created_at)


def duration(microseconds: int) -> str:
    """0.02 s, 2.2 s, 34 s, 2m05."""
    seconds = max(0, microseconds) / SECOND
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f}m{seconds % 60:02.0f}"


def owner(row: Notification) -> str:
    """Who has acknowledged it."""
    return shown(row.owner)
