"""`noroshi doctor`: the shared disk, the nodes, their clocks and keys, measured from the nodes that run.

One line a check: a word, what was measured, what to do. Works with the coordinator there or gone; what needs nodes
that do not run is NOT MEASURED, which is no good news. Takes some seconds, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from noroshi.console.doctor import disk, peers
from noroshi.console.doctor.check import Check, Verdict, failed
from noroshi.console.doctor.fencing import measure_fencing
from noroshi.console.doctor.leader import coordinator
from noroshi.console.doctor.settings import Settings, keyring, load
from noroshi.console.output import Cell, Printer, plain, state_cell
from noroshi.console.sanitise import visible
from noroshi.node.wire.panel import Panel, Reply
from noroshi.node.wire.probing import AskFacts
from noroshi.store.config import check_pair
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout

ANSWER_LIMIT = 2.0
"""Seconds a daemon has to say who it is."""
LISTENING = 10.0
"""Seconds in which a packet must be heard, where they are sent that often."""
RECONNECTING = 2.0
"""Seconds until a node that has just started must be heard by the others: they try it once a second (wire.sockets)."""
SAMPLES = 5
"""Questions by which a clock is read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json, --fence."""
    parser.add_argument("--json", action="store_true", help="one object")
    parser.add_argument(
        "--fence",
        metavar="NODE",
        help="instead: do late writes of a node that you cut off from the disk arrive?",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Each check is OK, WARNING, FAILED or NOT MEASURED (a check between nodes while only one runs).\n"
        "Exit status: 0 no check failed, 1 one did or the configuration cannot be read, 2 called wrongly.\n"
        "The nodes make files in doctor/ of the shared directory and remove them."
    )


def run(arguments: argparse.Namespace) -> int:
    """0 where no check failed."""
    settings, printer = load(Path(arguments.config)), Printer(sys.stdout)
    found = examine(settings) if arguments.fence is None else [fence(settings, arguments.fence)]
    bad = any(check.verdict is Verdict.FAILED for check in found)
    if arguments.json:
        about = {"cluster": settings.cluster.name, "node": settings.node.node, "ok": not bad}
        printer.json([{**about, "checks": [check.as_json() for check in found]}])
    else:
        _print(printer, settings, found)
    printer.flush()
    return 1 if bad else 0


def examine(settings: Settings) -> list[Check]:
    """Every check: first who is there, then the disk, by those who are."""
    cluster, began, ring = settings.cluster, time.monotonic(), keyring(settings)
    with Panel(cluster.name, settings.node.node, secrets.token_hex(8), ring) as panel:
        ears = panel.listen(list(cluster.nodes))
        replies = panel.ask(dict.fromkeys(cluster.nodes, AskFacts()), ANSWER_LIMIT)
        there = [node for node in cluster.nodes if node.name in peers.Seen(cluster, "", replies, {}, 0.0).facts]
        clocks: dict[str, list[Reply]] = {
            node.name: [
                *filter(None, (panel.ask({node: AskFacts()}, ANSWER_LIMIT).get(node.name) for _ in range(SAMPLES)))
            ]
            for node in there
            if node.name != settings.node.node
        }
        packets = ears.wait(began + min(LISTENING, 2.5 * cluster.heartbeat.interval + 1.0))
        listened = time.monotonic() - began
        replies |= _hearing_again(panel, peers.Seen(cluster, settings.node.node, replies, packets, listened))
        of_the_disk = disk.measure(panel, there)
        seen = peers.Seen(cluster, settings.node.node, replies, packets, listened)
    return [
        *peers.checks(seen),
        coordinator(seen, ring),
        *_shared(settings),
        peers.configuration(seen, settings.digest),
        *(peers.clock(name, samples) for name, samples in clocks.items()),
        peers.keys(seen, ring),
        *of_the_disk,
    ]


def _hearing_again(panel: Panel, seen: peers.Seen) -> dict[str, Reply]:
    """The answers of the nodes, asked again while one of them does not hear another: it may have come this moment."""
    interval, replies = seen.cluster.heartbeat.interval, dict(seen.replies)
    until = time.monotonic() + min(LISTENING, RECONNECTING + 2.5 * interval)
    there = [node for node in seen.cluster.nodes if node.name in seen.facts]
    while not peers.all_hear(replace(seen, replies=replies)) and time.monotonic() < until:
        time.sleep(min(interval, 0.2))
        replies |= panel.ask(dict.fromkeys(there, AskFacts()), ANSWER_LIMIT)
    return replies


def fence(settings: Settings, name: str) -> Check:
    """The one check that needs an operator: they are told on standard error what to do. Raises NoroshiError."""
    names = settings.cluster.names
    others = sorted(set(names) - {name}, key=lambda other: other != settings.node.node)
    if name not in names or not others:
        hint = f"there are {', '.join(names)}, and two are needed"
        raise NoroshiError(f"no node {name} beside another", on=str(Layout(settings.node.shared).cluster), hint=hint)
    node, other = settings.cluster.node(name), settings.cluster.node(others[0])
    with Panel(settings.cluster.name, settings.node.node, secrets.token_hex(8), keyring(settings)) as panel:
        return measure_fencing(panel, node, other, lambda text: print(visible(text), file=sys.stderr, flush=True))


def _shared(settings: Settings) -> list[Check]:
    strange = [
        failed("node file", problem.message, problem.hint) for problem in check_pair(settings.node, settings.cluster)
    ]
    if settings.digest is not None:
        return strange
    hint = "see the mount on this node, and the kernel's messages; the checks go by the daemon's copy of cluster.yaml"
    return [*strange, failed("shared directory", f"{settings.node.shared} from here: {settings.trouble}", hint)]


def _print(printer: Printer, settings: Settings, found: list[Check]) -> None:
    printer.heading(f"Cluster {visible(settings.cluster.name)}, asked from node {visible(settings.node.node)}")
    printer.rows(_row(check) for check in found)
    counts = Counter(check.verdict for check in found)
    printer.lines([", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])])


def _row(check: Check) -> list[Cell]:
    words = check.measured + (f" → {check.next}" if check.next else "")
    return [state_cell(check.verdict.value), plain(check.subject), plain(words)]
