"""`noroshi maintenance NODE --for TIME | --end`: notify nothing that is about a node or seen by it.

It stands while the node is stopped and started; what is still bad at its end is notified then.
"""

from __future__ import annotations

import argparse

from noroshi.console.commands.asking import ask_coordinator, author, duration, lines_of, place
from noroshi.console.commands.silence import WAIT, show_coverage
from noroshi.console.sanitise import visible
from noroshi.store.errors import NoroshiError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", metavar="NODE", help="a name of cluster.yaml")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--for", dest="duration", type=duration, metavar="TIME", help="30m, 2h, 1d")
    when.add_argument("--end", action="store_true", help="end it now")
    parser.add_argument("--in", dest="wait", type=duration, default=0.0, metavar="TIME", help=WAIT)
    parser.add_argument("--comment", default="", help="why, for the others")
    parser.add_argument("--dry-run", action="store_true", help="only show what it would cover")


def run(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import AddSilence, EndSilence

    at = place(arguments.config)
    if arguments.node not in at.cluster.names:
        hint = f"there are {', '.join(at.cluster.names)}"
        raise NoroshiError(f"no node {arguments.node} in the cluster", hint=hint)
    if arguments.end:
        reply = ask_coordinator(at, EndSilence(author(), node=arguments.node), "end of maintenance")
    else:
        show_coverage(at, "", arguments.node)
        if arguments.dry_run:
            return 0
        body = AddSilence("", arguments.node, author(), arguments.comment, arguments.duration, arguments.wait)
        reply = ask_coordinator(at, body, "maintenance")
    print(*map(visible, lines_of(reply)), sep="\n")
    return 0
