"""`noroshi definitions explain EVENT STATE` or `--line TEXT`: who would be told now, in which order, who not and why.

Reads the database alone, so it works with the coordinator gone; nothing is raised, stored or sent.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from typing import Any

from noroshi.console.commands.asking import Place, place
from noroshi.console.output import Printer, application_words
from noroshi.console.sanitise import visible
from noroshi.store import views
from noroshi.store.clock import now_us
from noroshi.store.errors import NoroshiError
from noroshi.store.explain import RECOVERY, EventAsked, Explained, Group, LineAsked, Told, explain
from noroshi.store.lock import is_held, read_lock

LEADERLESS = "nobody leads now: nothing is told before somebody does, and what is known of the nodes is old"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", metavar="EVENT", nargs="?", help="an event's name, with STATE")
    parser.add_argument("state", metavar="STATE", nargs="?", help="what it would be, such as OK or ERROR")
    parser.add_argument("supplement", metavar="SUPPLEMENT", nargs="?", default="", help="the cause, the place")
    parser.add_argument("--line", metavar="TEXT", help="instead of an event: a log line")
    parser.add_argument("--source", metavar="FILE", default="", help="where the line stands")
    parser.add_argument("--node", metavar="NODE", help="who sees it (default: this node)")
    parser.add_argument("--json", action="store_true", help="one object")


def run(arguments: argparse.Namespace) -> int:
    """Print it; 0 also where nobody would be told. 2: neither an event nor a line was named."""
    if (arguments.line is None) == (arguments.state is None):
        print("noroshi definitions explain: name EVENT and STATE, or --line TEXT", file=sys.stderr)
        return 2
    at = place(arguments.config)
    asked = _asked(arguments, arguments.node or at.node.node)
    own = _leader(at)
    event = asked.event if isinstance(asked, EventAsked) else None
    found = at.reader.query(lambda c: views.facts(c, event, at.cluster.names, own, now_us(), at.cluster.limit))
    try:
        explained = explain(asked, found)
    except re.error as error:  # a definition another version of Python has checked
        raise NoroshiError("a definition's pattern is no regular expression here", why=str(error)) from error
    printer = Printer(sys.stdout)
    if arguments.json:
        printer.json([_json(asked, own, explained)])
    else:
        printer.lines(([LEADERLESS] if own is None else []) + told_lines(explained))
    printer.flush()
    return 0


def _asked(arguments: argparse.Namespace, node: str) -> EventAsked | LineAsked:
    if arguments.line is not None:
        return LineAsked(arguments.line, arguments.source, node)
    return EventAsked(arguments.event, arguments.state, arguments.supplement, node)


def _leader(at: Place) -> str | None:
    record = read_lock(at.layout)
    return record.node if record is not None and is_held(at.layout) else None


def _json(asked: EventAsked | LineAsked, own: str | None, explained: tuple[Explained, ...]) -> dict[str, Any]:
    return {**asdict(asked), "coordinator": own, "definitions": [asdict(one) for one in explained]}


def told_lines(explained: tuple[Explained, ...]) -> list[str]:
    """For people, each line safe."""
    if not explained:
        return ["nobody: no definition matches"]
    return [line for one in explained for line in _definition(one)]


def _definition(one: Explained) -> list[str]:
    name = f"{one.definition} v{one.version}" if one.definition else "(no definition: the coordinator's own node)"
    notes = [visible(f"  {note}") for note in one.notes]
    return [
        visible(f"{name}: {_verdict(one)}"),
        *notes,
        *(line for group in one.groups for line in _group(group, one.told)),
    ]


def _verdict(one: Explained) -> str:
    if not one.told:
        return f"NOT told: {one.reason}"
    if one.reason == RECOVERY:
        return "those who heard of it are told that it is over"
    return f"told, {one.enough} of a group is enough"


def _group(group: Group, told: bool) -> list[str]:
    otherwise = "" if told else "otherwise "
    title = visible(f"  {otherwise}priority {group.priority}, {group.turn}")
    return [title, *(_told(one) for one in group.destinations)]


def _told(one: Told) -> str:
    how = "tried" if one.tried else "skipped"
    why = f" ({one.reason})" if one.reason else ""
    node = one.node or "the coordinator's node"
    application = application_words(one.application)
    return visible(f"    {how}  {node}  {one.procedure}  {application}".rstrip() + why)
