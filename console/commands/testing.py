"""`noroshi definitions test NAME`: a real delivery to each destination, marked as a test, and how each went.

The application gets `"test": true`, the state TEST and an event `test/NAME`; no state changes, nothing else is told,
and a test that fails raises no notification failure. It is in the history as a test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from noroshi.console.commands.asking import Place, ask_coordinator, author, place
from noroshi.console.output import (
    Cell,
    Printer,
    application_text,
    notification_json,
    plain,
    print_attempts,
    reason_of,
)
from noroshi.store import views
from noroshi.store.errors import NoroshiError

POLL = 0.1
"""Seconds between looks at the history."""
PATIENCE = 15.0
"""Seconds over the longest time limit: a take-over in between begins it again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a definition")
    parser.add_argument("--json", action="store_true", help="JSON lines, one a group")


def run(arguments: argparse.Namespace) -> int:
    """0: every destination delivered; 1: one did not."""
    from noroshi.node.wire.operating import Begun, RunTest

    at = place(arguments.config)
    reply = ask_coordinator(at, RunTest(arguments.name, author()), "test")
    begun = frozenset(reply.notifications) if isinstance(reply, Begun) else frozenset()
    *_, rows = watch(at, begun, arguments.name)
    printer = Printer(sys.stdout)
    if arguments.json:
        printer.json(map(notification_json, rows))
    else:
        _print(printer, rows)
    printer.flush()
    return 0 if all(row.status == "delivered" for row in rows) else 1


def watch(at: Place, begun: frozenset[int], name: str) -> Iterator[tuple[views.Notification, ...]]:
    """The notifications of a test of `name` as they go on, until every attempt has ended. Raises NoroshiError."""
    deadline = time.monotonic() + _longest(at, name) + PATIENCE
    while True:
        yield (rows := at.reader.query(lambda c: views.notifications_numbered(c, begun)))
        if is_over(rows, begun):
            return
        if time.monotonic() > deadline:
            hint = f"`noroshi history --definition {name}` shows how it goes on"
            raise NoroshiError("the test did not end in time", on=name, hint=hint)
        time.sleep(POLL)


def is_over(rows: tuple[views.Notification, ...], begun: frozenset[int]) -> bool:
    """Whether every attempt of what was begun has ended."""
    under_way = [row for row in rows if row.status == "pending" or any(one.outcome is None for one in row.attempts)]
    return len(rows) == len(begun) and not under_way


def _longest(at: Place, name: str) -> float:
    definitions = at.reader.query(lambda c: views.definitions_named(c, name))
    limits = [one.timeout for one in definitions] + [d.timeout or 0.0 for one in definitions for d in one.notify]
    return max(limits, default=10.0)


def _print(printer: Printer, rows: tuple[views.Notification, ...]) -> None:
    print_attempts(printer, [(attempt, _cells(attempt)) for row in rows for attempt in row.attempts])


def _cells(attempt: views.Attempt) -> list[Cell]:
    return [
        plain(f"priority {attempt.priority}"),
        plain(attempt.node),
        plain(attempt.procedure),
        plain(attempt.outcome or "under way"),
        plain(application_text(attempt)),
        plain(reason_of(attempt)),
    ]
