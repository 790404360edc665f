"""Open troubles and what was heard of them; acknowledgements."""

from __future__ import annotations

from dataclasses import dataclass

import apsw


@dataclass(frozen=True)
class TroubleRow:
    """As the table has it."""

    id: int
    definition: str
    event: str
    opened_at: int
    status: str
    floor: int
    reached: int
    repeat_at: int | None
    escalate_at: int | None


@dataclass(frozen=True)
class HeardRow:
    """One destination that delivered; `application` is JSON."""

    node: str
    procedure: str
    application: str


@dataclass(frozen=True)
class AcknowledgementRow:
    """Who has taken on an event in `state`; `until` None: as long as that state lasts."""

    id: int
    event: str
    state: str
    author: str
    comment: str
    created_at: int
    until: int | None


_TROUBLE = "id, definition, event, opened_at, status, floor, reached, repeat_at, escalate_at"
_ACKNOWLEDGEMENT = "id, event, state, author, comment, created_at, until"


def going_on(connection: apsw.Connection) -> list[TroubleRow]:
    """Every trouble that has not ended, oldest first."""
    rows = connection.execute(f"SELECT {_TROUBLE} FROM troubles WHERE status != 'ended' ORDER BY id")  # noqa: S608
    return [TroubleRow(*row) for row in rows]


def open_trouble(connection: apsw.Connection, definition: str, event: str, at: int) -> int:
    """A new one; its number."""
    connection.execute(
        "INSERT INTO troubles (definition, event, opened_at, status, floor, reached) VALUES (?, ?, ?, 'open', 0, 0)",
        (definition, event, at),
    )
    return connection.last_insert_rowid()


def save(connection: apsw.Connection, row: TroubleRow, at: int) -> None:
    """How it stands now, ended at `at` where it has ended."""
    connection.execute(
        "UPDATE troubles SET status = ?, floor = ?, reached = ?, repeat_at = ?, escalate_at = ?, ended_at = ?"
        " WHERE id = ?",
        (
            row.status,
            row.floor,
            row.reached,
            row.repeat_at,
            row.escalate_at,
            at if row.status == "ended" else None,
            row.id,
        ),
    )


def is_being_told(connection: apsw.Connection, number: int) -> bool:
    """Whether a notification of the trouble is pending, or an answer to one is still out."""
    rows = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM notifications o WHERE o.trouble = ?1 AND (o.status = 'pending' OR EXISTS"
        " (SELECT 1 FROM attempts a WHERE a.notification = o.id AND a.outcome IS NULL)))",
        (number,),
    )
    return bool(next(rows)[0])


def heard(connection: apsw.Connection, number: int) -> list[HeardRow]:
    """Every destination that delivered any notification of the trouble, also after its time; each once, first first."""
    rows = connection.execute(
        "SELECT a.node, a.procedure, a.application FROM attempts a JOIN notifications o ON o.id = a.notification"
        " WHERE o.trouble = ? AND (a.outcome = 'delivered' OR a.late LIKE 'delivered%')"
        " GROUP BY a.node, a.procedure, a.application ORDER BY min(a.id)",
        (number,),
    )
    return [HeardRow(*row) for row in rows]


def ended_for(connection: apsw.Connection, delivery: str) -> tuple[int, str, str, HeardRow] | None:
    """The trouble that a delivery told of, where it has ended and this destination was not told so.

    As (number, definition, event, the destination).
    """
    rows = connection.execute(
        "SELECT t.id, t.definition, t.event, a.node, a.procedure, a.application FROM attempts a"
        " JOIN notifications o ON o.id = a.notification JOIN troubles t ON t.id = o.trouble"
        " WHERE a.delivery = ? AND t.status = 'ended' AND o.notice != 'recovery' AND NOT EXISTS"
        " (SELECT 1 FROM notifications r JOIN attempts b ON b.notification = r.id"
        " WHERE r.trouble = t.id AND r.notice = 'recovery'"
        " AND b.node = a.node AND b.procedure = a.procedure AND b.application = a.application)",
        (delivery,),
    )
    row = next(rows, None)
    return None if row is None else (row[0], row[1], row[2], HeardRow(*row[3:]))


def trouble_of(connection: apsw.Connection, notification: int) -> tuple[int | None, str, int | None]:
    """Of a notification: its trouble, its notice, and the priority that delivered (None: none did)."""
    rows = connection.execute(
        "SELECT o.trouble, o.notice, (SELECT max(a.priority) FROM attempts a WHERE a.notification = o.id"
        " AND a.outcome = 'delivered') FROM notifications o WHERE o.id = ?",
        (notification,),
    )
    trouble, notice, priority = next(rows, (None, "", None))
    return trouble, str(notice), priority


def event_of(connection: apsw.Connection, notification: int) -> str | None:
    """The name of the event a notification tells of; None where there is no such notification or it tells of a line."""
    rows = connection.execute(
        "SELECT e.event FROM notifications o JOIN events e ON e.id = o.event_id WHERE o.id = ?", (notification,)
    )
    row = next(rows, None)
    return None if row is None else str(row[0])


def acknowledgements(connection: apsw.Connection) -> list[AcknowledgementRow]:
    """Those that stand; one whose time is over may still be among them."""
    rows = connection.execute(
        f"SELECT {_ACKNOWLEDGEMENT} FROM acknowledgements WHERE ended_at IS NULL ORDER BY id"  # noqa: S608
    )
    return [AcknowledgementRow(*row) for row in rows]


def acknowledge(
    connection: apsw.Connection, event: str, state: str, author: str, comment: str, at: int, until: int | None
) -> None:
    """From now on; the one before it must have ended."""
    connection.execute(
        "INSERT INTO acknowledgements (event, state, author, comment, created_at, until) VALUES (?, ?, ?, ?, ?, ?)",
        (event, state, author, comment, at, until),
    )


def end_acknowledgement(connection: apsw.Connection, number: int, at: int, reason: str) -> None:
    """It has ended, and why."""
    connection.execute("UPDATE acknowledgements SET ended_at = ?, reason = ? WHERE id = ?", (at, reason, number))
