"""Definitions, every version kept; a version without a body removes the definition.

Rules: a body that cannot be read, as a bad disk or another program leaves it, is no error here: it keeps no node from
leading and hides no other definition. Nothing goes by it, and `unreadable` names it. Bodies are fetched as bytes: text
that is no UTF-8 would end the whole query.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

import apsw
import msgspec

from noroshi.store import model
from noroshi.store.model import Definition
from noroshi.store.sound import made

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionRow:
    """One version; `definition` None where it removes, or cannot be read: then the note says so; `damaged` as in
    sound.py."""

    name: str
    version: int
    definition: Definition | None
    author: str
    created_at: int
    note: str
    damaged: str = ""


def current(connection: apsw.Connection) -> list[Definition]:
    """The newest version of each definition that is not removed and can be read, by name."""
    return [row.definition for row in heads(connection) if row.definition is not None]


def unreadable(connection: apsw.Connection) -> dict[str, str]:
    """The names whose newest version cannot be read, and why."""
    rows = connection.execute("SELECT name, max(version), CAST(body AS BLOB) FROM definitions GROUP BY name")
    return {str(name): why for name, version, body in rows if (why := _decoded(body, version)[1])}


def at_version(connection: apsw.Connection, name: str, version: int) -> Definition | None:
    """One version of one definition; None where it never was, removes, or cannot be read, which the log tells."""
    rows = connection.execute(
        "SELECT CAST(body AS BLOB) FROM definitions WHERE name = ? AND version = ?", (name, version)
    )
    row = next(rows, None)
    definition, why = (None, "") if row is None else _decoded(row[0], version)
    if why:
        log.error("definition %s, version %d, cannot be read: %s", name, version, why)
    return definition


def newest(connection: apsw.Connection) -> dict[str, int]:
    """The newest version of every name that ever was, removed ones too: what an edit names as seen."""
    rows = connection.execute("SELECT name, max(version) FROM definitions GROUP BY name")
    return {str(name): int(version) for name, version in rows}


def heads(connection: apsw.Connection) -> list[VersionRow]:
    """The newest version of every name that ever was, removed ones too, by name."""
    rows = connection.execute(
        "SELECT name, max(version), CAST(body AS BLOB), author, created_at, note FROM definitions"
        " GROUP BY name ORDER BY name"
    )
    return [_row(*row) for row in rows]


def versions(connection: apsw.Connection, name: str | None = None) -> list[VersionRow]:
    """Every version of one definition, or of all, in the order they were made."""
    rows = connection.execute(
        "SELECT name, version, CAST(body AS BLOB), author, created_at, note FROM definitions"
        " WHERE ?1 IS NULL OR name = ?1 ORDER BY created_at, name, version",
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


def _row(name: str, version: int, body: bytes | None, author: str, created_at: int, note: str) -> VersionRow:
    definition, why = _decoded(body, version)
    note = f"cannot be read: {why}" if why else note
    return made(VersionRow, (name, version, definition, author, created_at, note))


def _decoded(body: bytes | None, version: int) -> tuple[Definition | None, str]:
    """The definition, None where the version removes it; or why it cannot be read."""
    if body is None:
        return None, ""
    try:
        found = model.from_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, str(error)
    why = _unusable(found)
    return (None, why) if why else (msgspec.structs.replace(found, version=version), "")


def _unusable(one: Definition) -> str:
    """Why nothing can go by a definition that was decoded; empty where it can. No import lets such a one in."""
    seconds = [one.timeout, one.repeat, one.escalate, *(each.timeout for each in one.notify)]
    seconds += [each.within for each in (one.flap, one.limit) if each is not None]
    if not all(0 < each < math.inf for each in seconds if each is not None):
        return "a duration is not above 0"
    counts = [each.priority for each in one.notify]
    counts += [one.flap.changes if one.flap else 1, one.limit.count if one.limit else 1]
    if min(counts) < 1:
        return "a number is not above 0"
    return _not_compiled(one.pattern)


@lru_cache(4096)
def _not_compiled(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"its pattern is no regular expression: {error}"
    return ""
