"""What operators have set: silences; and the facts behind 'who would be told now'."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from noroshi.store.explain import Facts
from noroshi.store.model import Definition
from noroshi.store.silences import Silence
from noroshi.store.tables import definitions, holds, nodes
from noroshi.store.tables import silences as table
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.tables.events import state_of

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


def silences(connection: apsw.Connection, now: int) -> tuple[Silence, ...]:
    """Those that stand at `now`, microseconds UTC."""
    return tuple(one for one in table.open_ones(connection) if one.until > now)


def covered(connection: apsw.Connection, silence: Silence) -> tuple[Covered, ...]:
    """The rows of the state table that a silence covers, by name."""
    rows = connection.execute(
        "SELECT s.event, s.state, n.name FROM states s JOIN nodes n ON n.id = s.node ORDER BY s.event"
    )
    return tuple(Covered(*row) for row in rows if silence.covers_event(row[0], row[2]))


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


def facts(connection: apsw.Connection, event: str | None, members: Iterable[str], own: str | None, now: int) -> Facts:
    """What `explain` needs, in one reading."""
    row = None if event is None else state_of(connection, event)
    return Facts(
        definitions=tuple(definitions.current(connection)),
        current=None if row is None else (row.state, row.supplement),
        nodes={node.name: node.state for node in nodes.nodes(connection)},
        members=frozenset(members),
        silences=silences(connection, now),
        own=own,
        held={(one.definition, one.event): _KEEPING[one.kind] for one in holds.standing(connection)},
    )
