"""The coordinator process killed between every two steps of a notification; another goes on from the real database.

The notification fails with its first group and is delivered by its second. Whatever the step, its history ends the
same as without a crash, each program has run once, and the event is stored once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import wait_until

DYING = Path(__file__).parent.parent / "dying_coordinator.py"

DEFINITIONS = """
events:
  - name: crash
    match: {event: "crash/*"}
    timeout: 30s
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}.fails", one]}
      - {priority: 2, node: b, procedure: process, application: ["{b}", two]}
"""

FAILS = '#!/bin/sh\n"$(dirname "$0")/tell" "$@"\nexit 1\n'

STEPS = [
    *("received", "decided", "committed", "sent", "acknowledged"),
    *("received", "decided", "committed", "sent"),
    *("received", "decided", "committed"),
]
"""The report, the first node's answer, the second's."""

HISTORY = ("delivered", [(1, "a", "failed", "exit status 1"), (2, "b", "delivered", "exit status 0")])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("steps") / "c"
    home = root / "a"
    extra = {"a": f'notifier: {{programs: ["{home / "tell"}", "{home / "tell.fails"}"]}}\n'}
    with Cluster(
        root, ("a", "b"), definitions=DEFINITIONS, extra=extra, cluster_extra="coordinator: external\n", logs=False
    ) as running:
        program = home / "tell.fails"
        program.write_text(FAILS)
        program.chmod(0o700)
        running.start()
        yield running


@contextmanager
def coordinator(cluster: Cluster, node: str, *dying: str) -> Iterator[subprocess.Popen[bytes]]:
    """A coordinator on `node`, as a cluster manager starts it; leading inside the block."""
    config = str(cluster.nodes[node].config)
    words = [str(DYING), config, *dying] if dying else ["-m", "noroshi.node", "coordinator", "--config", config]
    with (cluster.root / "coordinators.txt").open("ab") as stderr:
        process = subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL, stderr=stderr)
    try:
        wait_until(f"{node} leads", lambda: (leader := cluster.leader()) is not None and leader.pid == process.pid)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()
            process.wait()


def ended(cluster: Cluster, event: str) -> bool:
    rows = [row for row in cluster.history("crash") if row.event == event]
    return bool(rows) and all(row.status != "pending" for row in rows)


def told_of(cluster: Cluster, node: str, event: str) -> int:
    return sum(told[1] == event for told in cluster.nodes[node].told())


def play(cluster: Cluster, number: int, points: Path) -> list[str]:
    """One notification, its coordinator dead at step `number` (0: at none); the steps it passed."""
    event = f"crash/{number}"
    first, second = ("a", "b") if number % 2 else ("b", "a")
    with coordinator(cluster, first, event, str(number), str(points)) as process:
        wait_until("a node is UP", lambda: list(cluster.node_states().values()).count("UP") == 2)
        cluster.raise_on("b", event, "ERROR")
        wait_until(
            f"dead at step {number}, or done",
            lambda: process.poll() is not None or (not number and ended(cluster, event)),
            40,
        )
    with coordinator(cluster, second):
        wait_until("told to the end", lambda: ended(cluster, event), 40)
    return points.read_text().split()


def test_killed_between_any_two_steps_it_ends_as_if_nothing_had_happened(cluster: Cluster, tmp_path: Path) -> None:
    assert play(cluster, 0, tmp_path / "all") == STEPS
    for number in range(1, len(STEPS) + 1):
        assert play(cluster, number, tmp_path / f"points-{number}") == STEPS[:number]
    for number in range(len(STEPS) + 1):
        event = f"crash/{number}"
        (row,) = [row for row in cluster.history("crash") if row.event == event]
        attempts = [(each.priority, each.node, each.outcome, each.reason) for each in row.attempts]
        assert (row.status, attempts) == HISTORY, f"killed at step {number}"
        assert [told_of(cluster, "a", event), told_of(cluster, "b", event)] == [1, 1], f"killed at step {number}"
        assert [stored.count for stored in cluster.events(event)] == [1]
