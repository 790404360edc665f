"""`noroshi events`: the history of events, oldest first."""

from __future__ import annotations

import argparse
import sys

from noroshi.console.failure import supplement_words
from noroshi.console.output import (
    Cell,
    Printer,
    add_output_arguments,
    add_selection_arguments,
    event_json,
    last_cell,
    plain,
    state_cell,
    when,
)
from noroshi.console.queries import open_queries
from noroshi.console.times import Clockface
from noroshi.store.views import Event, EventFilter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--event, --since, --until, --limit, --json, --local."""
    add_output_arguments(parser)
    parser.add_argument(
        "--event", default="**", metavar="PATTERN", help="names: * within a segment, ** across (raid/**)"
    )
    add_selection_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    face, printer = Clockface(arguments.local), Printer(sys.stdout)
    since, until = when(arguments.since, "--since", face), when(arguments.until, "--until", face)
    rows = open_queries(arguments.config).events(EventFilter(arguments.event, since, until), arguments.limit)
    if arguments.json:
        printer.json(map(event_json, rows))
    else:
        printer.rows(_row(row, face) for row in rows)
    printer.flush()
    return 0


def _row(row: Event, face: Clockface) -> list[Cell]:
    return [
        Cell(face.precise(row.observed_at)),
        state_cell(row.state),
        plain(row.event),
        plain(f"from {row.node}" + (f" by {row.author}" if row.author else "")),
        Cell(f"{row.count}x"),
        last_cell(supplement_words(row.event, row.supplement), row.damaged),
    ]
