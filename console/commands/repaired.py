"""`noroshi repaired EVENT [STATE]`: an operator declares that something is in order again (spec 2.1).

Kept with who said so. The author stands beside the event, not in its supplement: two reports that differ only in who
made them are the same to duplicate control. What still sees the fault reports it again by its own rules.
"""

from __future__ import annotations

import argparse

from noroshi.console.commands.asking import ask_coordinator, author, lines_of, place
from noroshi.console.sanitise import visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", metavar="EVENT", help="a name of `noroshi status`")
    parser.add_argument("state", metavar="STATE", nargs="?", help="default: OK, and UP for servers and paths")
    parser.add_argument("--comment", default="", help="what was done; it becomes the supplement")


def run(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import Repaired

    state = arguments.state or ("UP" if arguments.event.startswith(("server/", "path/")) else "OK")
    body = Repaired(arguments.event, state, arguments.comment, author())
    print(*map(visible, lines_of(ask_coordinator(place(arguments.config), body, "repair"))), sep="\n")
    return 0
