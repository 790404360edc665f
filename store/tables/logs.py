"""The shared log: append-only, in order of arrival and, per source, in file order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import apsw


@dataclass(frozen=True)
class LogRow:
    """One line of the shared log."""

    id: int
    node: str
    source: str
    observed_at: int
    stored_at: int
    line: str
    logged_at: int | None = None
    """The time the line itself gives."""


@dataclass(frozen=True)
class HeldBack:
    """Lines of a source that its rate limit `rate` held back and no line tells of yet; instants as for lines."""

    source_id: int
    node: str
    source: str
    lines: int
    rate: str
    begun_at: int
    ended_at: int


AT_ONCE = 16
"""Rows of one statement: a statement costs as much as the row itself."""

_INSERT = "INSERT INTO logs (source, observed_at, stored_at, line) VALUES "
_ROW = "(?, ?, ?, ?)"
_INSERT_TIMED = "INSERT INTO logs (source, observed_at, stored_at, line, logged_at) VALUES "
_ROW_TIMED = "(?, ?, ?, ?, nullif(?, 0))"
_HOLD = """
INSERT INTO held_back (source, lines, rate, begun_at, ended_at) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT DO UPDATE SET lines = lines + ?2, rate = ?3, ended_at = max(ended_at, ?4)
"""


def add_lines(connection: apsw.Connection, rows: Iterable[tuple[int, int, int, str]]) -> None:
    """Append (source id, observed_at, stored_at, line) rows; their ids follow one another."""
    _add(connection, _INSERT, _ROW, rows)


def add_timed_lines(connection: apsw.Connection, rows: Iterable[tuple[int, int, int, str, int]]) -> None:
    """As `add_lines`, each row with the time the line itself gives, 0 where it gives none."""
    _add(connection, _INSERT_TIMED, _ROW_TIMED, rows)


def _add(connection: apsw.Connection, insert: str, row: str, rows: Iterable[tuple[object, ...]]) -> None:
    """In their order, AT_ONCE in a statement as far as that goes."""
    width, values = row.count("?"), list(chain.from_iterable(rows))
    rest = len(values) - len(values) % (AT_ONCE * width)
    for some, at_once in ((values[:rest], AT_ONCE), (values[rest:], 1)):
        bindings = zip(*[iter(some)] * (at_once * width), strict=True)
        connection.executemany(insert + ", ".join([row] * at_once), bindings)


def hold_back(connection: apsw.Connection, source: int, lines: int, rate: str, at: int) -> None:
    """Count lines that a rate limit held back."""
    connection.execute(_HOLD, (source, lines, rate, at))


def sources_held_back(connection: apsw.Connection) -> dict[int, int]:
    """The ids of the sources with lines held back that no line tells of yet, and since when."""
    return dict(connection.execute("SELECT source, begun_at FROM held_back"))


def take_held_back(connection: apsw.Connection, source: int) -> HeldBack | None:
    """What was held back of a source; it is counted no more."""
    rows = connection.execute(
        "SELECT s.id, n.name, s.name, h.lines, h.rate, h.begun_at, h.ended_at FROM held_back h"
        " JOIN sources s ON s.id = h.source JOIN nodes n ON n.id = s.node WHERE h.source = ?",
        (source,),
    )
    row = next(rows, None)
    connection.execute("DELETE FROM held_back WHERE source = ?", (source,))
    return None if row is None else HeldBack(*row)


def last_id(connection: apsw.Connection) -> int:
    """The id of the newest line, 0 when there is none."""
    return int(next(connection.execute("SELECT coalesce(max(id), 0) FROM logs"))[0])


def log_by_id(connection: apsw.Connection, log_id: int) -> LogRow | None:
    """One line."""
    rows = connection.execute(
        "SELECT l.id, n.name, s.name, l.observed_at, l.stored_at, l.line, l.logged_at FROM logs l"
        " JOIN sources s ON s.id = l.source JOIN nodes n ON n.id = s.node WHERE l.id = ?",
        (log_id,),
    )
    row = next(rows, None)
    return None if row is None else LogRow(*row)
