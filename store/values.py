"""Values that cannot be, in rows by which the leader acts, as a bad disk leaves them: a word where an instant stands, a
status that there is not, a state whose event is gone. SQLite's own check says nothing of them.

Role: `mend_values` before a new leader goes by any row; `blamed` and `set_aside` for what it missed, or came later: the
row on which something due cannot be done is named, and ended, so that it ends no coordinator.
Rules: mended towards telling: an instant becomes now, so that something is looked at too early rather than never. What
cannot be guessed is ended, or removed where it is kept for nobody to read. Every change is named to the caller, which
tells it. Tables that grow are looked at only where an index says what still goes on.
"""

# ruff: noqa: S608 - statements of our own text alone

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import apsw

from noroshi.store.errors import NoroshiError

_STATES = """(typeof(event) != 'text' OR typeof(state) != 'text' OR typeof(supplement) != 'text'
  OR typeof(observed_at) != 'integer' OR typeof(stored_at) != 'integer' OR typeof(seen_at) != 'integer'
  OR typeof(count) != 'integer' OR typeof(ordered) != 'integer' OR NOT EXISTS
  (SELECT 1 FROM events e JOIN nodes n ON n.id = e.node WHERE e.id = states.event_id AND e.event = states.event)
  OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = states.node))"""
_ENDED = "UPDATE {} SET ended_at = ?1 WHERE ended_at IS NULL AND {}"


def _not(kind: str, *columns: str) -> str:
    return "(" + " OR ".join(f"typeof({column}) != '{kind}'" for column in columns) + ")"


def _numbers(table: str, goes_on: str, value: str, *columns: str) -> list[tuple[str, str]]:
    """Each of these columns becomes `value` where it is neither a number nor, for those with an `?`, nothing."""
    rules = []
    for column in columns:
        name = column.removesuffix("?")
        kinds = "('integer', 'null')" if column.endswith("?") else "('integer')"
        what = f"UPDATE {table} SET {name} = {value} WHERE {goes_on} AND typeof({name}) NOT IN {kinds}"
        rules.append((f"{table}.{name}", what))
    return rules


_RULES: tuple[tuple[str, str], ...] = (
    (
        "troubles",
        "UPDATE troubles SET status = 'ended', ended_at = ?1, repeat_at = NULL, escalate_at = NULL"
        " WHERE status NOT IN ('open', 'recovering', 'ended')"
        f" OR (status != 'ended' AND {_not('text', 'definition', 'event')})",
    ),
    *_numbers("troubles", "status != 'ended'", "0", "opened_at", "floor", "reached"),
    *_numbers("troubles", "status != 'ended'", "?1", "repeat_at?", "escalate_at?"),
    (
        "holds",
        _ENDED.format("holds", f"(kind NOT IN ('flap', 'limit', 'overall') OR {_not('text', 'definition', 'event')})"),
    ),
    *_numbers("holds", "ended_at IS NULL", "?1", "since", "until?"),
    (
        "silences.pattern",
        "UPDATE silences SET pattern = '', node = '', until = ?1"
        f" WHERE ended_at IS NULL AND {_not('text', 'pattern', 'node')}",
    ),
    *_numbers("silences", "ended_at IS NULL", "?1", "begun_at", "until"),
    ("acknowledgements", _ENDED.format("acknowledgements", _not("text", "event", "state"))),
    *_numbers("acknowledgements", "ended_at IS NULL", "?1", "created_at", "until?"),
    ("held_back", f"DELETE FROM held_back WHERE {_not('integer', 'lines', 'begun_at', 'ended_at')}"),
    ("streams.last", "DELETE FROM streams WHERE typeof(last) != 'integer' OR last < 0"),
    (
        "states",
        "INSERT OR REPLACE INTO states (event, event_id, category, state, supplement, node, observed_at, stored_at,"
        " seen_at, count, ordered) SELECT event, max(id), category, state, supplement, node, observed_at, stored_at,"
        f" observed_at, 1, 0 FROM events WHERE event IN (SELECT event FROM states WHERE {_STATES})"
        " AND node IN (SELECT id FROM nodes) GROUP BY event",
    ),
    (
        "states",
        "INSERT OR IGNORE INTO states (event, event_id, category, state, supplement, node, observed_at, stored_at,"
        " seen_at, count, ordered) SELECT event, id, category, state, supplement, node, observed_at, stored_at,"
        f" observed_at, 1, 0 FROM events WHERE id IN (SELECT event_id FROM states WHERE {_STATES})"
        " AND node IN (SELECT id FROM nodes)",
    ),
    ("states", f"DELETE FROM states WHERE {_STATES}"),
)
"""(what is mended, statement); ?1 is now, microseconds UTC."""


def mend_values(connection: apsw.Connection, at: int) -> list[str]:
    """Mend them inside a transaction of the caller's; what there was to mend, as table or `table.column`, each once."""
    mended: dict[str, None] = {}
    for what, statement in _RULES:
        connection.execute(statement, (at,) if "?1" in statement else ())
        if connection.changes() > 0:
            mended[what] = None
    return list(mended)


# --- what cannot be done for a row ----------------------------------------------------------------------------------


class Spoilt(Exception):
    """Something that is due cannot be done, for what stands in or behind the row `number` of `table`."""

    def __init__(self, table: str, number: int, error: Exception) -> None:
        self.table, self.number = table, number
        super().__init__(f"row {number} of {table}: {type(error).__name__}: {error}")


_PASS = (NoroshiError, UnicodeDecodeError, Spoilt)
"""What has a name, and a way of its own."""
_OF_A_VALUE = (apsw.MismatchError, apsw.ConstraintError, apsw.TooBigError)
"""SQLite's errors for a value that does not fit; its others are of the disk."""


@contextmanager
def blamed(table: str, number: int) -> Iterator[None]:
    """What fails within is laid to that row: Spoilt. The transaction cannot go on."""
    try:
        yield
    except _PASS:
        raise
    except Exception as error:
        if isinstance(error, apsw.Error) and not isinstance(error, _OF_A_VALUE):
            raise
        raise Spoilt(table, number, error) from error


_ASIDE: Mapping[str, str] = MappingProxyType(
    {
        "notifications": "UPDATE notifications SET status = 'failed', reason = 'set aside', ended_at = ?2"
        " WHERE id = ?1 AND status = 'pending'",
        "attempts": "UPDATE attempts SET outcome = 'failed', reason = 'set aside', ended_at = ?2"
        " WHERE notification = ?1 AND outcome IS NULL",
        "troubles": "UPDATE troubles SET status = 'ended', ended_at = ?2, repeat_at = NULL, escalate_at = NULL"
        " WHERE id = ?1 AND status != 'ended'",
        "holds": "UPDATE holds SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL",
        "silences": "UPDATE silences SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL",
        "acknowledgements": "UPDATE acknowledgements SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL",
        "held_back": "DELETE FROM held_back WHERE source = ?1 AND ?2 NOTNULL",
    }
)


def set_aside(connection: apsw.Connection, spoilt: Spoilt, at: int) -> bool:
    """End the row, in a transaction of the caller's; False where that changes nothing, so that it would come again."""
    before = connection.total_changes()
    connection.execute(_ASIDE[spoilt.table], (spoilt.number, at))
    if spoilt.table == "notifications":
        connection.execute(_ASIDE["attempts"], (spoilt.number, at))
    return connection.total_changes() > before
