"""What the database knows of itself: single values, and the history of terms."""

from __future__ import annotations

import apsw


def get(connection: apsw.Connection, key: str) -> str | None:
    """A value, None where it was never set."""
    row = next(connection.execute("SELECT value FROM meta WHERE key = ?", (key,)), None)
    return None if row is None else str(row[0])


def put(connection: apsw.Connection, key: str, value: str) -> None:
    """Set a value."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def add_term(connection: apsw.Connection, term: int, node: str, endpoint: str, since: int) -> None:
    """Record who leads from `since` on."""
    connection.execute("INSERT OR REPLACE INTO terms VALUES (?, ?, ?, ?)", (term, node, endpoint, since))
