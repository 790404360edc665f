"""Silences and maintenance: open ones, and those that ended with who ended them."""

from __future__ import annotations

import apsw

from noroshi.store.silences import Silence

_COLUMNS = "id, pattern, node, author, comment, begun_at, until"


def add(connection: apsw.Connection, pattern: str, node: str, author: str, comment: str, at: int, until: int) -> int:
    """Begin a silence; its number."""
    connection.execute(
        "INSERT INTO silences (pattern, node, author, comment, begun_at, until) VALUES (?, ?, ?, ?, ?, ?)",
        (pattern, node, author, comment, at, until),
    )
    return connection.last_insert_rowid()


def end(connection: apsw.Connection, number: int, at: int, by: str) -> None:
    """End one; `by` is empty where its time was over."""
    connection.execute("UPDATE silences SET ended_at = ?, ended_by = ? WHERE id = ?", (at, by, number))


def open_ones(connection: apsw.Connection) -> list[Silence]:
    """Those not ended, oldest first; one whose time is over may still be among them."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM silences WHERE ended_at IS NULL ORDER BY id")  # noqa: S608
    return [Silence(*row) for row in rows]
