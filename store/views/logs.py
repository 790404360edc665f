"""Pages of the shared log by key: after an id, before an id, at an instant, by ids.

A line longer than `cut` bytes comes cut, with `length` saying how long it is: a page of lines of 1 MiB each stays
small. `log_line` gives one line whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import msgspec

from noroshi.store.sound import each, made
from noroshi.store.views.pages import UNCUT, Bounds, as_text, cut_to


class LogLine(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line; ids are in order of arrival and, per source, in file order. `length` in bytes of UTF-8.

    `logged_at`: the time the line itself gives, None where it gives none; `damaged` as in sound.py.
    A Struct for the reason that `State` is one (states.py).
    """

    id: int
    node: str
    source: str
    observed_at: int
    stored_at: int
    line: str
    length: int
    logged_at: int | None = None
    damaged: str = ""

    @property
    def time(self) -> int:
        """What it is shown, found and put in order by: its own time, or else when it was seen."""
        return self.observed_at if self.logged_at is None else self.logged_at


@dataclass(frozen=True)
class LogFilter:
    """Which lines: `node` and `source` are name patterns; `text` is found if any of these stands in the line.

    Case is ignored for ASCII letters, where `ignore_case` says so. `inverted` turns the text around, not the names.
    """

    node: str = "**"
    source: str = "**"
    text: tuple[str, ...] = ()
    ignore_case: bool = True
    inverted: bool = False

    @property
    def selects_all(self) -> bool:
        return self.node == "**" and self.source == "**" and not self.text


def log_bounds(connection: apsw.Connection) -> Bounds:
    """Two seeks."""
    rows = connection.execute("SELECT coalesce((SELECT min(id) FROM logs), 0), coalesce((SELECT max(id) FROM logs), 0)")
    return Bounds(*next(rows))


def log_after(connection: apsw.Connection, after: int, limit: int, cut: int = UNCUT) -> tuple[LogLine, ...]:
    """The `limit` lines that follow the id `after`, oldest first."""
    return select(connection, "SELECT * FROM logs WHERE id > ? ORDER BY id LIMIT ?", (after, limit), cut)


def log_before(connection: apsw.Connection, before: int | None, limit: int, cut: int = UNCUT) -> tuple[LogLine, ...]:
    """The `limit` lines before the id `before`, oldest first; None for the newest page."""
    below = 2**63 - 1 if before is None else before
    page = select(connection, "SELECT * FROM logs WHERE id < ? ORDER BY id DESC LIMIT ?", (below, limit), cut)
    return page[::-1]


def log_lines(connection: apsw.Connection, ids: Iterable[int], cut: int = UNCUT) -> tuple[LogLine, ...]:
    """The lines with these ids that still exist, oldest first."""
    chosen = json.dumps(sorted(ids))
    return select(connection, "SELECT l.* FROM json_each(?) j CROSS JOIN logs l ON l.id = j.value", (chosen,), cut)


def log_line(connection: apsw.Connection, number: int) -> LogLine | None:
    """One line, whole."""
    return next(iter(log_lines(connection, [number])), None)


def log_id_at(connection: apsw.Connection, instant: int) -> int | None:
    """The id of the line with the first `time` at or after `instant`, None when there is none."""
    rows = connection.execute("SELECT id FROM logs WHERE time >= ? ORDER BY time, id LIMIT 1", (instant,))
    found = next(rows, None)
    return None if found is None else int(found[0])


_OUTER = """
SELECT l.id, n.name, s.name, l.observed_at, l.stored_at, {line}, coalesce(octet_length(l.line), 0), l.logged_at
FROM ({inner}) l LEFT JOIN sources s ON s.id = l.source LEFT JOIN nodes n ON n.id = s.node
"""


def select(connection: apsw.Connection, inner: str, bindings: Sequence[Any], cut: int) -> tuple[LogLine, ...]:
    """Rows of `logs` that the statement `inner` gives, in its order, with node and source by name."""
    return tuple(stream(connection, inner, bindings, cut))


def stream(connection: apsw.Connection, inner: str, bindings: Sequence[Any], cut: int) -> Iterator[LogLine]:
    """As `select`, one by one, for who stops early."""
    statement = _OUTER.format(line=cut_to("l.line", cut), inner=inner)
    for row in each(connection, statement, bindings):
        try:
            yield msgspec.convert(row, LogLine)
        except msgspec.ValidationError:  # it was cut, or is damaged
            yield _line(row, cut)


def _line(row: tuple[Any, ...], cut: int) -> LogLine:
    *front, line, length, logged_at = row
    is_cut = isinstance(line, bytes) and isinstance(length, int) and length > cut
    return made(LogLine, (*front, as_text(line) if is_cut else line, length, logged_at))
