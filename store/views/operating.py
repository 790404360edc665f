"""What operators have set: silences, acknowledgements, definitions and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from noroshi.store.model import Definition
from noroshi.store.silences import Silence
from noroshi.store.sound import all_made, forgiving, made, rows
from noroshi.store.tables import definitions
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.views.history import Acknowledgement

_SILENCE = "id, pattern, node, author, comment, begun_at, until"


@dataclass(frozen=True)
class Covered:
    """A state that a silence covers, or would."""

    event: str
    state: str
    node: str
    damaged: str = ""


@dataclass(frozen=True)
class Acknowledged:
    """An event in the state it had, and who took it on; `damaged` as in sound.py."""

    event: str
    state: str
    acknowledgement: Acknowledgement
    damaged: str = ""


@dataclass(frozen=True)
class PastSilence:
    """One that has ended, `by` an operator or else (empty) because its time was over; `damaged` as in sound.py."""

    silence: Silence
    ended_at: int
    by: str
    damaged: str = ""


def acknowledgements(connection: apsw.Connection, *, ended: bool) -> tuple[Acknowledged, ...]:
    """Those that stand, or the newest 1000 of all, oldest first."""
    which = "ORDER BY id DESC LIMIT 1000" if ended else "WHERE ended_at IS NULL ORDER BY id DESC"
    columns = "event, state, author, comment, created_at, until, ended_at, reason"
    found = rows(connection, f"SELECT {columns} FROM acknowledgements {which}")  # noqa: S608
    return tuple(_acknowledged(made(_Head, row[:2]), made(Acknowledgement, row[2:])) for row in found)[::-1]


@dataclass(frozen=True)
class _Head:
    event: str
    state: str
    damaged: str = ""


def _acknowledged(head: _Head, by: Acknowledgement) -> Acknowledged:
    return Acknowledged(head.event, head.state, by, _both(head, by))


def past_silences(connection: apsw.Connection) -> tuple[PastSilence, ...]:
    """The newest 1000 that have ended, oldest first."""
    found = rows(
        connection,
        f"SELECT {_SILENCE}, ended_at, ended_by FROM silences WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1000",  # noqa: S608
    )
    return tuple(_past(made(Silence, row[:7]), made(_End, row[7:])) for row in found)[::-1]


@dataclass(frozen=True)
class _End:
    ended_at: int
    ended_by: str
    damaged: str = ""


def _past(silence: Silence, end: _End) -> PastSilence:
    return PastSilence(silence, end.ended_at, end.ended_by, _both(silence, end))


def _both(*parts: _Head | Acknowledgement | Silence | _End) -> str:
    """What is wrong with a row of which several values are made."""
    return ", ".join(one.damaged for one in parts if one.damaged)


def silences(connection: apsw.Connection, now: int) -> tuple[Silence, ...]:
    """Those that stand at `now`, microseconds UTC, and those that are to begin later; no damaged row."""
    return tuple(one for one in _not_ended(connection) if not one.damaged and one.until > now)


def damaged_silences(connection: apsw.Connection) -> tuple[Silence, ...]:
    """Those not ended whose rows are damaged: nothing goes by them, and the next leader ends them."""
    return tuple(one for one in _not_ended(connection) if one.damaged)


def _not_ended(connection: apsw.Connection) -> tuple[Silence, ...]:
    return all_made(Silence, rows(connection, f"SELECT {_SILENCE} FROM silences WHERE ended_at IS NULL ORDER BY id"))  # noqa: S608


def covered(connection: apsw.Connection, silence: Silence) -> tuple[Covered, ...]:
    """The rows of the state table that a silence covers, by name."""
    every = "SELECT s.event, s.state, n.name FROM states s LEFT JOIN nodes n ON n.id = s.node ORDER BY s.event"
    found = all_made(Covered, rows(connection, every))
    return tuple(one for one in found if silence.covers_event(one.event, one.node))


def covered_sources(connection: apsw.Connection, silence: Silence) -> tuple[str, ...]:
    """The log sources known so far whose lines a silence covers, as NODE:PATH, by name."""
    every = "SELECT n.name, s.name FROM sources s JOIN nodes n ON n.id = s.node ORDER BY 1, 2"
    found = all_made(_Source, rows(connection, every))
    return tuple(f"{one.node}:{one.name}" for one in found if silence.covers_line(one.name, one.node))


@dataclass(frozen=True)
class _Source:
    node: str
    name: str
    damaged: str = ""


def definition_versions(connection: apsw.Connection, name: str | None) -> tuple[VersionRow, ...]:
    """Every version of one definition, or of all, in the order they were made."""
    return tuple(definitions.versions(forgiving(connection), name))


def definition_heads(connection: apsw.Connection) -> tuple[VersionRow, ...]:
    """The newest version of every name that ever was, removed ones too, by name."""
    return tuple(definitions.heads(forgiving(connection)))


def definitions_seen(connection: apsw.Connection) -> tuple[tuple[Definition, ...], dict[str, int]]:
    """The definitions in force, and the newest version of every name: what an edit has seen."""
    found = definition_heads(connection)
    return _in_force(found), {row.name: row.version for row in found}


def definitions_named(connection: apsw.Connection, name: str) -> tuple[Definition, ...]:
    """The definition of that name now in force, or none."""
    return tuple(one for one in _in_force(definition_heads(connection)) if one.name == name)


def _in_force(found: Iterable[VersionRow]) -> tuple[Definition, ...]:
    return tuple(row.definition for row in found if row.definition is not None)
