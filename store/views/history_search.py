"""The filter over the notification history, in steps as `search.py` goes through the log; and where to begin.

A notification changes until it has ended, so each step also tells which of those it passed still may: they are looked
at again by `still_matching`. Only numbers are found; `notification_page` reads the rows that are on a screen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apsw

from noroshi.store.matching import NamePattern
from noroshi.store.sound import rows
from noroshi.store.views.events import names_matching
from noroshi.store.views.history import FROM
from noroshi.store.views.pages import Bounds, stretch
from noroshi.store.views.search import fold

SPAN = 5_000
"""Notifications looked at in one step, with their attempts: some 25 ms from memory."""


@dataclass(frozen=True)
class HistorySearch:
    """Which notifications: `definition`, `event` and `node` are name patterns; `statuses` empty for any.

    `node`: it saw what is told, or was to be told. `text` stands in what was told of, the definition, a reason or a
    node; case is ignored for ASCII letters where `ignore_case` says so. `inverted` turns the text around alone.
    """

    definition: str = "**"
    event: str = "**"
    node: str = "**"
    statuses: tuple[str, ...] = ()
    text: str = ""
    ignore_case: bool = True
    inverted: bool = False


@dataclass(frozen=True)
class HistoryStep:
    """`ids` found, oldest first; go on from `position`; `done`: the end was reached; `unfinished` may still change."""

    ids: tuple[int, ...]
    position: int
    done: bool
    unfinished: tuple[int, ...]


_FROM_ON = (
    "SELECT id, created_at FROM notifications WHERE id >= ? AND typeof(created_at) = 'integer' ORDER BY id LIMIT 1"
)

# one text of all that is searched, a line for each column
_TEXT = " || char(10) || ".join(
    f"coalesce({column}, '')"
    for column in (
        "o.definition",
        "o.status",
        "o.reason",
        "o.notice",
        "o.held_by",
        "e.event",
        "e.state",
        "e.supplement",
        "s.name",
        "l.line",
        "en.name",
        "ln.name",
    )
)
_ATTEMPT_TEXT = " || char(10) || ".join(
    f"a.{column}" for column in ("node", "procedure", "application", "reason", "late")
)


def history_bounds(connection: apsw.Connection) -> Bounds:
    """Two seeks."""
    ends = "coalesce((SELECT min(id) FROM notifications), 0), coalesce((SELECT max(id) FROM notifications), 0)"
    return Bounds(*next(connection.execute(f"SELECT {ends}")))


def pending_count(connection: apsw.Connection) -> int:
    """How many notifications are under way."""
    return int(next(connection.execute("SELECT count(*) FROM notifications WHERE status = 'pending'"))[0])


def notification_id_at(connection: apsw.Connection, instant: int) -> int | None:
    """The first notification begun at or after `instant`, None where there is none.

    By halving: the numbers are in the order of beginning, and no index is spent on what is asked this seldom.
    """
    bounds = history_bounds(connection)
    low, high, found = bounds.first, bounds.last, None
    while 0 < low <= high:
        middle = (low + high) // 2
        row = next(connection.execute(_FROM_ON, (middle,)), None)
        if row is None:  # only damaged ones from there on
            high = middle - 1
        elif row[1] >= instant:
            found, high = int(row[0]), middle - 1
        else:
            low = int(row[0]) + 1
    return found


def scan_history(
    connection: apsw.Connection,
    which: HistorySearch,
    position: int | None,
    *,
    backward: bool,
    limit: int,
    span: int = SPAN,
) -> HistoryStep:
    """One step from `position` (itself excluded; None: from that end), at most `limit` notifications found."""
    ahead = stretch(history_bounds(connection), position, span, backward=backward)
    condition, bindings = _condition(connection, which)
    statement = (
        f"SELECT o.id {FROM} WHERE o.id BETWEEN ? AND ? AND {condition}"
        f" ORDER BY o.id {'DESC' if backward else ''} LIMIT ?"
    )
    found = connection.execute(statement, (ahead.low, ahead.high, *bindings, limit))
    ids = [int(number) for (number,) in found]
    reached = ids[-1] if len(ids) == limit else ahead.far_end
    unfinished = _unfinished(connection, *((reached, ahead.high) if backward else (ahead.low, reached)))
    return HistoryStep(tuple(sorted(ids)), reached, ahead.is_last(reached), unfinished)


def still_matching(
    connection: apsw.Connection, which: HistorySearch, numbers: Iterable[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of these notifications: those that match now, and those that may still change."""
    asked = sorted(numbers)
    condition, bindings = _condition(connection, which)
    statement = f"SELECT o.id {FROM} WHERE o.id IN (SELECT value FROM json_each(?)) AND {condition} ORDER BY o.id"  # noqa: S608
    found = tuple(int(number) for (number,) in connection.execute(statement, (json.dumps(asked), *bindings)))
    changing = _unfinished(connection, asked[0], asked[-1]) if asked else ()
    return found, tuple(sorted(set(changing) & set(asked)))


def _unfinished(connection: apsw.Connection, low: int, high: int) -> tuple[int, ...]:
    found = connection.execute(
        "SELECT id FROM notifications WHERE status = 'pending' AND id BETWEEN ?1 AND ?2"
        " UNION SELECT notification FROM attempts WHERE outcome IS NULL AND notification BETWEEN ?1 AND ?2",
        (low, high),
    )
    return tuple(sorted(int(number) for (number,) in found))


def _condition(connection: apsw.Connection, which: HistorySearch) -> tuple[str, list[Any]]:
    conditions, bindings = ["true"], list[Any]()
    for column, names in _named(connection, which):
        conditions.append(column.replace("?", "(SELECT value FROM json_each(?))"))
        bindings += [json.dumps(names)] * column.count("?")
    if which.text:
        text, attempt = (f"lower({one})" if which.ignore_case else one for one in (_TEXT, _ATTEMPT_TEXT))
        anywhere = (
            f"(instr({text}, ?) OR EXISTS"  # noqa: S608 - fixed text, values are bound
            f" (SELECT 1 FROM attempts a WHERE a.notification = o.id AND instr({attempt}, ?)))"
        )
        conditions.append(f"{'NOT ' if which.inverted else ''}{anywhere}")
        bindings += [fold(which.text) if which.ignore_case else which.text] * 2
    return " AND ".join(conditions), bindings


def _named(connection: apsw.Connection, which: HistorySearch) -> Iterable[tuple[str, list[str]]]:
    if which.statuses:
        yield "o.status IN ?", list(which.statuses)
    if which.definition != "**":
        yield "o.definition IN ?", _matching(connection, "SELECT DISTINCT name FROM definitions", which.definition)
    if which.event != "**":
        yield "e.event IN ?", names_matching(connection, which.event)
    if which.node != "**":
        told = "EXISTS (SELECT 1 FROM attempts a WHERE a.notification = o.id AND a.node IN ?)"
        names = _matching(connection, "SELECT name FROM nodes", which.node)
        yield f"(coalesce(en.name, ln.name) IN ? OR {told})", names


def _matching(connection: apsw.Connection, statement: str, pattern: str) -> list[str]:
    """The names of a small table that match; a name without stars as it is, known or not."""
    wanted = NamePattern(pattern)
    if wanted.is_literal:
        return [pattern]
    return [name for (name,) in rows(connection, statement) if isinstance(name, str) and wanted.matches(name)]
