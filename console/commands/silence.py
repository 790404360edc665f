"""`noroshi silence add|list|remove`: what is not to be notified for a while, and what that covers now."""

from __future__ import annotations

import argparse
import sys

from noroshi.console.commands.asking import Place, action, ask_coordinator, author, duration, lines_of, number, place
from noroshi.console.holding import USELESS
from noroshi.console.output import Cell, Printer, damage_json, iso, last_cell, plain
from noroshi.console.sanitise import visible
from noroshi.store import views
from noroshi.store.clock import now_us, to_iso
from noroshi.store.silences import Silence

WAIT = "begin only then: 30m, 2h (default: now)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    adding = action(actions, "add", "keep what a pattern covers from being notified")
    adding.add_argument(
        "pattern", metavar="PATTERN", type=_pattern, help="over event names and log sources: raid/**, /var/log/*"
    )
    adding.add_argument("--for", dest="duration", type=duration, required=True, metavar="TIME", help="30m, 2h, 1d")
    adding.add_argument("--in", dest="wait", type=duration, default=0.0, metavar="TIME", help=WAIT)
    adding.add_argument("--comment", default="", help="why, for the others")
    adding.add_argument("--dry-run", action="store_true", help="only show what it would cover")
    listing = action(actions, "list", "show the silences that stand, with what they cover")
    listing.add_argument("--all", action="store_true", help="also those that have ended, and who ended them")
    listing.add_argument("--json", action="store_true", help="JSON lines")
    removing = action(actions, "remove", "end a silence; what is still bad is notified then")
    removing.add_argument("number", type=number, metavar="NUMBER", help="as `list` shows it")


def run(arguments: argparse.Namespace) -> int:
    return {"add": _add, "list": _list, "remove": _remove}[arguments.action](arguments)


def _add(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import AddSilence

    at = place(arguments.config)
    show_coverage(at, arguments.pattern, "")
    if not arguments.dry_run:
        body = AddSilence(arguments.pattern, "", author(), arguments.comment, arguments.duration, arguments.wait)
        print(*map(visible, lines_of(ask_coordinator(at, body, "silence"))), sep="\n")
    return 0


def show_coverage(at: Place, pattern: str, node: str) -> None:
    """The preview: every present state, and every known log source, that a silence of `pattern`, or of `node`, covers.

    A pattern that covers neither is said to be so, for it is most likely mistyped.
    """
    silence = Silence(0, pattern, node, "", "", 0, 0)
    rows, sources = at.reader.query(lambda c: (views.covered(c, silence), views.covered_sources(c, silence)))
    also = f", and the lines of {counted(len(sources), 'source')}" if sources else ""
    print(f"covers {len(rows)} of the present states{also}" + (":" if rows or sources else ""))
    printer = Printer(sys.stdout)
    printer.rows([plain(f"  {row.event}"), plain(row.state), plain(f"from {row.node}")] for row in rows)
    printer.lines(visible(f"  {source}") for source in sources)
    printer.flush()


def counted(number: int, noun: str) -> str:
    """1 state, 2 states."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _pattern(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a pattern of event names is wanted, like raid/** (** alone covers all)")
    return text


def _list(arguments: argparse.Namespace) -> int:
    """Works with the coordinator gone."""
    reader, printer = place(arguments.config).reader, Printer(sys.stdout)
    past = reader.query(views.past_silences) if arguments.all else ()
    found = reader.query(lambda c: [(one, views.covered(c, one)) for one in views.silences(c, now_us())])
    damaged = reader.query(views.damaged_silences)
    if arguments.json:
        printer.json(_past_json(one) for one in past)
        printer.json(_json(one, [row.event for row in rows]) for one, rows in found)
        printer.json(_json(one, []) for one in damaged)
    else:
        ended = [_row(one.silence, f"ended {to_iso(one.ended_at)} {_ended_by(one)}", one.damaged) for one in past]
        standing = [_row(one, _covers(one, len(rows))) for one, rows in found]
        printer.rows([*ended, *standing, *(_row(one, USELESS, one.damaged) for one in damaged)])
    printer.flush()
    return 0


def _ended_by(one: views.PastSilence) -> str:
    return f"by {one.by}" if one.by else "by its time"


def _covers(one: Silence, states: int) -> str:
    planned = one.begun_at > now_us()
    return (f"begins {to_iso(one.begun_at)}, " if planned else "") + f"covers {counted(states, 'state')}"


def _row(one: Silence, how: str, damaged: str = "") -> list[Cell]:
    return [
        plain(one.id),
        plain(one.pattern or f"maintenance of {one.node}"),
        plain(f"until {to_iso(one.until)}"),
        plain(one.author),
        plain(how),
        last_cell(one.comment, damaged),
    ]


def _json(one: Silence, covers: list[str]) -> dict[str, object]:
    return {
        "id": one.id,
        "pattern": one.pattern or None,
        "node": one.node or None,
        "author": one.author,
        "comment": one.comment,
        "since": iso(one.begun_at),
        "until": iso(one.until),
        "covers": covers,
        **damage_json(one.damaged),
    }


def _past_json(one: views.PastSilence) -> dict[str, object]:
    ended = {"ended_at": iso(one.ended_at), "ended_by": one.by or None}
    return {**_json(one.silence, []), **ended, **damage_json(one.damaged)}


def _remove(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import EndSilence

    body = EndSilence(author(), number=arguments.number)
    print(*map(visible, lines_of(ask_coordinator(place(arguments.config), body, "removal"))), sep="\n")
    return 0
