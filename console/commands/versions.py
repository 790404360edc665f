"""`noroshi definitions log|rollback|remove`: who changed what when, and back again.

Every version stays. A change names the version its author saw: where somebody else was faster nothing is changed and
both changes are shown.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from noroshi.console.commands.asking import ask_coordinator, author, lines_of, number, place
from noroshi.console.output import Printer, iso
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface
from noroshi.store import changes, views
from noroshi.store.changes import Logged
from noroshi.store.errors import NoroshiError


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="left out: all of them")
    parser.add_argument("--json", action="store_true", help="JSON lines, oldest first")
    parser.add_argument("--local", action="store_true", help="times in this machine's zone (default UTC)")


def add_rollback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a definition, also a removed one")
    parser.add_argument("--to", type=number, default=0, metavar="VERSION", help="default: the one before the newest")


def add_remove_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="definitions in force; their versions stay")


def run_log(arguments: argparse.Namespace) -> int:
    """Oldest first; works with the coordinator gone."""
    history = place(arguments.config).reader.query(lambda c: views.definition_versions(c, arguments.name))
    printer, face = Printer(sys.stdout), Clockface(arguments.local)
    for one in changes.log(history):
        if arguments.json:
            printer.json([{**asdict(one), "created_at": iso(one.created_at)}])
        else:
            _print(printer, one, face)
    printer.flush()
    return 0


def _print(printer: Printer, one: Logged, face: Clockface) -> None:
    note = f"  ({one.note})" if one.note else ""
    printer.heading(f"{face.full(one.created_at)}  " + visible(f"{one.name} v{one.version}  {one.author}{note}"))
    printer.lines(f"  {visible(line)}" for line in one.lines)


def run_rollback(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import RollBack

    at = place(arguments.config)
    _, seen = at.reader.query(views.definitions_seen)
    body = RollBack(arguments.name, arguments.to, seen.get(arguments.name, 0), author())
    _print_lines(lines_of(ask_coordinator(at, body, "roll-back")))
    return 0


def run_remove(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import RemoveDefinitions

    at = place(arguments.config)
    current, seen = at.reader.query(views.definitions_seen)
    missing = sorted(set(arguments.names) - {one.name for one in current})
    if missing:
        raise NoroshiError("no definition", on=", ".join(missing), hint="`noroshi definitions export` shows them")
    body = RemoveDefinitions({name: seen[name] for name in arguments.names}, author())
    _print_lines(lines_of(ask_coordinator(at, body, "removal")))
    return 0


def _print_lines(lines: list[str]) -> None:
    print("\n".join(visible(line) for text in lines for line in text.splitlines()) or "no change")
