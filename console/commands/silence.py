"""`noroshi silence add|list|remove`: what is not to be notified for a while, and what that covers now."""

from __future__ import annotations

import argparse
import sys

from noroshi.console.commands.asking import Place, ask_coordinator, author, duration, lines_of, place
from noroshi.console.output import Printer, iso, plain
from noroshi.console.sanitise import visible
from noroshi.store import views
from noroshi.store.clock import now_us, to_iso
from noroshi.store.silences import Silence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    adding = actions.add_parser("add", help="keep what a pattern covers from being notified", allow_abbrev=False)
    adding.add_argument("pattern", metavar="PATTERN", help="over event names and log sources: raid/**, /var/log/*")
    adding.add_argument("--for", dest="duration", type=duration, required=True, metavar="TIME", help="30m, 2h, 1d")
    adding.add_argument("--comment", default="", help="why, for the others")
    adding.add_argument("--dry-run", action="store_true", help="only show what it would cover")
    listing = actions.add_parser("list", help="the silences that stand, with what they cover", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="JSON lines")
    removing = actions.add_parser(
        "remove", help="end a silence; what is still bad is notified then", allow_abbrev=False
    )
    removing.add_argument("number", type=int, metavar="NUMBER", help="as `list` shows it")
    for action in (adding, listing, removing):
        action.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the node file")


def run(arguments: argparse.Namespace) -> int:
    return {"add": _add, "list": _list, "remove": _remove}[arguments.action](arguments)


def _add(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import AddSilence

    at = place(arguments.config)
    show_coverage(at, arguments.pattern, "")
    if not arguments.dry_run:
        body = AddSilence(arguments.pattern, "", author(), arguments.comment, arguments.duration)
        print(*map(visible, lines_of(ask_coordinator(at, body, "silence"))), sep="\n")
    return 0


def show_coverage(at: Place, pattern: str, node: str) -> None:
    """The preview: every present state that a silence of `pattern`, or of `node`, covers."""
    silence = Silence(0, pattern, node, "", "", 0, 0)
    rows = at.reader.query(lambda c: views.covered(c, silence))
    print(f"covers {len(rows)} of the present states" + (":" if rows else ""))
    printer = Printer(sys.stdout)
    printer.rows([plain(f"  {row.event}"), plain(row.state), plain(f"from {row.node}")] for row in rows)
    printer.flush()


def _list(arguments: argparse.Namespace) -> int:
    reader, printer = place(arguments.config).reader, Printer(sys.stdout)
    found = reader.query(lambda c: [(one, views.covered(c, one)) for one in views.silences(c, now_us())])
    if arguments.json:
        printer.json(_json(one, rows) for one, rows in found)
    else:
        printer.rows(
            [
                plain(one.id),
                plain(one.pattern or f"maintenance of {one.node}"),
                plain(f"until {to_iso(one.until)}"),
                plain(one.author),
                plain(f"covers {len(rows)} states"),
                plain(one.comment),
            ]
            for one, rows in found
        )
    printer.flush()
    return 0


def _json(one: Silence, rows: tuple[views.Covered, ...]) -> dict[str, object]:
    return {
        "id": one.id,
        "pattern": one.pattern or None,
        "node": one.node or None,
        "author": one.author,
        "comment": one.comment,
        "since": iso(one.begun_at),
        "until": iso(one.until),
        "covers": [row.event for row in rows],
    }


def _remove(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import EndSilence

    body = EndSilence(author(), number=arguments.number)
    print(*map(visible, lines_of(ask_coordinator(place(arguments.config), body, "removal"))), sep="\n")
    return 0
