"""The last sequence (for logs: byte offset) taken of each stream, kept in the transaction of its data."""

from __future__ import annotations

import apsw


def last(connection: apsw.Connection, stream: bytes) -> int | None:
    """None for a stream never seen, or whose position is no number any more."""
    rows = connection.execute("SELECT last FROM streams WHERE id = ? AND typeof(last) = 'integer'", (stream,))
    row = next(rows, None)
    return None if row is None else int(row[0])


def advance(connection: apsw.Connection, stream: bytes, node: int, kind: str, position: int, at: int) -> None:
    """Record `position` as taken; `kind` is events, deferred, outcomes or log."""
    connection.execute(
        "INSERT INTO streams (id, node, kind, last, updated_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET last = excluded.last, updated_at = excluded.updated_at",
        (stream, node, kind, position, at),
    )
