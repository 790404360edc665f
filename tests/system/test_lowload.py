"""Low-load communication in real clusters (spec 5): each kind exactly once, whoever dies; overflow; what is too big."""

from __future__ import annotations

import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import Stopwatch, wait_until

from noroshi.node.client import Raiser, defer_event
from noroshi.node.data import RaiseError, put_data, take_data
from noroshi.store import views
from noroshi.store.connection import Connection

pytestmark = pytest.mark.slow

DEFINITIONS = """
events:
  - name: later
    match: {event: "app/later/**"}
    delivery: deferred
    timeout: 20s
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", later]}
      - {priority: 1, node: b, procedure: process, application: ["{b}", later]}
      - {priority: 1, node: c, procedure: process, application: ["{c}", later]}
  - name: to-a
    match: {event: "app/to/a"}
    delivery: deferred
    timeout: 2s
    notify:
      - {priority: 1, node: a, procedure: process, application: ["{a}", first]}
      - {priority: 2, node: b, procedure: process, application: ["{b}", second]}
  - name: to-b
    match: {event: "app/to/b"}
    delivery: deferred
    timeout: 2s
    notify:
      - {priority: 1, node: b, procedure: process, application: ["{b}", first]}
      - {priority: 2, node: a, procedure: process, application: ["{a}", second]}
  - name: chain
    match: {event: "app/chain"}
    delivery: deferred
    timeout: 20s
    notify:
      - {priority: 1, node: a, procedure: process, application: ["/nonexistent/program"]}
      - {priority: 2, node: c, procedure: process, application: ["{c}", second]}
logs:
  - name: oom
    match: {source: "**", pattern: "Out of memory"}
    delivery: deferred
    notify:
      - {priority: 1, node: b, procedure: process, application: ["{b}", oom]}
"""


def made(root: Path, heartbeat: str = "200ms", *, deferred: Iterable[str] = ("a", "b", "c")) -> Cluster:
    """`heartbeat`: the interval and what else stands beside it. The lines of the nodes in `deferred` are deferred."""
    cluster = Cluster(root / "cluster", interval=heartbeat, definitions=DEFINITIONS, logs=False)
    for name in cluster.names:
        defer_lines(cluster, name, name in deferred)
    return cluster


def defer_lines(cluster: Cluster, name: str, deferred: bool) -> None:
    node = cluster.nodes[name]
    config = node.config.read_text().partition("logs:")[0]
    node.config.write_text(f'{config}logs: [{{path: "{node.log}", deferred: {json.dumps(deferred)}}}]\n')


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with made(tmp_path) as running:
        running.start()
        running.await_up()
        yield running


def counts(cluster: Cluster, name: str) -> dict[str, dict[str, int]]:
    with Raiser(cluster.nodes[name].socket) as raiser:
        return dict(json.loads(raiser.exchange(b'{"verb": "counts"}\n')))


def append(cluster: Cluster, name: str, lines: Iterable[str]) -> None:
    with cluster.nodes[name].log.open("a") as log:
        log.writelines(line + "\n" for line in lines)


def follower(cluster: Cluster) -> str:
    """A node that does not lead."""
    return cluster.other_than(cluster.await_leader().node)


class Deaths:
    """Kills and starts again; `until` a time."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster, self.random = cluster, random.Random(seed)

    def one(self) -> None:
        kind = self.random.choice(["node", "leader's node", "coordinator"])
        leader = self.cluster.await_leader(timeout=40)
        if kind == "coordinator":
            process = self.cluster.coordinator_process(leader.node)
            if process is not None:
                process.kill()
            self.cluster.await_leader(not_term=leader.term, timeout=40)
            return
        name = leader.node if kind == "leader's node" else self.cluster.other_than(leader.node)
        self.cluster.kill(name)
        time.sleep(self.random.choice([0.0, 0.3, 2.0]))  # shorter and longer than the down time
        self.cluster.start(name)
        wait_until(f"{name} takes events", lambda: self._takes(name), 20)

    def _takes(self, name: str) -> bool:
        try:
            counts(self.cluster, name)
        except RaiseError:
            return False
        return True


# --- each kind ----------------------------------------------------------------------------------------------------


def test_deferred_lines_are_stored_once_in_order_and_notified(cluster: Cluster) -> None:
    wanted = {name: [f"{name} {number} {'x' * (number % 300)}" for number in range(200)] for name in cluster.names}
    for name in cluster.names:
        append(cluster, name, wanted[name])
    append(cluster, "c", ["Out of memory: killed process 7"])
    wanted["c"].append("Out of memory: killed process 7")
    for name in cluster.names:
        wait_until(f"all lines of {name}", lambda name=name: len(cluster.lines(name)) >= len(wanted[name]))  # type: ignore[misc]
        assert cluster.lines(name) == wanted[name]
        assert counts(cluster, name)["sent_at_once"] == 0
    wait_until("told", lambda: [call[4] for call in cluster.nodes["b"].told()] == wanted["c"][-1:])


def test_a_line_too_big_for_a_packet_goes_at_once_in_its_place(cluster: Cluster) -> None:
    node = follower(cluster)
    wanted = ["before", "b" * 10_000, "between", "c" * 70_000, "after"]
    append(cluster, node, wanted)
    shown = [*wanted[:3], f"{'c' * 65536} …[cut 4464 bytes]", "after"]
    wait_until("all lines", lambda: len(cluster.lines(node)) >= len(wanted))
    assert cluster.lines(node) == shown
    assert counts(cluster, node)["sent_at_once"] >= 1


def test_deferred_notifications_reach_every_node_once(cluster: Cluster) -> None:
    for number in range(30):
        cluster.raise_on(cluster.names[number % 3], f"app/later/{number}", "ERROR", "x" * 200)
    wait_until("all delivered", lambda: [row.status for row in cluster.history("later")] == ["delivered"] * 30, 20)
    for name in cluster.names:
        node = cluster.nodes[name]
        wait_until("told", lambda node=node: len(node.told()) >= 30)  # type: ignore[misc]
        assert len({call[0] for call in node.told()}) == len(node.told()) == 30
    attempts = [attempt for row in cluster.history("later") for attempt in row.attempts]
    wait_until(
        "every outcome came back",
        lambda: {one.outcome for row in cluster.history("later") for one in row.attempts} == {"delivered"},
    )
    assert len(attempts) == 90


def test_a_deferred_failure_goes_on_to_the_next_priority(cluster: Cluster) -> None:
    cluster.raise_on("b", "app/chain", "ERROR")
    wait_until("delivered", lambda: [row.status for row in cluster.history("chain")] == ["delivered"])
    (row,) = cluster.history("chain")
    assert [(one.node, one.outcome) for one in row.attempts] == [("a", "failed"), ("c", "delivered")]
    assert "not in notifier.programs" in row.attempts[0].reason


def test_no_answer_in_time_counts_from_the_packet_that_left(tmp_path: Path) -> None:
    with made(tmp_path) as cluster:
        text = cluster.layout.cluster.read_text()
        cluster.layout.cluster.write_text(text.replace("down: 4", "down: 40"))
        cluster.start()
        leader = cluster.await_up(timeout=60).node
        mute = "b" if leader == "a" else "a"
        cluster.signal_group(mute, signal.SIGSTOP)
        cluster.raise_on(leader, f"app/to/{mute}", "ERROR")
        with Stopwatch() as watch:
            wait_until("delivered", lambda: [row.status for row in cluster.history(f"to-{mute}")] == ["delivered"])
        (row,) = cluster.history(f"to-{mute}")
        assert [one.outcome for one in row.attempts] == ["timeout", "delivered"]
        first = row.attempts[0]
        assert first.started_at is not None and first.ended_at is not None
        assert 2.4 <= (first.ended_at - first.started_at) / 1e6 < 3.5 + watch.lost


def test_a_deferred_delivery_too_big_for_a_packet_goes_at_once(cluster: Cluster) -> None:
    cluster.raise_on("b", "app/later/big", "ERROR", "x" * 20_000)
    wait_until("delivered", lambda: [row.status for row in cluster.history("later")] == ["delivered"])
    for name in cluster.names:
        wait_until(f"{name} told", lambda name=name: len(cluster.nodes[name].told()) == 1)  # type: ignore[misc]


def test_a_long_output_is_cut_to_what_rides(cluster: Cluster) -> None:
    program = cluster.nodes["c"].program
    program.write_text(program.read_text() + "seq 1 3000\n")
    cluster.raise_on("b", "app/chain", "ERROR")
    wait_until("delivered", lambda: [row.status for row in cluster.history("chain")] == ["delivered"])
    output = cluster.history("chain")[0].attempts[-1].output
    assert output.startswith("[cut] … ") and output.endswith("\n2999\n3000\n") and len(output) > 3000
    assert counts(cluster, "c")["sent_at_once"] == 0


# --- exactly once, whoever dies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_lines_and_events_are_stored_once_whoever_is_killed(cluster: Cluster, seed: int) -> None:
    wanted: dict[str, list[str]] = {name: [] for name in cluster.names}
    raised: set[str] = set()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.wait(0.05):
            for name in cluster.names:
                lines = [f"{name} {number} {index}" + ("y" * 6000 if number % 17 == 5 else "") for index in range(4)]
                append(cluster, name, lines)
                wanted[name] += lines
                try:
                    defer_event(f"app/{name}/{number}", "OK", socket=cluster.nodes[name].socket, timeout=2)
                    raised.add(f"app/{name}/{number}")
                except RaiseError:
                    pass  # its daemon is dead just now
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        deaths = Deaths(cluster, seed)
        for _ in range(5):
            deaths.one()
    finally:
        stop.set()
        writer.join()
    for name in cluster.names:
        wait_until(f"all lines of {name}", lambda name=name: len(cluster.lines(name)) >= len(wanted[name]), 60)  # type: ignore[misc]
        assert cluster.lines(name) == wanted[name]
    stored = wait_until("all events", lambda: [e for e in events if raised <= {e.event for e in events}]
                        if (events := cluster.events("app/*/*")) else None, 60)  # fmt: skip
    assert all(event.count == 1 for event in stored)
    assert len(stored) == len({event.event for event in stored})
    assert [event for event in cluster.events("monitor/*/streams") if "log" in event.supplement] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_deliveries_happen_once_whoever_is_killed(cluster: Cluster, seed: int) -> None:
    deaths = Deaths(cluster, seed)
    number = 0
    for _ in range(4):
        cluster.await_up(timeout=40)  # else it may be that nobody is left to be told
        for _ in range(5):
            number += 1
            cluster.raise_on(cluster.other_than(), f"app/later/{number}", "ERROR")
        deaths.one()
    cluster.await_up(timeout=40)
    rows = wait_until(
        "every notification has ended",
        lambda: (
            rows
            if (rows := cluster.history("later"))
            and len(rows) == number
            and all(row.status != "pending" and all(one.outcome for one in row.attempts) for row in rows)
            else None
        ),
        60,
    )
    known = cluster.query(lambda found: [row[0] for row in found.execute("SELECT delivery FROM attempts")])
    assert known is not None
    for name in cluster.names:
        told = [call[0] for call in cluster.nodes[name].told()]
        assert len(told) == len(set(told)), "told twice"
        assert set(told) <= set(known)
    assert all(row.status == "delivered" for row in rows if {one.outcome for one in row.attempts} != {"skipped"})


def test_what_was_not_packed_when_its_coordinator_died_is_repeated_by_the_next(tmp_path: Path) -> None:
    """A long period: the deliveries wait in the daemon when its coordinator dies."""
    with made(tmp_path, "2s") as cluster:
        cluster.start()
        leader = cluster.await_up(timeout=60)
        process = cluster.coordinator_process(leader.node)
        assert process is not None
        cluster.raise_on(leader.node, "app/later/1", "ERROR")
        wait_until("the intent is stored", lambda: cluster.history("later"))
        process.kill()
        cluster.await_leader(not_term=leader.term)
        wait_until("delivered", lambda: [row.status for row in cluster.history("later")] == ["delivered"], 30)
        for name in cluster.names:
            wait_until(f"{name} told", lambda name=name: len(cluster.nodes[name].told()) == 1)  # type: ignore[misc]


def test_what_is_beyond_a_rate_is_counted_once_over_a_kill(tmp_path: Path) -> None:
    """The monitor had not saved how far it was when it was killed, and reads again what lay in the spool already."""
    with Cluster(tmp_path / "cluster", names=("a",), logs=False) as cluster:
        node = cluster.nodes["a"]
        rule = f'logs: [{{path: "{node.log}", deferred: true, rate: 1/h, burst: 20}}]\n'
        node.config.write_text(node.config.read_text() + rule)
        cluster.start()
        cluster.await_up()
        positions = node.home / "state" / "logs" / "positions"
        wait_until("the log has been looked at", positions.exists)
        saved = positions.read_bytes()
        append(cluster, "a", [f"{number} {'x' * 90}" for number in range(301)])
        wait_until("all of them are stored or counted", lambda: stored_or_counted(cluster) == 301)
        cluster.kill("a")
        positions.write_bytes(saved)
        cluster.start("a")
        cluster.await_up()
        append(cluster, "a", ["last"])
        wait_until("the last one is stored or counted", lambda: stored_or_counted(cluster) >= 302)
        assert stored_or_counted(cluster) == 302
        assert 20 <= len([line for line in cluster.lines("a") if not line.startswith("[noroshi")]) <= 62


def stored_or_counted(cluster: Cluster) -> int:
    """Lines, and what was held back: told in a line of its own by now, or not yet."""

    def look(connection: Connection) -> tuple[list[str], int]:
        lines = [row.line for row in views.log_after(connection, 0, 1_000_000)]
        return lines, sum(count for (count,) in connection.execute("SELECT lines FROM held_back"))

    lines, waiting = cluster.query(look) or ([], 0)
    told = [int(line.split()[1]) for line in lines if line.startswith("[noroshi: ")]
    return len(lines) - len(told) + sum(told) + waiting


# --- when `deferred` of a rule is changed -------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_a_rule_may_be_changed_while_lines_are_under_way(tmp_path: Path, first: bool) -> None:
    with made(tmp_path, "1s", deferred=("a", "b", "c") if first else ()) as cluster:
        defer_lines(cluster, "a", not first)  # so that both kinds of rule are there
        cluster.start()
        cluster.await_up()
        node = follower(cluster)
        wanted = []
        for turn in range(4):
            defer_lines(cluster, node, first == (turn % 2 == 0))
            cluster.kill(node)
            cluster.start(node)
            wait_until("it follows its log", lambda: cluster.log_process(node), 40)
            for burst in range(5):
                lines = [f"{turn} {burst} {index} {'x' * 400}" for index in range(30)]
                append(cluster, node, lines)
                wanted += lines
                time.sleep(0.2)
        wait_until("all lines", lambda: len(cluster.lines(node)) >= len(wanted), 40)
        assert cluster.lines(node) == wanted
        assert cluster.events("monitor/*/streams") == []


# --- overflow -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", ["flush", "wait"])
def test_more_than_a_packet_holds(tmp_path: Path, overflow: str) -> None:
    with made(tmp_path, f"1s, overflow: {overflow}") as cluster:
        cluster.start()
        cluster.await_up()
        node = follower(cluster)
        began, before = time.monotonic(), counts(cluster, node)["packets"]
        for number in range(60):
            defer_event(f"app/statistics/{number}", "OK", "x" * 250, socket=cluster.nodes[node].socket)
        wait_until("all stored", lambda: len(cluster.events("app/statistics/*")) == 60, 30)
        after, periods = counts(cluster, node)["packets"], time.monotonic() - began
    sent, early = after["sent"] - before["sent"], after["early"] - before["early"]
    if overflow == "flush":
        assert early >= 3, "60 items of some 300 bytes are more than four packets"
        assert sent <= early + periods + 2, "one at each end"
    else:
        assert early == 0
        assert periods > 3, "the rest rides in the next ones"
        assert sent <= periods + 2, "one at each end"


def test_small_packets_carry_all_kinds(tmp_path: Path) -> None:
    """Where little fits, splitting, cutting and going at once meet."""
    with made(tmp_path, "100ms, packet: 700") as cluster:
        cluster.start()
        cluster.await_up()
        node = follower(cluster)
        lines = [f"{number} {'x' * (number * 10)}" for number in range(100)]
        append(cluster, node, lines)
        for number in range(5):
            cluster.raise_on(node, f"app/later/{number}", "ERROR")
            defer_event(f"app/statistics/{number}", "OK", "x" * 100, socket=cluster.nodes[node].socket)
        wait_until("all lines", lambda: len(cluster.lines(node)) >= len(lines), 30)
        assert cluster.lines(node) == lines
        wait_until("delivered", lambda: [row.status for row in cluster.history("later")] == ["delivered"] * 5, 30)
        wait_until("all events", lambda: len(cluster.events("app/statistics/*")) == 5)


# --- the users' data ----------------------------------------------------------------------------------------------


def test_data_put_in_on_one_node_is_taken_out_on_others(cluster: Cluster) -> None:
    at = {name: cluster.nodes[name].socket for name in cluster.names}
    for number in range(50):
        put_data("b", f"{number} {'ü' * 100}", socket=at["a"])
    assert [take_data(10, socket=at["b"]) for _ in range(50)] == [("a", f"{n} {'ü' * 100}") for n in range(50)]
    assert take_data(socket=at["b"]) is None
    put_data("*", "to all", socket=at["c"])
    assert take_data(10, socket=at["a"]) == take_data(10, socket=at["b"]) == ("c", "to all")
    assert take_data(0.5, socket=at["c"]) is None
    put_data("c", "to myself", socket=at["c"])
    assert take_data(10, socket=at["c"]) == ("c", "to myself")
    with pytest.raises(RaiseError, match="no such addressee: 'x'"):
        put_data("x", "lost", socket=at["a"])
    with pytest.raises(RaiseError, match="too big"):
        put_data("b", "x" * 5000, socket=at["a"])


def test_data_waits_for_a_node_that_comes_back_and_a_waiting_take_does_not_hold_up_a_stop(cluster: Cluster) -> None:
    leader = cluster.await_leader().node
    away = cluster.other_than(leader)
    cluster.kill(away)
    put_data(away, "for later", socket=cluster.nodes[leader].socket)
    wait_until("DOWN", lambda: cluster.states().get(f"server/{away}") == "DOWN")
    cluster.start(away)
    cluster.await_up()
    assert take_data(10, socket=cluster.nodes[away].socket) == (leader, "for later")
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(cluster.nodes[away].socket)
        waiting.sendall(b'{"verb": "take", "wait": 60}\n')
        with Stopwatch() as watch:
            assert cluster.stop(away) == 0
            assert watch.seconds < 10
        assert json.loads(waiting.makefile().readline()) == {"ok": True, "from": None, "data": None}
