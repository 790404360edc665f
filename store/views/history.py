"""The notification history: each notification with what it told of and every attempt (spec 4).

By number for a list, where long texts come cut and what programs printed is left out, or one whole for a detail.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import apsw

from noroshi.store.model import Destination
from noroshi.store.sound import all_made, made, rows
from noroshi.store.tables import definitions
from noroshi.store.views.pages import UNCUT, Bounds, as_text, cut_to


@dataclass(frozen=True)
class Attempt:
    """One attempt; `outcome` and `ended_at` None while it is under way; `application` as stored, JSON.

    `late` is what the node answered after the attempt had ended without it (S5), empty for nothing; `damaged` as in
    sound.py.
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
    damaged: str = ""


@dataclass(frozen=True)
class Notification:
    """One notification; `definition` is empty where none was defined.

    Of an event: `event`, `state`, `supplement`, `category`; of a log line: `source`, `line`.

    What it told of may be gone (retention): then those are None. `failure_of` is the id of the notification whose
    failure this one tells; `notice` is why it was begun, as in node/core/subject.py; `held_by` what held it back;
    `log_id` the line in the log; `owner` who has acknowledged the event and state it told of, while that stands;
    `damaged` as in sound.py.
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
    held_by: str | None = None
    log_id: int | None = None
    attempts: tuple[Attempt, ...] = ()
    owner: str = ""
    damaged: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing more can happen to it: it has ended, and no answer is out."""
        return self.status != "pending" and all(attempt.outcome is not None for attempt in self.attempts)


@dataclass(frozen=True)
class Acknowledgement:
    """Who took on what a notification told of; `until` None: as long as that lasts. `reason`: why it ended.

    `damaged` as in sound.py.
    """

    author: str
    comment: str
    created_at: int
    until: int | None
    ended_at: int | None
    reason: str
    damaged: str = ""


@dataclass(frozen=True)
class WholeNotification:
    """One notification with all that belongs to it.

    `told_by`: number and status of those that told of its failure. `to_come`: the destinations of its definition that
    follow while it is pending.
    """

    notification: Notification
    acknowledgements: tuple[Acknowledgement, ...]
    told_by: tuple[tuple[int, str], ...]
    to_come: tuple[Destination, ...]


@dataclass(frozen=True)
class HistoryFilter:
    """None for any; `since` and `until` bound when the notification began, both inclusive."""

    definition: str | None = None
    status: str | None = None
    since: int | None = None
    until: int | None = None


_SELECT = """
SELECT o.id, o.definition, o.version, o.status, o.reason, o.failure_of, o.created_at, o.ended_at,
  e.category, e.event, e.state, {supplement}, s.name, {line}, coalesce(en.name, ln.name),
  coalesce(e.observed_at, l.observed_at), coalesce(e.stored_at, l.stored_at), o.notice, o.held_by, o.log_id
"""

_CUT = (11, 13)
"""Where the supplement and the line stand in that."""

FROM = """
FROM notifications o
LEFT JOIN events e ON e.id = o.event_id LEFT JOIN nodes en ON en.id = e.node
LEFT JOIN logs l ON l.id = o.log_id LEFT JOIN sources s ON s.id = l.source LEFT JOIN nodes ln ON ln.id = s.node
"""

_SELECTED = """
WHERE (?1 IS NULL OR o.definition = ?1) AND (?2 IS NULL OR o.status = ?2)
  AND (?3 IS NULL OR o.created_at >= ?3) AND (?4 IS NULL OR o.created_at <= ?4) AND o.id BETWEEN ?5 AND ?6
ORDER BY o.id DESC LIMIT ?7
"""

_ATTEMPTS = """
SELECT notification, priority, node, procedure, application, started_at, ended_at, outcome, reason, {output}, late
FROM attempts WHERE notification IN (SELECT value FROM json_each(?)) ORDER BY id
"""

# the acknowledgement stands, and the event has been in that state since
_OWNERS = """
SELECT o.id, a.author
FROM notifications o CROSS JOIN events e ON e.id = o.event_id
CROSS JOIN acknowledgements a ON a.event = e.event AND a.ended_at IS NULL AND a.state = e.state
WHERE o.id IN (SELECT value FROM json_each(?)) AND NOT EXISTS
  (SELECT 1 FROM events x WHERE x.event = e.event AND x.id > e.id AND x.state != e.state)
"""

_ACKNOWLEDGED = """
SELECT a.author, a.comment, a.created_at, a.until, a.ended_at, a.reason
FROM notifications o CROSS JOIN events e ON e.id = o.event_id
CROSS JOIN acknowledgements a ON a.event = e.event AND a.state = e.state
WHERE o.id = ? AND coalesce(a.ended_at, e.stored_at) >= e.stored_at AND a.created_at <= coalesce(
  (SELECT x.stored_at FROM events x WHERE x.event = e.event AND x.id > e.id AND x.state != e.state
   ORDER BY x.id LIMIT 1), a.created_at)
ORDER BY a.id
"""

# the failure is told as soon as it is known, so its notifications are among the next; no index leads there
_TOLD_BY = "SELECT id, status FROM notifications WHERE id > ?1 AND id <= ?1 + 1000 AND failure_of = ?1 ORDER BY id"

_TO_COME = """
SELECT o.definition, o.version, coalesce((SELECT max(a.priority) FROM attempts a WHERE a.notification = o.id), 0)
FROM notifications o WHERE o.id = ? AND o.status = 'pending' AND o.plan IS NULL
"""


def notifications_within(
    connection: apsw.Connection, which: HistoryFilter, ids: Bounds, limit: int
) -> tuple[Notification, ...]:
    """The newest `limit` notifications with these ids that `which` selects, oldest first, each with its attempts."""
    bindings = (which.definition, which.status, which.since, which.until, ids.first, ids.last, limit)
    return _with_attempts(connection, _select(connection, _SELECTED, bindings, UNCUT), "output")


def notifications_numbered(connection: apsw.Connection, numbers: Iterable[int]) -> tuple[Notification, ...]:
    """The notifications with these numbers, oldest first, each with its attempts in order."""
    return _with_attempts(connection, _numbered(connection, numbers, UNCUT), "output")


def notification_page(connection: apsw.Connection, numbers: Iterable[int], cut: int) -> tuple[Notification, ...]:
    """As `notifications_numbered`, for a list: texts cut to `cut` bytes, nothing of what programs printed."""
    found = _with_attempts(connection, _numbered(connection, numbers, cut), "''")
    owners = dict(rows(connection, _OWNERS, (json.dumps([row.id for row in found]),)))
    return tuple(replace(row, owner=str(owners[row.id])) if row.id in owners else row for row in found)


def whole_notification(connection: apsw.Connection, number: int) -> WholeNotification | None:
    """One notification with all that belongs to it; None where there is none of that number."""
    found = notifications_numbered(connection, [number])
    if not found:
        return None
    acknowledged = all_made(Acknowledgement, rows(connection, _ACKNOWLEDGED, (number,)))
    told_by = tuple((int(row[0]), str(row[1])) for row in rows(connection, _TOLD_BY, (number,)))
    return WholeNotification(found[0], acknowledged, told_by, _to_come(connection, number))


def _to_come(connection: apsw.Connection, number: int) -> tuple[Destination, ...]:
    for name, version, reached in rows(connection, _TO_COME, (number,)):
        definition = definitions.at_version(connection, name, version)
        ordered = sorted(definition.notify if definition else (), key=lambda one: one.priority)
        return tuple(one for one in ordered if not isinstance(reached, int) or one.priority > reached)
    return ()


def _select(connection: apsw.Connection, where: str, bindings: tuple[object, ...], cut: int) -> list[Notification]:
    columns = _SELECT.format(supplement=cut_to("e.supplement", cut), line=cut_to("l.line", cut))
    return [_notification(row, cut) for row in rows(connection, columns + FROM + where, bindings)]


def _notification(row: tuple[Any, ...], cut: int) -> Notification:
    """As `_SELECT` gives it; what was cut comes as bytes."""
    values = list(row)
    for at in _CUT:
        if isinstance(values[at], bytes) and len(values[at]) == cut:
            values[at] = as_text(values[at])
    return made(Notification, values)


def _numbered(connection: apsw.Connection, numbers: Iterable[int], cut: int) -> list[Notification]:
    wanted = "WHERE o.id IN (SELECT value FROM json_each(?)) ORDER BY o.id DESC"
    return _select(connection, wanted, (json.dumps(list(numbers)),), cut)


def _with_attempts(
    connection: apsw.Connection, newest_first: list[Notification], output: str
) -> tuple[Notification, ...]:
    found = newest_first[::-1]
    attempts = _attempts(connection, (row.id for row in found), output)
    return tuple(replace(row, attempts=tuple(attempts.get(row.id, ()))) for row in found)


def _attempts(connection: apsw.Connection, numbers: Iterable[int], output: str) -> dict[int, list[Attempt]]:
    found: dict[int, list[Attempt]] = {}
    statement = _ATTEMPTS.format(output=output)
    for number, *attempt in rows(connection, statement, (json.dumps(list(numbers)),)):
        found.setdefault(number, []).append(made(Attempt, attempt))
    return found
