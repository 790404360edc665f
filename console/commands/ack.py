"""`noroshi ack EVENT|NOTIFICATION`: you look after it; repeats and escalations stop (spec 7).

It holds for the state the event is in, until its time is over or it is withdrawn; the next state is told all the same.
"""

from __future__ import annotations

import argparse

from noroshi.console.commands.asking import ask_coordinator, author, duration, lines_of, place
from noroshi.console.sanitise import visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="EVENT|NOTIFICATION", help="an event's name, or a number of `noroshi history`")
    parser.add_argument("--for", dest="duration", type=duration, metavar="TIME", help="30m, 2h, 1d; default: no end")
    parser.add_argument("--comment", default="", help="for the others")
    parser.add_argument("--withdraw", action="store_true", help="give it back: repeats and escalations begin again")


def run(arguments: argparse.Namespace) -> int:
    from noroshi.node.wire.operating import Acknowledge

    number = int(arguments.what) if arguments.what.isdecimal() else 0
    event = "" if number else arguments.what
    body = Acknowledge(event, number, author(), arguments.comment, arguments.duration, arguments.withdraw)
    print(*map(visible, lines_of(ask_coordinator(place(arguments.config), body, "acknowledgement"))), sep="\n")
    return 0
