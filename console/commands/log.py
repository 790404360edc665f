"""`noroshi log`: the shared log, oldest first; with --follow, also what comes, whoever leads and whatever happens.

A line's time, which --since and --until go by and which is shown, is the one it gives itself, or else when it was
seen. The order is that of arrival, in which each file's lines are as in the file; --by-time puts them by their time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Hashable, Iterable

from noroshi.console.output import (
    Cell,
    Printer,
    add_output_arguments,
    add_selection_arguments,
    last_cell,
    log_json,
    plain,
    when,
)
from noroshi.console.queries import Queries, line_matcher, open_queries
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface
from noroshi.store.errors import NoroshiError
from noroshi.store.views import UNCUT, LogFilter, LogLine, Window

POLL = 0.25
"""Seconds between two looks while following; one look at an unchanged database costs some microseconds."""

PROGRESS = 0.5
"""Seconds after which a search says how far it has come, and between two such words."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--follow, --by-time, --node, --source, --grep, --since, --until, --limit, --json, --local."""
    add_output_arguments(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what comes, until interrupted")
    parser.add_argument("--by-time", action="store_true", help="in the order of the lines' times, not of arrival")
    parser.add_argument("--node", default="**", metavar="PATTERN", help="lines from these nodes")
    parser.add_argument("--source", default="**", metavar="PATTERN", help="lines from these files (/var/log/**)")
    parser.add_argument("--grep", metavar="REGEX", help="lines in which this regular expression is found")
    add_selection_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print it; with --follow only an interrupt ends it. 2 for a pattern or a time that cannot be read."""
    face = Clockface(arguments.local)
    window = Window(when(arguments.since, "--since", face), when(arguments.until, "--until", face))
    try:
        keeps = line_matcher(arguments.grep)
    except ValueError as error:
        print(f"noroshi: --grep: {error}", file=sys.stderr)
        return 2
    queries, printer = open_queries(arguments.config), Printer(sys.stdout)
    which = LogFilter(arguments.node, arguments.source)

    def show(lines: Iterable[LogLine]) -> None:
        if arguments.json:
            printer.json(map(log_json, lines))
        else:
            printer.rows(_row(line, face) for line in lines)
        printer.flush()

    if arguments.follow and arguments.by_time:
        print("noroshi: --by-time: what is still to come has no order by time; leave --follow out", file=sys.stderr)
        return 2
    if arguments.follow:
        Follower(queries, which, lambda line: window.holds(line.time) and keeps(line), show).run(
            window, arguments.limit
        )
    else:
        with Progress() as progress:
            found = queries.newest_log(
                which, window, arguments.limit, keeps, progress.reached, by_time=arguments.by_time
            )
        show(found)
    return 0


def _row(line: LogLine, face: Clockface) -> list[Cell]:
    return [Cell(face.precise(line.time)), plain(line.node), plain(line.source), last_cell(line.line, line.damaged)]


class Progress:
    """On a terminal, on standard error, how far back a search that takes long has come; wiped at its end."""

    def __init__(self) -> None:
        self._due = time.monotonic() + PROGRESS
        self._shown = False

    def reached(self, number: int) -> None:
        """The search has come back to the line with this id."""
        if time.monotonic() >= self._due and sys.stderr.isatty():
            self._due, self._shown = time.monotonic() + PROGRESS, True
            text = f"\rnoroshi log: searched back to line {number:,}; Ctrl-C ends it\x1b[K"
            print(text, end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Follower:
    """Shows what is there, then what comes; a disk that does not answer is said once on stderr, and tried again."""

    def __init__(
        self,
        queries: Queries,
        which: LogFilter,
        keeps: Callable[[LogLine], bool],
        show: Callable[[Iterable[LogLine]], None],
    ) -> None:
        self._queries, self._which, self._keeps, self._show = queries, which, keeps, show
        self._position: int | None = None
        self._seen: Hashable = None
        self._trouble = ""

    def run(self, window: Window, limit: int) -> None:
        """For ever."""
        while True:
            try:
                self._step(window, limit)
                self._say("")
            except (NoroshiError, OSError) as error:
                self._say(str(error))
            time.sleep(POLL)

    def _step(self, window: Window, limit: int) -> None:
        mark = self._queries.fingerprint()
        if self._position is None:
            self._begin(window, limit)
        elif mark != self._seen:
            self._go_on(self._position)
        self._seen = mark

    def _begin(self, window: Window, limit: int) -> None:
        last = self._queries.log_bounds().last
        found = self._queries.newest_log(self._which, window, limit, self._keeps)
        self._show(line for line in found if line.id <= last)
        self._position = last

    def _go_on(self, position: int) -> None:
        last = self._queries.log_bounds().last
        if last < position:  # another database was put in place: its lines are not those that were shown
            self._tell(f"the log ends at {last} and was at {position}: following the new one from there")
            self._position = last
            return
        for step in self._queries.scan_log(self._which, position, backward=False, cut=UNCUT):
            self._show(filter(self._keeps, step.lines))
            self._position = step.position

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._tell(f"cannot read: {trouble}; trying again" if trouble else "reading again")
        self._trouble = trouble

    def _tell(self, what: str) -> None:
        print(f"noroshi log: {visible(what)}", file=sys.stderr, flush=True)
