"""Notifications and their attempts: the notification history, and what a take-over resumes."""

from __future__ import annotations

from dataclasses import dataclass

import apsw


@dataclass(frozen=True)
class NotificationRow:
    """One notification. Exactly one of event_id and log_id is set; `definition` is empty where none was defined.

    `notice`, `trouble`, `plan` (JSON) as the schema says; `plan` None is the definition's own.
    """

    id: int
    definition: str
    version: int
    event_id: int | None
    log_id: int | None
    failure_of: int | None
    status: str = "pending"
    notice: str = "change"
    trouble: int | None = None
    plan: str | None = None


@dataclass(frozen=True)
class AttemptRow:
    """One attempt; `outcome` None while it is under way. `application` is JSON."""

    notification: int
    delivery: str
    priority: int
    node: str
    procedure: str
    application: str
    outcome: str | None
    reason: str = ""


def add_notification(connection: apsw.Connection, row: NotificationRow, created_at: int) -> None:
    """Open a notification, status pending."""
    connection.execute(
        "INSERT INTO notifications (id, definition, version, event_id, log_id, failure_of, status, created_at, notice,"
        " trouble, plan) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?)",
        (
            row.id,
            row.definition,
            row.version,
            row.event_id,
            row.log_id,
            row.failure_of,
            created_at,
            row.notice,
            row.trouble,
            row.plan,
        ),
    )


def hold_notification(connection: apsw.Connection, row: NotificationRow, held_by: str, reason: str, at: int) -> None:
    """Record a notification that was held back by `held_by`: it begins and ends now, with no attempt."""
    connection.execute(
        "INSERT INTO notifications (id, definition, version, event_id, log_id, failure_of, status, reason, created_at,"
        " ended_at, notice, held_by) VALUES (?, ?, ?, ?, ?, ?, 'held', ?, ?, ?, ?, ?)",
        (
            row.id,
            row.definition,
            row.version,
            row.event_id,
            row.log_id,
            row.failure_of,
            reason,
            at,
            at,
            row.notice,
            held_by,
        ),
    )


def held_events(connection: apsw.Connection, held_by: str) -> list[tuple[str, str]]:
    """(definition, event name) of everything that `held_by` held back, each pair once, in order of the names."""
    rows = connection.execute(
        "SELECT DISTINCT o.definition, e.event FROM notifications o JOIN events e ON e.id = o.event_id"
        " WHERE o.held_by = ? ORDER BY e.event, o.definition",
        (held_by,),
    )
    return [(str(definition), str(event)) for definition, event in rows]


def close_notification(connection: apsw.Connection, number: int, status: str, reason: str, ended_at: int) -> None:
    """The final status: delivered, failed or abandoned, and why."""
    connection.execute(
        "UPDATE notifications SET status = ?, reason = ?, ended_at = ? WHERE id = ?", (status, reason, ended_at, number)
    )


def add_attempt(connection: apsw.Connection, row: AttemptRow, at: int) -> None:
    """Record an attempt: the intent before it is sent, or one that was skipped (it ends as it begins)."""
    ended_at = None if row.outcome is None else at
    connection.execute(
        "INSERT INTO attempts (notification, delivery, priority, node, procedure, application, started_at, ended_at,"
        " outcome, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.notification,
            row.delivery,
            row.priority,
            row.node,
            row.procedure,
            row.application,
            at,
            ended_at,
            row.outcome,
            row.reason,
        ),
    )


def end_attempt(
    connection: apsw.Connection, delivery: str, outcome: str, reason: str, output: str, at: int, *, answered: bool
) -> None:
    """How an attempt went; `answered` is false where it ended without the node's answer."""
    connection.execute(
        "UPDATE attempts SET outcome = ?, reason = ?, output = ?, ended_at = ?, answered = ? WHERE delivery = ?",
        (outcome, reason, output, at, answered, delivery),
    )


def note_late_answer(connection: apsw.Connection, delivery: str, note: str, output: str) -> bool:
    """S5: an answer after the end of its attempt is recorded beside the outcome, which stays; the first one counts.

    Whether this was the first.
    """
    connection.execute(
        "UPDATE attempts SET late = ?, output = CASE output WHEN '' THEN ? ELSE output END"
        " WHERE delivery = ? AND late = '' AND answered = 0",
        (note, output, delivery),
    )
    return connection.changes() > 0


def unfinished(connection: apsw.Connection) -> list[NotificationRow]:
    """Every notification that is pending or has an attempt under way, oldest first."""
    rows = connection.execute(
        "SELECT id, definition, version, event_id, log_id, failure_of, status, notice, trouble, plan FROM notifications"
        " WHERE id IN (SELECT id FROM notifications WHERE status = 'pending'"
        " UNION SELECT notification FROM attempts WHERE outcome IS NULL) ORDER BY id"
    )
    return [NotificationRow(*row) for row in rows]


def attempts_of(connection: apsw.Connection, number: int) -> list[AttemptRow]:
    """The attempts of one notification, in order."""
    rows = connection.execute(
        "SELECT notification, delivery, priority, node, procedure, application, outcome, reason FROM attempts"
        " WHERE notification = ? ORDER BY id",
        (number,),
    )
    return [AttemptRow(*row) for row in rows]


def last_id(connection: apsw.Connection) -> int:
    """The number of the newest notification, 0 when there is none."""
    return int(next(connection.execute("SELECT coalesce(max(id), 0) FROM notifications"))[0])
