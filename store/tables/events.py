"""Events (history) and states (now): the state table of fig. 4 and what came before."""

from __future__ import annotations

from dataclasses import dataclass

import apsw


@dataclass(frozen=True)
class StateRow:
    """The row of the state table for one name: the event that last reached S4-4."""

    event: str
    event_id: int
    state: str
    supplement: str
    node: str
    observed_at: int
    ordered: bool


@dataclass(frozen=True)
class EventRow:
    """One event of the history."""

    id: int
    event: str
    category: str
    state: str
    supplement: str
    node: str
    observed_at: int
    stored_at: int


def add_event(
    connection: apsw.Connection,
    *,
    event: str,
    category: str,
    state: str,
    supplement: str,
    node: int,
    observed_at: int,
    stored_at: int,
    author: str = "",
) -> int:
    """Store an event in the history; its id is the order of arrival."""
    connection.execute(
        "INSERT INTO events (event, category, state, supplement, node, observed_at, stored_at, author)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (event, category, state, supplement, node, observed_at, stored_at, author),
    )
    return connection.last_insert_rowid()


def set_state(connection: apsw.Connection, event_id: int, *, ordered: bool = True) -> None:
    """S4-4: the state table follows the stored event `event_id`; `ordered` as in the table."""
    connection.execute(
        "INSERT OR REPLACE INTO states (event, event_id, category, state, supplement, node, observed_at, stored_at,"
        " seen_at, count, ordered)"
        " SELECT event, id, category, state, supplement, node, observed_at, stored_at, observed_at, 1, ?"
        " FROM events WHERE id = ?",
        (ordered, event_id),
    )


def count_duplicate(connection: apsw.Connection, event: str, event_id: int, times: int, seen_at: int) -> None:
    """S4-3: the event was held back `times` times; last seen at `seen_at`."""
    connection.execute(
        "UPDATE states SET count = count + ?, seen_at = max(seen_at, ?) WHERE event = ?", (times, seen_at, event)
    )
    connection.execute("UPDATE events SET count = count + ? WHERE id = ?", (times, event_id))


def state_of(connection: apsw.Connection, event: str) -> StateRow | None:
    """The current row of one name."""
    rows = connection.execute(
        "SELECT s.event, s.event_id, s.state, s.supplement, n.name, s.observed_at, s.ordered"
        " FROM states s JOIN nodes n ON n.id = s.node WHERE s.event = ?",
        (event,),
    )
    row = next(rows, None)
    return None if row is None else StateRow(*row)


def states_like(connection: apsw.Connection, prefix: str) -> list[StateRow]:
    """The current rows of all names that begin with `prefix`."""
    rows = connection.execute(
        "SELECT s.event, s.event_id, s.state, s.supplement, n.name, s.observed_at, s.ordered"
        " FROM states s JOIN nodes n ON n.id = s.node WHERE s.event >= ? AND s.event < ? ORDER BY s.event",
        (prefix, prefix + "\U0010ffff"),
    )
    return [StateRow(*row) for row in rows]


def event_by_id(connection: apsw.Connection, event_id: int) -> EventRow | None:
    """One event of the history."""
    rows = connection.execute(
        "SELECT e.id, e.event, e.category, e.state, e.supplement, n.name, e.observed_at, e.stored_at"
        " FROM events e JOIN nodes n ON n.id = e.node WHERE e.id = ?",
        (event_id,),
    )
    row = next(rows, None)
    return None if row is None else EventRow(*row)
