"""The shared log: append-only, in order of arrival and, per source, in file order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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


_INSERT = "INSERT INTO logs (source, observed_at, stored_at, line) VALUES (?, ?, ?, ?)"


def add_lines(connection: apsw.Connection, rows: Iterable[tuple[int, int, int, str]]) -> None:
    """Append (source id, observed_at, stored_at, line) rows; their ids follow one another."""
    connection.executemany(_INSERT, rows)


def last_id(connection: apsw.Connection) -> int:
    """The id of the newest line, 0 when there is none."""
    return int(next(connection.execute("SELECT coalesce(max(id), 0) FROM logs"))[0])


def log_by_id(connection: apsw.Connection, log_id: int) -> LogRow | None:
    """One line."""
    rows = connection.execute(
        "SELECT l.id, n.name, s.name, l.observed_at, l.stored_at, l.line FROM logs l"
        " JOIN sources s ON s.id = l.source JOIN nodes n ON n.id = s.node WHERE l.id = ?",
        (log_id,),
    )
    row = next(rows, None)
    return None if row is None else LogRow(*row)
