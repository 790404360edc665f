"""`noroshi ack EVENT|NOTIFICATION`: you look after it; repeats and escalations stop (spec 7).

It holds for the state the event is in, until its time is over or it is withdrawn; the next state is told all the same.
When its time is over, repeats and escalations begin anew. `--list` shows who has taken on what, and how that ended.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from noroshi.console.commands.asking import ask_coordinator, author, duration, lines_of, place
from noroshi.console.output import Cell, Printer, damage_json, iso, last_cell, plain
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface
from noroshi.store import views
from noroshi.store.views import Acknowledged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", metavar="EVENT|NOTIFICATION", nargs="?", help="an event's name, or a number of `noroshi history`"
    )
    parser.add_argument("--for", dest="duration", type=duration, metavar="TIME", help="30m, 2h, 1d; default: no end")
    parser.add_argument("--comment", default="", help="for the others")
    parser.add_argument("--withdraw", action="store_true", help="give it back: repeats and escalations begin again")
    parser.add_argument("--list", action="store_true", help="show what stands; with --all also what has ended, and why")
    parser.add_argument("--all", action="store_true", help="with --list")
    parser.add_argument("--json", action="store_true", help="with --list: JSON lines")


def run(arguments: argparse.Namespace) -> int:
    """Ask the coordinator; a list is read from the database. 2: nothing was named."""
    from noroshi.node.wire.operating import Acknowledge

    if arguments.list:
        return _list(arguments)
    if not arguments.what:
        print("noroshi ack: name an EVENT or a NOTIFICATION, or --list", file=sys.stderr)
        return 2
    number = int(arguments.what) if arguments.what.isdecimal() and len(arguments.what) < 19 else 0
    event = "" if number else arguments.what
    body = Acknowledge(event, number, author(), arguments.comment, arguments.duration, arguments.withdraw)
    print(*map(visible, lines_of(ask_coordinator(place(arguments.config), body, "acknowledgement"))), sep="\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    """Works with the coordinator gone."""
    found = place(arguments.config).reader.query(lambda c: views.acknowledgements(c, ended=arguments.all))
    printer = Printer(sys.stdout)
    if arguments.json:
        printer.json(map(_json, found))
    else:
        printer.rows(_rows(found, Clockface(local=False)))
    printer.flush()
    return 0


def _rows(found: Iterable[Acknowledged], face: Clockface) -> Iterable[list[Cell]]:
    for one in found:
        by = one.acknowledgement
        until = "while that lasts" if by.until is None else f"until {face.full(by.until)}"
        ended = "" if by.ended_at is None else f"ended {face.full(by.ended_at)}: {by.reason}"
        began = face.full(by.created_at)
        front = [plain(text) for text in (began, one.event, one.state, by.author, until, ended)]
        yield [*front, last_cell(by.comment, one.damaged)]


def _json(one: Acknowledged) -> dict[str, object]:
    by = one.acknowledgement
    return {
        "event": one.event,
        "state": one.state,
        "by": by.author,
        "comment": by.comment,
        "since": iso(by.created_at),
        "until": iso(by.until),
        "ended_at": iso(by.ended_at),
        "reason": by.reason,
        **damage_json(one.damaged),
    }
