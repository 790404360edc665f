"""What operators have set: silences, acknowledgements, definitions and their versions."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from noroshi.store.model import Definition
from noroshi.store.silences import Silence
from noroshi.store.tables import definitions
from noroshi.store.tables import silences as table
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.views.history import Acknowledgement


@dataclass(frozen=True)
class Covered:
    """A state that a silence covers, or would."""

    event: str
    state: str
    node: str


@dataclass(frozen=True)
class Acknowledged:
    """An event in the state it had, and who took it on."""

    event: str
    state: str
    acknowledgement: Acknowledgement


@dataclass(frozen=True)
class PastSilence:
    """One that has ended, `by` an operator or, where that is empty, because its time was over."""

    silence: Silence
    ended_at: int
    by: str


def acknowledgements(connection: apsw.Connection, *, ended: bool) -> tuple[Acknowledged, ...]:
    """Those that stand, or the newest 1000 of all, oldest first."""
    which = "ORDER BY id DESC LIMIT 1000" if ended else "WHERE ended_at IS NULL ORDER BY id DESC"
    columns = "event, state, author, comment, created_at, until, ended_at, reason"
    rows = connection.execute(f"SELECT {columns} FROM acknowledgements {which}")  # noqa: S608
    return tuple(Acknowledged(event, state, Acknowledgement(*rest)) for event, state, *rest in rows)[::-1]


def past_silences(connection: apsw.Connection) -> tuple[PastSilence, ...]:
    """The newest 1000 that have ended, oldest first."""
    rows = connection.execute(
        "SELECT id, pattern, node, author, comment, begun_at, until, ended_at, ended_by FROM silences"
        " WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1000"
    )
    return tuple(PastSilence(Silence(*row[:7]), row[7], row[8]) for row in rows)[::-1]


def silences(connection: apsw.Connection, now: int) -> tuple[Silence, ...]:
    """Those that stand at `now`, microseconds UTC, and those that are to begin later; no damaged row."""
    return tuple(one for one in table.open_ones(connection) if _is_whole(one) and one.until > now)


def _is_whole(one: Silence) -> bool:
    texts = (one.pattern, one.node, one.author, one.comment)
    return all(isinstance(text, str) for text in texts) and isinstance(one.begun_at, int) and isinstance(one.until, int)


def covered(connection: apsw.Connection, silence: Silence) -> tuple[Covered, ...]:
    """The rows of the state table that a silence covers, by name."""
    rows = connection.execute(
        "SELECT s.event, s.state, n.name FROM states s JOIN nodes n ON n.id = s.node ORDER BY s.event"
    )
    return tuple(Covered(*row) for row in rows if silence.covers_event(row[0], row[2]))


def covered_sources(connection: apsw.Connection, silence: Silence) -> tuple[str, ...]:
    """The log sources known so far whose lines a silence covers, as NODE:PATH, by name."""
    rows = connection.execute("SELECT n.name, s.name FROM sources s JOIN nodes n ON n.id = s.node ORDER BY 1, 2")
    return tuple(f"{node}:{source}" for node, source in rows if silence.covers_line(source, node))


def definition_versions(connection: apsw.Connection, name: str | None) -> tuple[VersionRow, ...]:
    """Every version of one definition, or of all, in the order they were made."""
    return tuple(definitions.versions(connection, name))


def definition_heads(connection: apsw.Connection) -> tuple[VersionRow, ...]:
    """The newest version of every name that ever was, removed ones too, by name."""
    return tuple(definitions.heads(connection))


def definitions_seen(connection: apsw.Connection) -> tuple[tuple[Definition, ...], dict[str, int]]:
    """The definitions in force, and the newest version of every name: what an edit has seen."""
    return tuple(definitions.current(connection)), definitions.newest(connection)


def definitions_named(connection: apsw.Connection, name: str) -> tuple[Definition, ...]:
    """The definition of that name now in force, or none."""
    return tuple(one for one in definitions.current(connection) if one.name == name)
