"""What holds notifications back by itself: a flapping event, a limit that was reached; and how much it held back."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from noroshi.store.model import FAILURE_EVENT


@dataclass(frozen=True)
class HoldRow:
    """One that stands. kind: flap (of a definition and an event), limit (of a definition), overall (of neither);
    `until` microseconds UTC, None where it depends on what happens; `damaged` as in sound.py."""

    id: int
    kind: str
    definition: str
    event: str
    since: int
    until: int | None
    damaged: str = ""

    @property
    def holder(self) -> str:
        """What stands in notifications.held_by."""
        return f"{self.kind} {self.id}"


def standing(connection: apsw.Connection) -> list[HoldRow]:
    """Those that have not ended, oldest first."""
    rows = connection.execute(
        "SELECT id, kind, definition, event, since, until FROM holds WHERE ended_at IS NULL ORDER BY id"
    )
    return [HoldRow(*row) for row in rows]


def begin(
    connection: apsw.Connection, kind: str, definition: str, event: str, since: int, until: int | None
) -> HoldRow:
    """A new one."""
    connection.execute(
        "INSERT INTO holds (kind, definition, event, since, until) VALUES (?, ?, ?, ?, ?)",
        (kind, definition, event, since, until),
    )
    return HoldRow(connection.last_insert_rowid(), kind, definition, event, since, until)


def end(connection: apsw.Connection, number: int, at: int) -> None:
    """It holds nothing back any more."""
    connection.execute("UPDATE holds SET ended_at = ? WHERE id = ?", (at, number))


def held(connection: apsw.Connection, holder: str, most: int = -1) -> list[tuple[str, str, int]]:
    """(definition, event name or source, how many) of what `holder` held back, of each definition most first.

    With `most` only of the newest so many.
    """
    rows = connection.execute(
        "SELECT o.definition, coalesce(e.event, s.name, ''), count(*) FROM"
        " (SELECT * FROM notifications WHERE held_by = ? ORDER BY id DESC LIMIT ?) o"
        " LEFT JOIN events e ON e.id = o.event_id"
        " LEFT JOIN logs l ON l.id = o.log_id LEFT JOIN sources s ON s.id = l.source"
        " GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2",
        (holder, most),
    )
    return [(str(definition), str(name), int(count)) for definition, name, count in rows]


def changes_of(connection: apsw.Connection, event: str, count: int) -> list[int]:
    """When the event changed, the newest `count` times, oldest first, microseconds UTC."""
    rows = connection.execute(
        "SELECT stored_at FROM events WHERE event = ? AND typeof(stored_at) = 'integer' ORDER BY id DESC LIMIT ?",
        (event, count),
    )
    return [int(at) for (at,) in rows][::-1]


def begun(connection: apsw.Connection, definition: str, count: int) -> list[int]:
    """When notifications of a definition (empty: of any) were begun for something new, likewise.

    Those of a notification failure do not count: no limit holds them back.
    """
    rows = connection.execute(
        "SELECT created_at FROM notifications o WHERE held_by IS NULL AND notice IN ('change', 'resumed')"
        " AND (?1 = '' OR definition = ?1) AND typeof(created_at) = 'integer'"
        " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = o.event_id AND e.event = ?3)"
        " ORDER BY id DESC LIMIT ?2",
        (definition, count, FAILURE_EVENT),
    )
    return [int(at) for (at,) in rows][::-1]
