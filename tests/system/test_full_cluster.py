"""A shared disk that is full, and has space again; spools that have to drop: nothing is promised that is not kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import wait_until

from noroshi.node.client import Raiser

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system"),
]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8M,mode=0700", "noroshi-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def test_a_full_disk_keeps_everything_waiting_and_loses_nothing(tmp_path: Path, small: Path) -> None:
    with Cluster(tmp_path / "c", ("a", "b"), shared=small / "shared") as running:
        running.start()
        leader = running.await_up()
        other = running.other_than(leader.node)
        ballast = fill(small)
        lines = [f"line {number} {'x' * 2000}" for number in range(500)]
        with running.nodes[other].log.open("a") as log:
            log.writelines(line + "\n" for line in lines)
        for number in range(50):
            running.raise_on(other, f"app/{number}", "ERROR")
        wait_until("it says so", lambda: "free space on the shared disk" in running.nodes[leader.node].stderr)
        wait_until("they wait", lambda: "the shared disk is full" in running.nodes[other].stderr)
        assert len(running.events("app/*")) < 50
        assert running.await_leader() == leader, "the role is kept"
        ballast.unlink()
        wait_until("all events", lambda: len(running.events("app/*")) == 50, 20)
        wait_until("all lines", lambda: len(running.lines(other)) == 500, 20)
        assert [event.event for event in running.events("app/*")] == [f"app/{number}" for number in range(50)]
        assert {event.count for event in running.events("app/*")} == {1}
        assert running.lines(other) == lines
        assert running.await_leader() == leader


def test_a_take_over_waits_for_space(tmp_path: Path, small: Path) -> None:
    with Cluster(tmp_path / "c", ("a", "b"), shared=small / "shared") as running:
        running.start()
        old = running.await_up()
        other = running.other_than(old.node)
        ballast = fill(small)
        running.kill(old.node)
        running.raise_on(other, "app/kept", "ERROR")
        wait_until("it says why", lambda: "cannot take over" in running.nodes[other].stderr, 20)
        ballast.unlink()
        new = running.await_leader(not_term=old.term)
        assert new.node == other
        wait_until("stored", lambda: [event.count for event in running.events("app/kept")] == [1])


def test_a_spool_drops_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    """Nobody leads for as long as it takes to overflow 2 MiB."""
    extra = {"a": "spool: {size: 2MiB, age: 1d}\n"}
    with Cluster(tmp_path / "c", ("a",), extra=extra, cluster_extra="coordinator: external\n") as running:
        running.start()
        wait_until("it is up", lambda: "node a of cluster test is up" in running.nodes["a"].stderr)
        with Raiser(running.nodes["a"].socket) as raiser:
            for number in range(3500):
                raiser.raise_event(f"app/{number}", "ERROR", "x" * 900)
        wait_until("it says so", lambda: "items by size" in running.nodes["a"].stderr)
        command = [sys.executable, "-m", "noroshi.node", "coordinator", "--config", str(running.nodes["a"].config)]
        coordinator = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until("the newest", lambda: "app/3499" in running.states(), 20)
            wait_until("and what was lost", lambda: running.states().get("monitor/a/spool") == "ERROR")
            kept = {event.event for event in running.events("app/*")}
            told = [event.supplement for event in running.events("monitor/a/spool")]
            assert all(text.endswith("events lost by size") for text in told)
            counted, own = sum(int(text.split()[0]) for text in told), 20
            assert 3500 - len(kept) <= counted <= 3500 - len(kept) + own, "events of the node's own may be among them"
            assert 1000 < len(kept) < 3500
        finally:
            coordinator.terminate()
            coordinator.wait()
