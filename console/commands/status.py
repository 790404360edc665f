"""`noroshi status`: who leads, the nodes, every state, worst first; with --terms, who led before."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import groupby
from typing import Any

from noroshi.console.failure import supplement_words
from noroshi.console.holding import in_force, node_note, silencing, summary
from noroshi.console.output import (
    Cell,
    Printer,
    add_output_arguments,
    damage_json,
    iso,
    last_cell,
    node_json,
    plain,
    state_cell,
    state_json,
)
from noroshi.console.queries import WHY_UNHEARD, Leadership, Queries, Status, open_queries
from noroshi.console.sanitise import visible
from noroshi.console.severity import severity_of
from noroshi.console.times import Clockface, age, ago
from noroshi.console.watching import gone_nodes, unwatched_since
from noroshi.store.clock import now_us
from noroshi.store.config import load_cluster
from noroshi.store.silences import Silence
from noroshi.store.views import State, Term

CATEGORIES = ("system", "user", "maintenance")

LONGEST_LOOK = 5.0
"""Seconds between two looks at the claims, at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json, --local, --terms."""
    add_output_arguments(parser)
    parser.add_argument("--terms", action="store_true", help="instead: every coordinator there was, oldest first")


def run(arguments: argparse.Namespace) -> int:
    """Print it; 0 whatever it shows."""
    queries, printer = open_queries(arguments.config), Printer(sys.stdout)
    if arguments.terms:
        _print_terms(printer, queries.terms(), arguments)
    elif arguments.json:
        printer.json([status_json(queries.status())])
    else:
        unheard_by = _unheard_by(queries)
        print_status(printer, queries.status(), now_us(), Clockface(arguments.local), unheard_by)
    printer.flush()
    return 0


def status_json(status: Status) -> dict[str, Any]:
    """The object of design section 6; `coordinator` null when nobody holds the role."""
    leader = status.leadership.leader if status.leadership.held else None
    return {
        "cluster": status.cluster,
        "coordinator": leader and {"node": leader.node, "term": leader.term, "since": iso(leader.since)},
        "nodes": [node_json(row) for row in status.nodes],
        "states": [state_json(row) for row in status.states],
    }


def _unheard_by(queries: Queries) -> tuple[str, ...]:
    """Nodes that run and do not hear whoever leads: their claims move. Looks twice where there are any."""
    before = queries.claims()
    if not before:
        return ()
    time.sleep(min(2 * load_cluster(queries.layout.cluster).heartbeat.interval, LONGEST_LOOK))
    return tuple(sorted(node for node, stamp in queries.claims().items() if before.get(node, stamp) != stamp))


def print_status(printer: Printer, status: Status, now: int, face: Clockface, unheard_by: tuple[str, ...] = ()) -> None:
    """For people; `unheard_by` as the claims on the shared disk say."""
    printer.heading(f"Cluster {visible(status.cluster)}")
    printer.lines(_leadership(status.leadership, status.written_at, now, face))
    if unheard_by and status.leadership.held:
        printer.lines([visible(f"NOT HEARD by {', '.join(unheard_by)}: {WHY_UNHEARD}")])
    if held := summary(status.holding, now):
        printer.lines([f"{held}: `noroshi silence list` shows them"])
    printer.lines([""])
    printer.heading("NODES")
    watched = status.leadership.held and len(unheard_by) * 2 <= max(len(status.nodes) - 1, 0)
    unwatched = "" if watched else ago(status.written_at, now)
    worst_first = sorted(status.nodes, key=lambda row: severity_of(row.state))
    silences = status.holding.silences
    printer.rows(
        [
            state_cell(row.state, unwatched),
            plain(row.node),
            Cell(_since(row.since, now, face)),
            last_cell(node_note(row, silences, now, face), row.damaged),
        ]
        for row in worst_first
    )
    for category, rows in groupby(sorted(status.states, key=_order), key=lambda row: row.category):
        printer.lines([""])
        printer.heading(visible(category.upper()))
        standing, gone = in_force(silences, now), gone_nodes(status.nodes)
        printer.rows(
            _state_row(row, now, face, unwatched or ago(unwatched_since(row, gone), now), standing) for row in rows
        )


def _order(row: State) -> tuple[int, str, int, str]:
    known = CATEGORIES.index(row.category) if row.category in CATEGORIES else len(CATEGORIES)
    return known, row.category, severity_of(row.state), row.event


def _leadership(leadership: Leadership, written_at: int | None, now: int, face: Clockface) -> list[str]:
    leader = leadership.leader
    if leader and leadership.held:
        return [f"coordinator {visible(leader.node)}, term {leader.term}, since {face.full(leader.since)}"]
    last = f"; last was {visible(leader.node)}, term {leader.term}" if leader else ""
    written = f"{face.full(written_at)}, {age(written_at, now)} ago" if written_at else "never"
    return [
        f"coordinator NONE: nobody holds the role{last}",
        f"what follows is old, nobody watches the nodes now; last written {written}",
    ]


def _since(instant: int | None, now: int, face: Clockface) -> str:
    return "" if instant is None else f"since {face.full(instant)} ({age(instant, now)})"


def _state_row(row: State, now: int, face: Clockface, unwatched: str, standing: tuple[Silence, ...]) -> list[Cell]:
    return [
        state_cell(row.state, unwatched),
        plain(row.event),
        plain(f"from {row.node}"),
        Cell(f"{face.full(row.observed_at)} ({age(row.observed_at, now)})"),
        Cell(f"{row.count}x"),
        plain(_taken_on(row, face)),
        plain(_kept_back(row, standing, now, face)),
        last_cell(supplement_words(row.event, row.supplement), row.damaged),
    ]


def _taken_on(row: State, face: Clockface) -> str:
    if not row.owner:
        return ""
    until = "" if row.acknowledged_until is None else f" until {face.full(row.acknowledged_until)}"
    comment = f" ({row.comment})" if row.comment else ""
    return f"acknowledged by {row.owner}{until}{comment}"


def _kept_back(row: State, standing: tuple[Silence, ...], now: int, face: Clockface) -> str:
    one = silencing(row, standing)
    if one is None:
        return ""
    by = f"silence {one.id}" if one.pattern else f"maintenance of {one.node}"
    return f"silenced until {face.short(one.until, now)} by {by}"


def _print_terms(printer: Printer, terms: tuple[Term, ...], arguments: argparse.Namespace) -> None:
    if arguments.json:
        printer.json(
            {"term": row.term, "node": row.node, "since": iso(row.since), **damage_json(row.damaged)} for row in terms
        )
        return
    face = Clockface(arguments.local)
    printer.rows(
        [plain(row.term), plain(row.node), last_cell(f"since {face.full(row.since)}", row.damaged)] for row in terms
    )
