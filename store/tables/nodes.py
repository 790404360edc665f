"""Nodes and sources by id, and the state each node was last declared to be in."""

from __future__ import annotations

from dataclasses import dataclass

import apsw


@dataclass(frozen=True)
class NodeRow:
    """A node as last declared; state UNKNOWN until the first declaration, `since` microseconds UTC."""

    name: str
    state: str
    since: int


def node_id(connection: apsw.Connection, name: str) -> int:
    """The id of a node, given at its first mention."""
    connection.execute("INSERT INTO nodes (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
    return _one(connection, "SELECT id FROM nodes WHERE name = ?", (name,))


def source_id(connection: apsw.Connection, node: int, name: str) -> int:
    """The id of a log source (a path, or another name) of one node."""
    connection.execute(
        "INSERT INTO sources (node, name) VALUES (?, ?) ON CONFLICT (node, name) DO NOTHING", (node, name)
    )
    return _one(connection, "SELECT id FROM sources WHERE node = ? AND name = ?", (node, name))


def set_node_state(connection: apsw.Connection, name: str, state: str, since: int) -> None:
    """Declare a node's state from `since` on."""
    node_id(connection, name)
    connection.execute("UPDATE nodes SET state = ?, since = ? WHERE name = ?", (state, since, name))


def nodes(connection: apsw.Connection) -> list[NodeRow]:
    """All nodes ever mentioned, by name."""
    return [NodeRow(*row) for row in connection.execute("SELECT name, state, since FROM nodes ORDER BY name")]


def _one(connection: apsw.Connection, statement: str, bindings: tuple[object, ...]) -> int:
    return int(next(connection.execute(statement, bindings))[0])
