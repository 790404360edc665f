"""The whole system, real processes: what happens on one node is known on all, whoever dies meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from first import run_first
from waiting import wait_until

DEFINITIONS = """
events:
  - name: chain
    match: {event: "app/chain", state: ERROR}
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", one]}
      - {priority: 2, node: b, procedure: process, application: ["{b}", two]}
      - {priority: 3, node: c, procedure: process, application: ["{c}", three]}
logs:
  - name: oom
    match: {source: "**", pattern: "Out of memory"}
    notify:
      - {priority: 1, node: b, procedure: process, application: ["{b}", oom]}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", definitions=DEFINITIONS) as running:
        running.start()
        running.await_up()
        yield running


def test_an_event_is_stored_once_counted_and_told_once(cluster: Cluster) -> None:
    for _ in range(3):
        cluster.raise_on("c", "app/chain", "ERROR", "the same")
    wait_until("told", lambda: cluster.nodes["a"].told())
    wait_until("three reports counted", lambda: [event.count for event in cluster.events("app/chain")] == [3])
    cluster.raise_on("c", "app/chain", "OK")
    cluster.raise_on("b", "app/chain", "ERROR", "the same")
    wait_until("DOWN, UP, DOWN is three changes", lambda: len(cluster.events("app/chain")) == 3)
    wait_until("told again", lambda: len(cluster.nodes["a"].told()) == 2)
    wait_until("both delivered", lambda: [row.status for row in cluster.history("chain")] == ["delivered"] * 2)


def test_a_log_line_reaches_the_shared_log_and_its_definition(cluster: Cluster) -> None:
    with cluster.nodes["c"].log.open("a") as log:
        log.write("started\nOut of memory: killed process 7\n")
    wait_until("both lines", lambda: cluster.lines("c") == ["started", "Out of memory: killed process 7"])
    wait_until("told", lambda: cluster.nodes["b"].told())
    ((_, _, _, _, line, words),) = cluster.nodes["b"].told()
    assert (line, words) == ("Out of memory: killed process 7", "oom")


SLOW = """
import sys
if "noroshi.node.logs" in sys.orig_argv:
    import time
    time.sleep(1.5)
"""
"""The log monitor begins late, as on a machine with much else to start."""


def test_what_is_written_once_a_cluster_is_up_is_stored(tmp_path: Path) -> None:
    """A test of the tests: a log monitor begins at the end of a file, and a node is UP without it."""
    environment = {"a": run_first(tmp_path / "first", SLOW)}
    with Cluster(tmp_path / "cluster", ("a",), environment=environment) as cluster:
        cluster.start().await_up()
        with cluster.nodes["a"].log.open("a") as log:
            log.write("the first line\n")
        wait_until("stored", lambda: cluster.lines("a") == ["the first line"])


def test_a_planned_stop_is_stopped_and_a_kill_is_down(cluster: Cluster) -> None:
    leader = cluster.await_leader().node
    stopped = cluster.other_than(leader)
    assert cluster.stop(stopped) == 0
    wait_until("STOPPED", lambda: cluster.states().get(f"server/{stopped}") == "STOPPED")
    killed = cluster.other_than(leader, stopped)
    cluster.kill(killed)
    wait_until("DOWN", lambda: cluster.states().get(f"server/{killed}") == "DOWN")
    cluster.start(stopped, killed)
    cluster.await_up()
    names = [event.state for event in cluster.events(f"server/{stopped}")]
    assert names == ["UP", "STOPPED", "UP"]


def test_a_stop_of_everything_at_once_is_planned_too(cluster: Cluster) -> None:
    """A service manager tells every process of a service to end, the coordinator and the log monitor among them."""
    old = cluster.await_leader()
    cluster.signal_group(old.node, signal.SIGTERM)
    daemon = cluster.nodes[old.node].daemon
    assert daemon is not None
    assert daemon.wait(15) == 0
    other = cluster.other_than(old.node)
    cluster.await_leader(not_term=old.term)
    wait_until("STOPPED", lambda: cluster.states().get(f"server/{old.node}") == "STOPPED")
    assert f"{old.node}: STOPPED -> " not in cluster.nodes[other].stderr
    cluster.start(old.node)
    cluster.await_up()
    assert [event.state for event in cluster.events(f"server/{old.node}")] == ["UP", "STOPPED", "UP"]
    assert [event.state for event in cluster.events(f"monitor/{old.node}/logs") if event.state != "OK"] == []


def test_the_leader_killed_another_leads_and_nothing_is_lost_or_doubled(cluster: Cluster) -> None:
    old = cluster.await_leader()
    other = cluster.other_than(old.node)
    cluster.kill(old.node)
    for number in range(20):
        cluster.raise_on(other, f"app/number/{number}", "OK")
    new = cluster.await_leader(not_term=old.term)
    assert new.node != old.node
    assert new.term == old.term + 1
    wait_until("all stored", lambda: len(cluster.events("app/number/*")) == 20)
    assert [event.event for event in cluster.events("app/number/*")] == [f"app/number/{n}" for n in range(20)]
    wait_until("the old leader's node is DOWN", lambda: cluster.states().get(f"server/{old.node}") == "DOWN")
    cluster.start(old.node)
    cluster.await_up()
    assert cluster.await_leader().term == new.term


def test_the_leader_stopped_another_leads_at_once(cluster: Cluster) -> None:
    old = cluster.await_leader()
    cluster.stop(old.node)
    new = cluster.await_leader(not_term=old.term)
    assert new.node != old.node


def test_a_killed_coordinator_is_followed_by_another_and_its_daemon_lives(cluster: Cluster) -> None:
    old = cluster.await_leader()
    process = cluster.coordinator_process(old.node)
    assert process is not None
    process.kill()
    cluster.await_leader(not_term=old.term)
    assert cluster.nodes[old.node].running
    cluster.raise_on(old.node, "app/after", "OK")
    wait_until("stored by the next one", lambda: len(cluster.events("app/after")) == 1)


def test_the_coordinator_ends_with_its_daemon(cluster: Cluster) -> None:
    old = cluster.await_leader()
    process, daemon = cluster.coordinator_process(old.node), cluster.nodes[old.node].daemon
    assert process is not None
    assert daemon is not None
    daemon.send_signal(signal.SIGKILL)  # the daemon alone
    daemon.wait()
    wait_until("the coordinator has ended", lambda: not process.is_running())
    assert cluster.await_leader(not_term=old.term).node != old.node


def test_a_node_that_is_down_is_skipped_and_the_history_says_why(cluster: Cluster) -> None:
    cluster.kill("a")
    wait_until("DOWN", lambda: cluster.states().get("server/a") == "DOWN")
    cluster.await_leader()
    cluster.raise_on("b", "app/chain", "ERROR", "a is gone")
    wait_until("delivered", lambda: [row.status for row in cluster.history("chain")] == ["delivered"])
    attempts = cluster.history("chain")[0].attempts
    assert [(one.node, one.outcome) for one in attempts] == [("a", "skipped"), ("b", "delivered")]
    assert attempts[0].reason == "node is down"


def test_lines_written_while_their_daemon_is_dead_are_stored_once_in_order(cluster: Cluster) -> None:
    node = cluster.nodes["c"]
    wanted = [f"line {number}" for number in range(300)]
    with node.log.open("a") as log:
        log.writelines(line + "\n" for line in wanted[:100])
        log.flush()
        wait_until("some stored", lambda: cluster.lines("c"))
        cluster.kill("c")
        log.writelines(line + "\n" for line in wanted[100:200])
    rotated = node.log.with_name("app.log.1")
    node.log.rename(rotated)
    node.log.write_text("".join(line + "\n" for line in wanted[200:]))
    cluster.start("c")
    wait_until("every line", lambda: len(cluster.lines("c")) >= 300, 40)
    assert cluster.lines("c") == wanted


def test_deferred_events_ride_in_packets(cluster: Cluster) -> None:
    from noroshi.node.client import defer_event

    for node in cluster.names:
        defer_event(f"app/statistics/{node}", "OK", "jobs: 12", socket=cluster.nodes[node].socket)
    wait_until("all three stored", lambda: len(cluster.events("app/statistics/*")) == 3)
    assert {event.node for event in cluster.events("app/statistics/*")} == set(cluster.names)
