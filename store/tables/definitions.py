"""Definitions, every version kept; a version without a body removes the definition."""

from __future__ import annotations

from dataclasses import dataclass

import apsw
import msgspec

from noroshi.store import model
from noroshi.store.model import Definition


@dataclass(frozen=True)
class VersionRow:
    """One version; `definition` None where it removes."""

    name: str
    version: int
    definition: Definition | None
    author: str
    created_at: int
    note: str


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


def newest(connection: apsw.Connection) -> dict[str, int]:
    """The newest version of every name that ever was, removed ones too: what an edit names as seen."""
    rows = connection.execute("SELECT name, max(version) FROM definitions GROUP BY name")
    return {str(name): int(version) for name, version in rows}


def heads(connection: apsw.Connection) -> list[VersionRow]:
    """The newest version of every name that ever was, removed ones too, by name."""
    rows = connection.execute(
        "SELECT name, max(version), body, author, created_at, note FROM definitions GROUP BY name ORDER BY name"
    )
    return [_row(*row) for row in rows]


def versions(connection: apsw.Connection, name: str | None = None) -> list[VersionRow]:
    """Every version of one definition, or of all, in the order they were made."""
    rows = connection.execute(
        "SELECT name, version, body, author, created_at, note FROM definitions WHERE ?1 IS NULL OR name = ?1"
        " ORDER BY created_at, name, version",
        (name,),
    )
    return [_row(*row) for row in rows]


def add_version(
    connection: apsw.Connection, name: str, definition: Definition | None, author: str, created_at: int, note: str = ""
) -> int:
    """Store the next version of `name`, None to remove it; return its number. `note` says how it came about."""
    last = next(connection.execute("SELECT coalesce(max(version), 0) FROM definitions WHERE name = ?", (name,)))
    version = int(last[0]) + 1
    body = None if definition is None else model.to_json(msgspec.structs.replace(definition, version=0))
    connection.execute(
        "INSERT INTO definitions (name, version, body, author, created_at, note) VALUES (?, ?, ?, ?, ?, ?)",
        (name, version, body, author, created_at, note),
    )
    return version


def _row(name: str, version: int, body: str | None, author: str, created_at: int, note: str) -> VersionRow:
    return VersionRow(name, version, None if body is None else _with_version(body, version), author, created_at, note)


def _with_version(body: str, version: int) -> Definition:
    return msgspec.structs.replace(model.from_json(body), version=version)
