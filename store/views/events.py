"""The history of events, newest N of a selection, oldest first."""

from __future__ import annotations

import json
from dataclasses import dataclass

import apsw

from noroshi.store.matching import NamePattern
from noroshi.store.sound import all_made, rows

ALL = "**"


@dataclass(frozen=True)
class Event:
    """One event of the history; `count` includes the reports held back at S4-3.

    `author` is the operator who declared it, empty for what a node saw; `damaged` as in sound.py.
    """

    id: int
    category: str
    event: str
    state: str
    supplement: str
    node: str
    count: int
    observed_at: int
    stored_at: int
    author: str = ""
    damaged: str = ""


@dataclass(frozen=True)
class EventFilter:
    """`event` is a name pattern, or with `exact` a name, stars and all.

    `since` and `until` bound the time observed, both inclusive, None for no bound.
    """

    event: str = ALL
    since: int | None = None
    until: int | None = None
    exact: bool = False


_COLUMNS = "e.id, e.category, e.event, e.state, e.supplement, n.name, e.count, e.observed_at, e.stored_at, e.author"

# Every distinct name by one index seek each, instead of reading the whole history.
_NAMES = """
WITH RECURSIVE names(name) AS (
  SELECT min(event) FROM events
  UNION ALL
  SELECT (SELECT min(event) FROM events WHERE event > name) FROM names WHERE name IS NOT NULL)
SELECT name FROM names WHERE name IS NOT NULL
"""


def events(connection: apsw.Connection, which: EventFilter, limit: int) -> tuple[Event, ...]:
    """The newest `limit` events that `which` selects, oldest first, in order of arrival."""
    conditions, bindings = _conditions(connection, which)
    timed = which.since is not None or which.until is not None
    order = "e.observed_at DESC, e.id DESC" if timed else "e.id DESC"
    found = rows(
        connection,
        f"SELECT {_COLUMNS} FROM events e LEFT JOIN nodes n ON n.id = e.node"  # noqa: S608 - fixed text, values are bound
        f" WHERE {conditions} ORDER BY {order} LIMIT ?",
        (*bindings, limit),
    )
    return tuple(sorted(all_made(Event, found), key=lambda event: event.id))


def _conditions(connection: apsw.Connection, which: EventFilter) -> tuple[str, list[str | int]]:
    conditions: list[str] = ["true"]
    bindings: list[str | int] = []
    if which.exact or which.event != ALL:
        conditions.append("e.event IN (SELECT value FROM json_each(?))")
        bindings.append(json.dumps([which.event] if which.exact else names_matching(connection, which.event)))
    if which.since is not None:
        conditions.append("e.observed_at >= ?")
        bindings.append(which.since)
    if which.until is not None:
        conditions.append("e.observed_at <= ?")
        bindings.append(which.until)
    return " AND ".join(conditions), bindings


def names_matching(connection: apsw.Connection, pattern: str) -> list[str]:
    """The names of events that match a pattern; one without stars as it is, known or not."""
    if "*" not in pattern:
        return [pattern]
    wanted = NamePattern(pattern)
    return [name for (name,) in rows(connection, _NAMES) if isinstance(name, str) and wanted.matches(name)]
