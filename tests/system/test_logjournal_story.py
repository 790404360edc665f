"""The systemd journal as a source, whatever happens: kills and rotations at random, and a whole cluster."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from commands import noroshi
from journaldesk import Desk, children, desk_on
from journals import Journal, needs_journal
from waiting import wait_until

from noroshi.node.logs.messages import JournalRule

pytestmark = needs_journal


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from desk_on(tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_every_selected_entry_is_stored_once_and_in_order(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    desk.coordinator.judge = lambda batch: chance.choices([None, "mute", "drop"], [20, 1, 1])[0]
    desk.journal.write("old")
    rules = [JournalRule(desk.journal.command, select=["error"])]
    desk.start(*rules)
    expected: list[str] = []

    def write() -> None:
        entries = []
        for _ in range(chance.choice([1, 1, 5, 300])):
            text, unit = (
                f"{chance.choice(['error', 'error', 'noise'])} {desk.journal.count}.{len(entries)}",
                chance.choice("ab"),
            )
            entries.append((text, {"_SYSTEMD_UNIT": f"{unit}.service"}))
            if text.startswith("error"):
                expected.append(f"app[12]: {text}")
        desk.journal.write_all(entries)  # type: ignore[arg-type]

    def restart() -> None:
        desk.monitors[-1].kill()
        desk.start(*rules)

    def crash() -> None:
        for pid in children(desk.monitors[-1].process.pid):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)

    def lose_leader() -> None:
        desk.monitors[-1].lead(None)

    def find_leader() -> None:
        desk.monitors[-1].lead(desk.coordinator.endpoint)

    steps: list[tuple[Callable[[], None], int]] = [
        (write, 8),
        (desk.journal.rotate, 1),
        (restart, 2),
        (crash, 1),
        (lose_leader, 1),
        (find_leader, 2),
    ]
    for step in chance.choices([step for step, _ in steps], [weight for _, weight in steps], k=40):
        step()
    find_leader()
    shelf = desk.coordinator.shelf
    wait_until("every entry is stored", lambda: sum(map(len, shelf.lines.values())) >= len(expected), 60)
    arrived = [line for part in shelf.parts for line in part.lines]
    assert arrived == expected
    assert shelf.lost == 0


DEFINITIONS = """
logs:
  - name: refused
    match: {source: "journal/app.service", pattern: "refused"}
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", refused]}
"""


def test_from_the_node_file_to_the_shared_log_and_who_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.write("old")
    root = tmp_path / "cluster"
    rules = (
        f"logs:\n  - {{journal: true, units: [app], select: [refused, late], command: {json.dumps(journal.command)}}}\n"
        f"  - {{journal: true, priority: err, deferred: true, command: {json.dumps(journal.command)}}}\n"
        f'notifier: {{programs: ["{root / "a" / "tell"}"]}}\n'
    )
    with Cluster(root, ("a",), definitions=DEFINITIONS, extra={"a": rules}, logs=False) as cluster:
        cluster.start()
        cluster.await_up()
        wait_until("both rules have their place", lambda: len(_places(cluster.nodes["a"].home)) == 2)
        journal.write("connection refused", "unselected")
        journal.write("disk is full", unit="other.service", PRIORITY="3")
        journal.write("chatter", unit="other.service", PRIORITY="6")
        expected = ["app[12]: connection refused", "app[12]: disk is full"]
        wait_until("both are stored", lambda: sorted(cluster.lines("a")) == expected)
        wait_until("it is told", lambda: [line[4:] for line in cluster.nodes["a"].told()] == [[expected[0], "refused"]])
        cluster.kill("a")
        journal.write("too late")
        cluster.start()
        wait_until("it is stored", lambda: "app[12]: too late" in cluster.lines("a"), 20)
        shown = noroshi(cluster, "a", "log", "--json", "--source", "journal/*")
        lines = [(each["source"], each["line"]) for each in map(json.loads, shown.splitlines())]
    assert sorted(lines) == [
        ("journal/app.service", "app[12]: connection refused"),
        ("journal/app.service", "app[12]: too late"),
        ("journal/other.service", "app[12]: disk is full"),
    ]


def _places(home: Path) -> list[Path]:
    return list((home / "state/logs/journal").glob("*"))
