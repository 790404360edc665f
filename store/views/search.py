"""The filter over the log, in steps: each looks at no more than `span` rows, so it can be stopped and shows progress.

By id (the console's view, following) and, for a window of time, along the index on (time, id).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apsw

from noroshi.store.matching import NamePattern
from noroshi.store.sound import rows
from noroshi.store.views.logs import LogFilter, LogLine, log_bounds, stream
from noroshi.store.views.pages import UNCUT, stretch

SPAN = 20_000
"""Rows looked at in one step: some 10 ms from memory."""

BUDGET = 8 * 1024 * 1024
"""Bytes of lines found after which a step ends early, so that lines of 1 MiB do not pile up."""


@dataclass(frozen=True)
class ScanStep:
    """`lines` found, oldest first; go on from `position`; `scanned` ids were passed; `done`: the end was reached."""

    lines: tuple[LogLine, ...]
    position: int
    scanned: int
    done: bool


def scan(
    connection: apsw.Connection,
    which: LogFilter,
    position: int | None,
    *,
    backward: bool,
    limit: int,
    span: int = SPAN,
    cut: int = UNCUT,
) -> ScanStep:
    """One step from `position` (itself excluded; None: from that end), at most `limit` lines found."""
    ahead = stretch(log_bounds(connection), position, span, backward=backward)
    condition, bindings = _condition(connection, which)
    inner = (
        "SELECT * FROM logs l WHERE id BETWEEN ? AND ?"  # noqa: S608 - fixed text, values are bound
        f" AND {condition} ORDER BY id {'DESC' if backward else ''} LIMIT ?"
    )
    lines = _taken(stream(connection, inner, (ahead.low, ahead.high, *bindings, limit), cut), cut)
    reached = lines[-1].id if _ended_early(lines, limit, cut) else ahead.far_end
    return ScanStep(lines[::-1] if backward else lines, reached, abs(reached - ahead.start), ahead.is_last(reached))


@dataclass(frozen=True)
class Window:
    """A window of `LogLine.time`, both ends inclusive, microseconds UTC; None for no bound."""

    since: int | None = None
    until: int | None = None

    def holds(self, instant: int) -> bool:
        return (self.since is None or self.since <= instant) and (self.until is None or instant <= self.until)


@dataclass(frozen=True)
class WindowStep:
    """As ScanStep, newest first along (time, id); `position` is such a pair, None when `done`."""

    lines: tuple[LogLine, ...]
    position: tuple[int, int] | None


_BEFORE = "time >= ? AND (time, id) < (?, ?) ORDER BY time DESC, id DESC"


def scan_window(
    connection: apsw.Connection,
    which: LogFilter,
    window: Window,
    position: tuple[int, int] | None,
    *,
    limit: int,
    span: int = SPAN,
) -> WindowStep:
    """One step backward in time through `window` from `position` (None: from its newest end)."""
    newest = (2**62 if window.until is None else window.until + 1, 0)
    start = (window.since or 0, *(position or newest))
    condition, bindings = _condition(connection, which)
    inner = (
        f"SELECT * FROM (SELECT * FROM logs WHERE {_BEFORE} LIMIT ?) l"  # noqa: S608 - fixed text, values are bound
        f" WHERE {condition} LIMIT ?"
    )
    lines = _taken(stream(connection, inner, (*start, span, *bindings, limit), UNCUT), UNCUT)
    if _ended_early(lines, limit, UNCUT):
        return WindowStep(lines, (lines[-1].time, lines[-1].id))
    edge = f"SELECT time, id FROM logs WHERE {_BEFORE} LIMIT 1 OFFSET ?"  # noqa: S608 - as above
    return WindowStep(lines, next(connection.execute(edge, (*start, span - 1)), None))


def _taken(found: Iterable[LogLine], cut: int) -> tuple[LogLine, ...]:
    taken: list[LogLine] = []
    size = 0
    for line in found:
        taken.append(line)
        size += min(line.length, cut)
        if size >= BUDGET:
            break
    return tuple(taken)


def _ended_early(lines: tuple[LogLine, ...], limit: int, cut: int) -> bool:
    return len(lines) == limit or sum(min(line.length, cut) for line in lines) >= BUDGET


def _condition(connection: apsw.Connection, which: LogFilter) -> tuple[str, list[Any]]:
    conditions, bindings = ["true"], []
    if which.node != "**" or which.source != "**":
        conditions.append("l.source IN (SELECT value FROM json_each(?))")
        bindings.append(json.dumps(_sources(connection, which)))
    if which.text:
        # instr and lower go by length, LIKE would end at a NUL; both fold ASCII letters alone
        line = "lower(l.line)" if which.ignore_case else "l.line"
        any_of = " OR ".join([f"instr({line}, ?)"] * len(which.text))
        conditions.append(f"{'NOT ' if which.inverted else ''}({any_of})")
        bindings.extend(fold(text) if which.ignore_case else text for text in which.text)
    return " AND ".join(conditions), bindings


def _sources(connection: apsw.Connection, which: LogFilter) -> list[int]:
    node, source = NamePattern(which.node), NamePattern(which.source)
    found = rows(connection, "SELECT s.id, n.name, s.name FROM sources s JOIN nodes n ON n.id = s.node")
    return [number for number, on, name in found if node.matches(str(on)) and source.matches(str(name))]


def fold(text: str) -> str:
    """As SQLite's lower(): ASCII letters alone."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
