"""What the reading commands print: JSON to the letter of design section 6, or aligned columns for people.

Rules: everything printed passes through the sanitiser (JSON through its escapes, so the value is unchanged); colour
only on a terminal and without NO_COLOR; a character the terminal's encoding lacks is escaped, never an error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.cells import cell_len

from noroshi.console.sanitise import escaped_json, visible
from noroshi.console.severity import Severity, state_mark
from noroshi.console.signs import PLAIN, is_unicode
from noroshi.console.times import Clockface, in_range, parse_when
from noroshi.store.clock import now_us, to_iso
from noroshi.store.views import Attempt, Event, LogLine, NodeState, Notification, State

DEFAULT_LIMIT = 1000
MOST = 10**9
"""Rows that can be asked for at once."""

WIDEST = 60
"""Cells of a column at most: one name of 200 characters moves no other row."""

_COLOURS = {Severity.CRITICAL: "1;7;35", Severity.DEGRADED: "1;33", Severity.OTHER: "1"}
_HEADING = "1"
_PAST = "2"


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `sgr` is the terminal's own code for its style, empty for none."""

    text: str
    sgr: str = ""


def plain(text: object) -> Cell:
    """A cell of text from anywhere."""
    return Cell(visible(str(text)))


def state_cell(state: str, unwatched: str = "") -> Cell:
    """Shape and word, coloured by severity; `unwatched` as `ago` of `state_mark`."""
    mark = state_mark(state, visible(state), unwatched)
    return Cell(mark.text, _PAST if mark.past else _COLOURS.get(mark.severity, ""))


class Printer:
    """Writes lines to one stream; `widths` of the columns only grow, so that a followed log stays aligned."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._widths: list[int] = []
        self.coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._ascii = not is_unicode(stream.encoding or "utf-8")  # none: in memory
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def json(self, values: Iterable[dict[str, Any]]) -> None:
        """One object a line; what a damaged row holds in place of a text is given as one."""
        self.encoded(json.dumps(value, ensure_ascii=self._ascii, default=str) for value in values)

    def encoded(self, objects: Iterable[str]) -> None:
        """Likewise, of objects that are JSON already: what the encoding lacks is escaped as JSON has it."""
        self.lines(escaped_json(text, ascii_only=self._ascii) for text in objects)

    def heading(self, text: str) -> None:
        """A title line; begins a new table."""
        self._widths = []
        self.lines([self._styled(text, _HEADING)])

    def rows(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Aligned by cell width, the last column as long as it is."""
        kept = list(rows)
        self.fit(kept)
        self.lines(self._row(row) for row in kept)

    def fit(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Make the columns wide enough for rows that follow one by one; what is longer than WIDEST stands out alone."""
        for row in rows:
            self._widths += [0] * (len(row) - len(self._widths))
            for at, cell in enumerate(row):
                width = cell_len(cell.text)
                self._widths[at] = max(self._widths[at], width if width <= WIDEST else 0)

    def lines(self, lines: Iterable[str]) -> None:
        """Lines as they are; the caller has made them safe."""
        text = "".join(f"{line}\n" for line in lines)
        if text:
            self._stream.write(text.translate(PLAIN) if self._ascii else text)

    def flush(self) -> None:
        self._stream.flush()

    def _row(self, row: Sequence[Cell]) -> str:
        *front, last = row
        padded = (
            self._styled(cell.text, cell.sgr) + " " * (max(0, width - cell_len(cell.text)) + 2)
            for cell, width in zip(front, self._widths, strict=False)
        )
        return ("".join(padded) + self._styled(last.text, last.sgr)).rstrip()

    def _styled(self, text: str, sgr: str) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if sgr and self.coloured else text


def last_cell(text: str, damaged: str) -> Cell:
    """The end of a row; where a bad disk has left it, also what stands where it cannot."""
    return plain("  ".join(filter(None, (text, damage_words(damaged)))))


def damage_words(damaged: str) -> str:
    """Not yet safe; empty for a sound row."""
    return f"DAMAGED ROW: {damaged}" if damaged else ""


# --- JSON (design section 6) --------------------------------------------------------------------------------------


def iso(instant: int | None) -> str | None:
    """An instant as every JSON field shows it."""
    return None if instant is None else to_iso(in_range(instant))


def damage_json(damaged: str) -> dict[str, Any]:
    """The field `damaged`, which a sound row lacks."""
    return {"damaged": damaged} if damaged else {}


def node_json(row: NodeState) -> dict[str, Any]:
    """A node as it was last declared."""
    return {"node": row.node, "state": row.state, "since": iso(row.since), **damage_json(row.damaged)}


def state_json(row: State) -> dict[str, Any]:
    """A row of the state table; `acknowledged` only where somebody has."""
    acknowledged = {"by": row.owner, "comment": row.comment, "until": iso(row.acknowledged_until)}
    return {
        "category": row.category,
        "event": row.event,
        "state": row.state,
        "supplement": row.supplement,
        "node": row.node,
        "count": row.count,
        "observed_at": iso(row.observed_at),
        **({"acknowledged": acknowledged} if row.owner else {}),
        **damage_json(row.damaged),
    }


def event_json(row: Event) -> dict[str, Any]:
    """An event of the history; `author` only where an operator declared it."""
    return {
        "event": row.event,
        "state": row.state,
        "supplement": row.supplement,
        "category": row.category,
        "node": row.node,
        "count": row.count,
        "observed_at": iso(row.observed_at),
        "stored_at": iso(row.stored_at),
        **({"author": row.author} if row.author else {}),
        **damage_json(row.damaged),
    }


def log_json(row: LogLine) -> dict[str, Any]:
    """A line of the shared log; `logged_at` is the time it gives itself, null where it gives none."""
    return {
        "node": row.node,
        "source": row.source,
        "line": row.line,
        "observed_at": iso(row.observed_at),
        "stored_at": iso(row.stored_at),
        "logged_at": iso(row.logged_at),
        **damage_json(row.damaged),
    }


def notification_json(row: Notification) -> dict[str, Any]:
    """A notification with its attempts; of an event or of a line, the fields of the other kind are left out."""
    about: dict[str, Any] = {"source": row.source, "line": row.line}
    if row.event is not None:
        about = {"event": row.event, "state": row.state, "supplement": row.supplement, "category": row.category}
    return {
        "id": row.id,
        "definition": row.definition,
        "notice": row.notice,
        "status": row.status,
        "reason": row.reason,
        **about,
        "node": row.node,
        "observed_at": iso(row.observed_at),
        "stored_at": iso(row.stored_at),
        "attempts": [_attempt_json(attempt) for attempt in row.attempts],
        **damage_json(row.damaged),
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "priority": attempt.priority,
        "node": attempt.node,
        "procedure": attempt.procedure,
        "application": application_of(attempt),
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "outcome": attempt.outcome,
        "reason": reason_of(attempt),
        "output": attempt.output,
        **damage_json(attempt.damaged),
    }


def reason_of(attempt: Attempt) -> str:
    """Why it ended so, and what the node still answered afterwards."""
    return "; ".join(filter(None, (attempt.reason, attempt.late and f"later: {attempt.late}")))


def print_attempts(printer: Printer, attempts: Sequence[tuple[Attempt, Sequence[Cell]]]) -> None:
    """Each attempt as its row, and below it what the application printed or answered."""
    printer.fit(row for _, row in attempts)
    for attempt, row in attempts:
        printer.rows([row])
        if attempt.damaged:
            printer.lines([visible(f"       {damage_words(attempt.damaged)}")])
        printer.lines(f"       {visible(line)}" for line in attempt.output.splitlines())


def application_of(attempt: Attempt) -> Any:
    """The application as a value; text that is no JSON as it stands."""
    try:
        return json.loads(attempt.application)
    except ValueError:
        return attempt.application


def application_text(attempt: Attempt) -> str:
    """The application in words: a command line as it would be typed, an address, a queue's key."""
    return application_words(application_of(attempt))


def application_words(value: Any) -> str:
    """Likewise, of the value itself; of a shape nobody knows, as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case list():
            return shlex.join(map(str, value))
        case {"key": int(key), **rest}:
            return f"queue 0x{key:08x}" + (f" type {rest['type']}" if "type" in rest else "")
        case _:
            return json.dumps(value)


# --- arguments shared by the reading commands ----------------------------------------------------------------------


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """--json and --local."""
    parser.add_argument("--json", action="store_true", help="for programs: JSON, times in ISO 8601 UTC")
    parser.add_argument("--local", action="store_true", help="times in this machine's zone (default UTC)")


def add_selection_arguments(parser: argparse.ArgumentParser) -> None:
    """--since, --until, --limit."""
    # argparse takes -2h for an option unless it looks like a negative number; there is no public way to say so
    parser._negative_number_matcher = re.compile(r"^-\d")
    for name, meaning in (("--since", "from then on"), ("--until", "up to then")):
        parser.add_argument(name, metavar="TIME", help=f"{meaning}: 2026-11-22T14:05, 14:05 or -2h")
    parser.add_argument(
        "--limit", type=_count, default=DEFAULT_LIMIT, metavar="N", help=f"the newest N (default {DEFAULT_LIMIT})"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST:,}")
    return int(text)


def when(text: str | None, option: str, face: Clockface) -> int | None:
    """The instant an option names; a time nobody can read ends the command with status 2."""
    if text is None:
        return None
    try:
        return parse_when(text, now_us(), face)
    except ValueError as error:
        print(f"noroshi: {option}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
