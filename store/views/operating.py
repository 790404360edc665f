"""What operators have set: silences; and the facts behind 'who would be told now'."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from noroshi.store.damping import Window
from noroshi.store.explain import Facts
from noroshi.store.matching import NamePattern
from noroshi.store.model import Definition, Limit
from noroshi.store.silences import Silence
from noroshi.store.tables import definitions, holds, nodes
from noroshi.store.tables import silences as table
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.tables.events import state_of
from noroshi.store.views.history import Acknowledgement

_KEEPING = {
    "flap": "flapping: held back until it is calm",
    "limit": "the definition's limit is reached",
    "overall": "the overall limit is reached",
}


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
    """Those that stand at `now`, microseconds UTC, and those that are to begin later."""
    return tuple(one for one in table.open_ones(connection) if one.until > now)


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


def facts(
    connection: apsw.Connection,
    event: str | None,
    members: Iterable[str],
    own: str | None,
    now: int,
    overall: Limit | None = None,
) -> Facts:
    """What `explain` needs, in one reading; `event` None for a line, `overall` the cluster's own limit."""
    row = None if event is None else state_of(connection, event)
    current = tuple(definitions.current(connection))
    concerned = [one for one in current if _may_concern(one, event)]
    standing = {(one.definition, one.event): _KEEPING[one.kind] for one in holds.standing(connection)}
    return Facts(
        definitions=current,
        current=None if row is None else (row.state, row.supplement),
        nodes={node.name: node.state for node in nodes.nodes(connection)},
        members=frozenset(members),
        silences=tuple(one for one in silences(connection, now) if one.begun_at <= now),
        own=own,
        held={**_would_be_held(connection, event, concerned, now, overall), **standing},
    )


def _may_concern(one: Definition, event: str | None) -> bool:
    return one.kind == "log" if event is None else one.kind == "event" and NamePattern(one.event).matches(event)


def _would_be_held(
    connection: apsw.Connection, event: str | None, concerned: Iterable[Definition], now: int, overall: Limit | None
) -> dict[tuple[str, str], str]:
    """What the next one would be one too many for, as `Facts.held`."""
    held = {}
    for one in concerned:
        if event is not None and one.flap is not None:
            past = [*holds.changes_of(connection, event, one.flap.changes - 1), now]
            if Window(one.flap.changes, one.flap.within, past).is_full(now):
                held[one.name, event] = _KEEPING["flap"]
        if _is_reached(connection, one.name, one.limit, now):
            held[one.name, ""] = _KEEPING["limit"]
    if _is_reached(connection, "", overall, now):
        held["", ""] = _KEEPING["overall"]
    return held


def _is_reached(connection: apsw.Connection, definition: str, limit: Limit | None, now: int) -> bool:
    if limit is None:
        return False
    return Window(limit.count, limit.within, holds.begun(connection, definition, limit.count)).is_full(now)
