"""What is now so: the nodes, the state table of fig. 4, who led and when the last word was written.

Rows that come by the thousand are Structs without garbage collection (they hold scalars alone): a frozen dataclass
takes as long to make as SQLite takes to find the row, four times over.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw
import msgspec

from noroshi.store.sound import all_made, rows


@dataclass(frozen=True)
class NodeState:
    """A node as last declared; `since` None until its first declaration; `damaged` as in sound.py."""

    node: str
    state: str
    since: int | None
    damaged: str = ""


class State(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One row of the state table: the event that last reached S4-4, and how often it was reported (spec 2.6).

    `owner` is who has acknowledged it, with a comment, until when (None: as long as the state lasts); empty: nobody.
    `damaged` as in sound.py.
    """

    category: str
    event: str
    state: str
    supplement: str
    node: str
    count: int
    observed_at: int
    stored_at: int
    seen_at: int
    owner: str = ""
    comment: str = ""
    acknowledged_until: int | None = None
    damaged: str = ""


@dataclass(frozen=True)
class Term:
    """One coordinator of the history."""

    term: int
    node: str
    endpoint: str
    since: int
    damaged: str = ""


def node_states(connection: apsw.Connection) -> tuple[NodeState, ...]:
    """Every node ever mentioned, by name."""
    return all_made(NodeState, rows(connection, "SELECT name, state, nullif(since, 0) FROM nodes ORDER BY name"))


def states(connection: apsw.Connection) -> tuple[State, ...]:
    """The whole state table, by name."""
    found = rows(
        connection,
        "SELECT s.category, s.event, s.state, s.supplement, n.name, s.count, s.observed_at, s.stored_at, s.seen_at,"
        " coalesce(a.author, ''), coalesce(a.comment, ''), a.until"
        " FROM states s LEFT JOIN nodes n ON n.id = s.node"
        " LEFT JOIN acknowledgements a ON a.event = s.event AND a.ended_at IS NULL ORDER BY s.event",
    )
    try:
        return msgspec.convert(found, tuple[State, ...])
    except msgspec.ValidationError:
        return all_made(State, found)


def terms(connection: apsw.Connection, limit: int = 1000) -> tuple[Term, ...]:
    """The newest `limit` terms, oldest first."""
    newest = "SELECT term, node, endpoint, since FROM terms ORDER BY term DESC LIMIT ?"
    return all_made(Term, rows(connection, newest, (limit,)))[::-1]


_LAST_WRITE = """
SELECT max(
  coalesce((SELECT stored_at FROM logs ORDER BY id DESC LIMIT 1), 0),
  coalesce((SELECT stored_at FROM events ORDER BY id DESC LIMIT 1), 0),
  coalesce((SELECT max(created_at, coalesce(ended_at, 0)) FROM notifications ORDER BY id DESC LIMIT 1), 0),
  coalesce((SELECT since FROM terms ORDER BY term DESC LIMIT 1), 0))
"""


def last_write(connection: apsw.Connection) -> int | None:
    """When the newest row was stored, by the coordinator's clock; None for an empty database or a damaged row."""
    ((newest,),) = rows(connection, _LAST_WRITE)
    return newest if isinstance(newest, int) and newest else None
