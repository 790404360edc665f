"""The notification history: each notification with what it told of and every attempt (spec 4)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import apsw


@dataclass(frozen=True)
class Attempt:
    """One attempt; `outcome` and `ended_at` None while it is under way; `application` as stored, JSON.

    `late` is what the node answered after the attempt had ended without it (S5), empty for nothing.
    """

    priority: int
    node: str
    procedure: str
    application: str
    started_at: int
    ended_at: int | None
    outcome: str | None
    reason: str
    output: str
    late: str = ""


@dataclass(frozen=True)
class Notification:
    """One notification; `definition` is empty where none was defined.

    Of an event: `event`, `state`, `supplement`, `category`; of a log line: `source`, `line`.

    What it told of may be gone (retention): then those are None. `failure_of` is the id of the notification whose
    failure this one tells; `notice` is why it was begun, as in node/core/subject.py.
    """

    id: int
    definition: str
    version: int
    status: str
    reason: str
    failure_of: int | None
    created_at: int
    ended_at: int | None
    category: str | None
    event: str | None
    state: str | None
    supplement: str | None
    source: str | None
    line: str | None
    node: str | None
    observed_at: int | None
    stored_at: int | None
    notice: str = "change"
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class HistoryFilter:
    """None for any; `since` and `until` bound when the notification began, both inclusive."""

    definition: str | None = None
    status: str | None = None
    since: int | None = None
    until: int | None = None


_SELECT = """
SELECT o.id, o.definition, o.version, o.status, o.reason, o.failure_of, o.created_at, o.ended_at,
  e.category, e.event, e.state, e.supplement, s.name, l.line, coalesce(en.name, ln.name),
  coalesce(e.observed_at, l.observed_at), coalesce(e.stored_at, l.stored_at), o.notice
FROM notifications o
LEFT JOIN events e ON e.id = o.event_id LEFT JOIN nodes en ON en.id = e.node
LEFT JOIN logs l ON l.id = o.log_id LEFT JOIN sources s ON s.id = l.source LEFT JOIN nodes ln ON ln.id = s.node
"""

_SELECTED = """
WHERE (?1 IS NULL OR o.definition = ?1) AND (?2 IS NULL OR o.status = ?2)
  AND (?3 IS NULL OR o.created_at >= ?3) AND (?4 IS NULL OR o.created_at <= ?4)
ORDER BY o.id DESC LIMIT ?5
"""

_ATTEMPTS = """
SELECT notification, priority, node, procedure, application, started_at, ended_at, outcome, reason, output, late
FROM attempts WHERE notification IN (SELECT value FROM json_each(?)) ORDER BY id
"""


def notifications(connection: apsw.Connection, which: HistoryFilter, limit: int) -> tuple[Notification, ...]:
    """The newest `limit` notifications that `which` selects, oldest first, each with its attempts in order."""
    bindings = (which.definition, which.status, which.since, which.until, limit)
    return _with_attempts(connection, [Notification(*row) for row in connection.execute(_SELECT + _SELECTED, bindings)])


def notifications_numbered(connection: apsw.Connection, numbers: Iterable[int]) -> tuple[Notification, ...]:
    """The notifications with these numbers, oldest first, each with its attempts in order."""
    wanted = "WHERE o.id IN (SELECT value FROM json_each(?)) ORDER BY o.id DESC"
    rows = connection.execute(_SELECT + wanted, (json.dumps(list(numbers)),))
    return _with_attempts(connection, [Notification(*row) for row in rows])


def _with_attempts(connection: apsw.Connection, newest_first: list[Notification]) -> tuple[Notification, ...]:
    found = newest_first[::-1]
    attempts = _attempts(connection, (row.id for row in found))
    return tuple(replace(row, attempts=tuple(attempts.get(row.id, ()))) for row in found)


def _attempts(connection: apsw.Connection, numbers: Iterable[int]) -> dict[int, list[Attempt]]:
    found: dict[int, list[Attempt]] = {}
    for number, *attempt in connection.execute(_ATTEMPTS, (json.dumps(list(numbers)),)):
        found.setdefault(number, []).append(Attempt(*attempt))
    return found
