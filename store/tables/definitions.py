"""Definitions, every version kept; a version without a body removes the definition."""

from __future__ import annotations

import apsw
import msgspec

from noroshi.store import model
from noroshi.store.model import Definition


def current(connection: apsw.Connection) -> list[Definition]:
    """The newest version of each definition that is not removed, by name."""
    rows = connection.execute(
        "SELECT body, max(version) FROM definitions GROUP BY name HAVING body IS NOT NULL ORDER BY name"
    )
    return [_with_version(str(body), int(version)) for body, version in rows]


def at_version(connection: apsw.Connection, name: str, version: int) -> Definition | None:
    """One version of one definition; None where it never was, or removes."""
    rows = connection.execute("SELECT body FROM definitions WHERE name = ? AND version = ?", (name, version))
    row = next(rows, None)
    return None if row is None or row[0] is None else _with_version(str(row[0]), version)


def add_version(
    connection: apsw.Connection, name: str, definition: Definition | None, author: str, created_at: int
) -> int:
    """Store the next version of `name`, None to remove it; return its number."""
    newest = next(connection.execute("SELECT coalesce(max(version), 0) FROM definitions WHERE name = ?", (name,)))
    version = int(newest[0]) + 1
    body = None if definition is None else model.to_json(msgspec.structs.replace(definition, version=0))
    connection.execute("INSERT INTO definitions VALUES (?, ?, ?, ?, ?)", (name, version, body, author, created_at))
    return version


def _with_version(body: str, version: int) -> Definition:
    return msgspec.structs.replace(model.from_json(body), version=version)
