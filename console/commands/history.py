"""`noroshi history`: notifications, oldest first, each with its attempts, why they went so, and what was answered."""

from __future__ import annotations

import argparse
import sys

from noroshi.console.output import (
    Cell,
    Printer,
    add_output_arguments,
    add_selection_arguments,
    application_text,
    damage_words,
    notification_json,
    plain,
    print_attempts,
    reason_of,
    when,
)
from noroshi.console.queries import open_queries
from noroshi.console.sanitise import visible
from noroshi.console.times import SECOND, Clockface
from noroshi.store.views import Attempt, HistoryFilter, Notification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--definition, --status, --since, --until, --limit, --json, --local."""
    add_output_arguments(parser)
    parser.add_argument("--definition", metavar="NAME", help="only of this definition")
    statuses = ("pending", "delivered", "failed", "abandoned", "held")
    parser.add_argument("--status", choices=statuses, help="only those that ended so, or have not ended")
    add_selection_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    face, printer = Clockface(arguments.local), Printer(sys.stdout)
    since, until = when(arguments.since, "--since", face), when(arguments.until, "--until", face)
    which = HistoryFilter(arguments.definition, arguments.status, since, until)
    rows = open_queries(arguments.config).history(which, arguments.limit)
    if arguments.json:
        printer.json(map(notification_json, rows))
    else:
        _print(printer, rows, face)
    printer.flush()
    return 0


def _print(printer: Printer, rows: tuple[Notification, ...], face: Clockface) -> None:
    for row in rows:
        status = row.status + (f" ({row.reason})" if row.reason else "")
        name = f"{row.definition} v{row.version}" if row.definition else "(not defined)"
        why = "" if row.notice == "change" else f" {row.notice}"
        what = visible(f"{row.id} {name}{why}  {status}")
        printer.heading(f"{face.precise(row.created_at)}  {what}  {about(row)}")
        if row.damaged:
            printer.lines([visible(f"  {damage_words(row.damaged)}")])
        print_attempts(printer, [(attempt, _attempt(attempt)) for attempt in row.attempts])


def about(row: Notification) -> str:
    """What a notification told of, in one safe line."""
    if row.event is not None:
        told = f"{row.event} {row.state}" + (f": {row.supplement}" if row.supplement else "")
    elif row.source is not None:
        told = f"{row.source}: {row.line}"
    else:
        return "(what it told of is no longer kept)"
    return visible(f"{told} [{row.node}]")


def _attempt(row: Attempt) -> list[Cell]:
    took = "" if row.ended_at is None else f"{max(0, row.ended_at - row.started_at) / SECOND:.2f} s"
    return [
        Cell(f"  {row.priority}"),
        plain(row.node),
        plain(row.procedure),
        plain(row.outcome or "under way"),
        Cell(took),
        plain(application_text(row)),
        plain(reason_of(row)),
    ]
