"""`coordinator: external`: nobody leads but the coordinator that a cluster manager, here the test, has started."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import wait_until

from noroshi.node.exits import EXIT_DISK_SILENT, EXIT_ROLE_TAKEN

pytestmark = pytest.mark.slow

INTERVAL, DOWN_TIME = "400ms", 1.6
PROGRAM = Path(__file__).with_name("hung_disk.py")


class Manager:
    """Starts coordinators as a cluster manager does."""

    def __init__(self, running: Cluster) -> None:
        self.running = running
        self._started: list[subprocess.Popen[str]] = []

    def start(self, node: str, *program: str, after: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        words = program or ("-m", "noroshi.node", "coordinator", "--config")
        command = [sys.executable, *words, str(self.running.nodes[node].config), *after]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            if process.stderr is not None and not process.stderr.closed:
                process.communicate()


@pytest.fixture
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    """INTERVAL, where a test asks for no other."""
    extra, interval = "coordinator: external\n", getattr(request, "param", INTERVAL)
    with Cluster(tmp_path / "c", ("a", "b"), interval=interval, cluster_extra=extra) as running:
        running.start()
        for node in running.nodes.values():  # what finds no daemon ends after the down time
            wait_until("its daemon is up", lambda node=node: "of cluster test is up" in node.stderr)  # type: ignore[misc]
        made = Manager(running)
        try:
            yield made
        finally:
            made.close()


def test_only_the_one_started_from_outside_leads(manager: Manager) -> None:
    running = manager.running
    wait_until("both have long missed a leader", lambda: "a: SUSPECT -> UP" in running.nodes["b"].stderr)
    threading.Event().wait(2 * DOWN_TIME)
    assert running.leader() is None
    assert not running.layout.database.exists()
    first = manager.start("a")
    assert running.await_up().node == "a"
    second = manager.start("b")
    assert second.wait(40) == EXIT_ROLE_TAKEN
    assert not running.layout.claims.exists()
    running.raise_on("b", "app/x", "ERROR")
    wait_until("stored", lambda: running.states().get("app/x") == "ERROR")
    first.send_signal(signal.SIGTERM)
    assert first.wait(40) == 0
    manager.start("b")
    assert running.await_leader(not_term=1).node == "b"


@pytest.mark.parametrize("manager", ["1500ms"], indirect=True, ids=["slow"])
def test_it_outlives_a_restart_of_its_daemon(manager: Manager) -> None:
    running = manager.running
    leader = manager.start("a")
    term = running.await_up().term
    running.kill("a")
    running.start("a")
    wait_until("it is up", lambda: running.nodes["a"].stderr.count("node a of cluster test is up") == 2)
    running.raise_on("a", "app/x", "ERROR")
    running.raise_on("b", "app/y", "ERROR")
    wait_until("stored", lambda: {"app/x", "app/y"} <= running.states().keys())
    assert leader.poll() is None
    assert running.await_leader().term == term


def test_it_ends_when_its_daemon_stays_away(manager: Manager) -> None:
    running = manager.running
    leader = manager.start("a")
    running.await_up()
    running.kill("a")
    assert leader.wait(40) == 0
    assert "the daemon has been away" in leader.communicate()[1]
    assert running.leader() is None


def test_a_disk_that_does_not_answer_ends_it_and_another_takes_over(manager: Manager) -> None:
    running = manager.running
    gate = running.root / "gate"
    hung = manager.start("a", str(PROGRAM), after=(str(gate), "3"))
    old = running.await_up()
    gate.touch()
    running.raise_on("b", "app/x", "ERROR")
    assert hung.wait(40) == EXIT_DISK_SILENT
    assert "the shared disk has not answered for" in hung.communicate()[1]
    assert running.leader() is None, "its lock went with it"
    assert running.events("app/x") == [] or len(running.events("app/x")) == 1
    manager.start("b")
    new = running.await_leader(not_term=old.term)
    wait_until("sent again", lambda: running.states().get("app/x") == "ERROR")
    wait_until("stored once", lambda: [event.count for event in running.events("app/x")] == [1])
    assert (new.node, new.term) == ("b", old.term + 1)
