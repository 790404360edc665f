"""What must not break it: each ends in a clear error that says what to do, nothing lost, nothing crashed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from cluster import Cluster
from waiting import wait_until

from noroshi.node.wire.messages import PROTOCOL, EventBatch, Ping, Report, Request

DEFINITIONS = """
events:
  - name: forbidden
    match: {event: "app/forbidden"}
    notify:
      - {priority: 1, node: a, procedure: process, application: [/bin/date]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("bad") / "cluster"
    with Cluster(root, names=("a", "b"), definitions=DEFINITIONS) as running:
        running.start()
        running.await_up()
        yield running


def _daemon(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "noroshi.node", "node", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def _still_works(cluster: Cluster, name: str) -> None:
    cluster.raise_on("b", f"app/alive/{name}", "OK")
    wait_until("an event raised afterwards is stored", lambda: len(cluster.events(f"app/alive/{name}")) == 1)
    for node in cluster.nodes.values():
        assert node.running


def _ask(endpoint: str, *frames: bytes) -> dict[str, object]:
    context = zmq.Context()
    try:
        request = context.socket(zmq.REQ)
        request.setsockopt(zmq.LINGER, 0)
        request.connect(endpoint)
        request.send_multipart(frames)
        assert request.poll(20_000), "no answer"
        answer = msgspec.msgpack.decode(request.recv())
        request.close()
        assert isinstance(answer, dict)
        return answer
    finally:
        context.destroy(linger=0)


def _coordinator(cluster: Cluster) -> str:
    return cluster.await_leader().endpoint


# --- configuration ------------------------------------------------------------------------------------------------


def test_every_mistake_of_a_node_file_is_named_with_its_place(tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("node: a\nshared: /tmp\nstaet: /tmp\nrun: [1]\nlogs: [{path: '/x', select: ['(']}]\n")
    ended = _daemon(config)
    assert ended.returncode == 1
    assert f"{config}:3:1" in ended.stderr
    assert "did you mean" in ended.stderr
    assert "state" in ended.stderr
    assert f"{config}:4:" in ended.stderr
    assert f"{config}:5:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_cluster_file_without_this_node_is_refused(tmp_path: Path) -> None:
    with Cluster(tmp_path / "c", names=("a",)) as cluster:
        config = cluster.nodes["a"].config
        config.write_text(config.read_text().replace("node: a", "node: z"))
        ended = _daemon(config)
    assert ended.returncode == 1
    assert "z" in ended.stderr
    assert "cluster.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_shared_directory_is_named(tmp_path: Path) -> None:
    with Cluster(tmp_path / "c", names=("a",)) as cluster:
        cluster.layout.shared.rename(tmp_path / "elsewhere")
        ended = _daemon(cluster.nodes["a"].config)
    assert ended.returncode == 1
    assert str(cluster.layout.cluster) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_daemons_of_one_node_are_not_possible(cluster: Cluster) -> None:
    ended = _daemon(cluster.nodes["a"].config)
    assert ended.returncode == 1
    assert "a daemon of node a runs already" in ended.stderr
    assert "stop it first" in ended.stderr
    _still_works(cluster, "two-daemons")


@pytest.mark.parametrize("offset", [0, 1])
def test_a_port_in_use_is_named(tmp_path: Path, offset: int) -> None:
    with Cluster(tmp_path / "c", names=("a",)) as cluster, socket.socket() as taken:
        taken.bind(("127.0.0.1", cluster.ports["a"] + offset))
        taken.listen()
        ended = _daemon(cluster.nodes["a"].config)
    assert ended.returncode == 1
    assert str(cluster.ports["a"] + offset) in ended.stderr
    assert "cluster.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_coordinators_port_in_use_stops_no_daemon_and_leads_once_free(tmp_path: Path) -> None:
    with Cluster(tmp_path / "c", names=("a",)) as cluster:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", cluster.ports["a"] + 2))
            taken.listen()
            cluster.start()
            wait_until("said", lambda: "cannot listen as the coordinator" in cluster.nodes["a"].stderr, 20)
            cluster.raise_on("a", "app/kept", "OK")
        cluster.await_leader()
        wait_until("what was raised meanwhile is stored", lambda: len(cluster.events("app/kept")) == 1)


def test_a_shared_directory_that_cannot_be_written_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    with Cluster(tmp_path / "c", names=("a",)) as cluster:
        shared = cluster.layout.shared
        mounted = subprocess.run(["mount", "--bind", "-r", str(shared), str(shared)], capture_output=True).returncode
        if mounted:
            pytest.skip("cannot mount: not root")
        try:
            cluster.start()
            wait_until("said", lambda: "Read-only file system" in cluster.nodes["a"].stderr, 20)
            cluster.raise_on("a", "app/kept", "OK")
            assert "Traceback" not in cluster.nodes["a"].stderr
        finally:
            subprocess.run(["umount", str(shared)], check=True)
        cluster.await_leader()
        wait_until("what was raised meanwhile is stored", lambda: len(cluster.events("app/kept")) == 1)


def test_seed_definitions_with_mistakes_are_an_event_and_stop_nothing(tmp_path: Path) -> None:
    wrong = "events:\n  - {name: x, match: {event: 'a/b'}, notify: [{priority: 1, node: zz, procedure: proces}]}\n"
    with Cluster(tmp_path / "c", names=("a",), definitions=wrong) as cluster:
        cluster.start()
        wait_until("an event", lambda: cluster.states().get("monitor/a/definitions") == "ERROR", 20)
        assert "definitions.yaml:2" in cluster.nodes["a"].stderr
        assert "zz" in cluster.nodes["a"].stderr


# --- the wire -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "junk",
    [b"", b"\xc1", b"GET / HTTP/1.1\r\n\r\n", b"\x91" * 100_000, msgspec.msgpack.encode({"protocol": "one"})],
)
def test_junk_for_the_coordinator_is_answered_with_an_error(cluster: Cluster, junk: bytes) -> None:
    answer = _ask(_coordinator(cluster), junk)
    assert answer["type"] == "refused"
    assert answer["code"] == "bad-message"


def test_a_truncated_request_is_answered_with_an_error(cluster: Cluster) -> None:
    whole = msgspec.msgpack.encode(Request(PROTOCOL, "test", "a", b"12345678", Ping()))
    assert _ask(_coordinator(cluster), whole[:-3])["code"] == "bad-message"
    assert _ask(_coordinator(cluster), whole)["type"] == "acknowledged"


def test_another_cluster_protocol_name_or_incarnation_is_refused(cluster: Cluster) -> None:
    batch = EventBatch(bytes(16), 1, 1, [Report(1, "app/intruder", "OK", "", 1)])

    def code(*head: object) -> object:
        return _ask(_coordinator(cluster), msgspec.msgpack.encode(Request(*head, batch)))["code"]  # type: ignore[arg-type]

    assert code(PROTOCOL + 1, "test", "a", bytes(8)) == "protocol"
    assert code(PROTOCOL, "other", "a", bytes(8)) == "cluster"
    assert code(PROTOCOL, "test", "stranger", bytes(8)) == "identity"
    assert code(PROTOCOL, "test", "a", bytes(8)) == "identity"
    assert cluster.events("app/intruder") == []


def test_an_oversized_message_closes_the_connection_and_nothing_else(cluster: Cluster) -> None:
    context = zmq.Context()
    try:
        for offset in (1, 2):
            sender = context.socket(zmq.DEALER)
            sender.setsockopt(zmq.LINGER, 0)
            sender.connect(f"tcp://127.0.0.1:{cluster.ports['a'] + offset}")
            sender.send(bytes(9 * 1024 * 1024))
            assert not sender.poll(300)
            sender.close()
    finally:
        context.destroy(linger=0)
    _still_works(cluster, "oversized")


def test_raw_bytes_on_every_port_change_nothing(cluster: Cluster) -> None:
    for offset in (0, 1, 2):
        for node in cluster.names:
            try:
                with socket.create_connection(("127.0.0.1", cluster.ports[node] + offset), timeout=20) as stranger:
                    stranger.sendall(os.urandom(4096))
            except ConnectionError:
                continue  # only the leader listens on port+2; a reset by the other side is an answer too
    _still_works(cluster, "raw")


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x05junk!", b"\x00\x00\x00\x01\xc1"])
def test_junk_on_the_coordinators_link_is_survived(cluster: Cluster, junk: bytes) -> None:
    leader = cluster.await_leader()
    other = cluster.other_than(leader.node)
    path = cluster.nodes[other].run / "coordinator.sock"
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        link.sendall(junk)
        link.settimeout(20)
        while link.recv(65536):
            continue
    _still_works(cluster, "link" + junk.hex())


def test_hostile_text_is_stored_as_it_is_and_shown_harmless(cluster: Cluster) -> None:
    hostile = "[red]\x1b]0;owned\x07\x1b[2J‮[/nonsense]"
    cluster.raise_on("a", "app/hostile", "ERROR", hostile)
    wait_until("stored", lambda: cluster.events("app/hostile"))
    assert cluster.events("app/hostile")[0].supplement == hostile
    for words in (["status"], ["events"]):
        shown = subprocess.run(
            [sys.executable, "-m", "noroshi.console.main", *words, "--config", str(cluster.nodes["b"].config)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "app/hostile" in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "‮" not in shown


def test_a_program_that_is_not_allowed_is_a_failed_attempt_with_that_reason(cluster: Cluster) -> None:
    cluster.raise_on("b", "app/forbidden", "ERROR")
    wait_until("failed", lambda: [row.status for row in cluster.history("forbidden")] == ["failed"])
    (attempt,) = cluster.history("forbidden")[0].attempts
    assert "/bin/date is not in notifier.programs of node a" in attempt.reason
    wait_until("the failure is an event", lambda: cluster.states().get("notification-failure") == "ERROR")


def test_lines_of_any_kind_are_stored(cluster: Cluster) -> None:
    long = "x" * 1_048_576
    with cluster.nodes["b"].log.open("ab") as log:
        log.write(long.encode() + b"\n")
        log.write(b"caf\xe9 \xff\xfe\n")
        log.write(b"\x1b[31mred\x1b[0m \x00nul\n")
        log.write("naïve ‮ 雪\n".encode())
    wait_until("four lines", lambda: len(cluster.lines("b")) == 4, 20)
    first, second, third, fourth = cluster.lines("b")
    assert first.startswith("x" * 1000)
    assert "cut" in first[-40:]
    assert second == "caf� ��"
    assert third.startswith("\x1b[31mred")
    assert fourth == "naïve ‮ 雪"
    _still_works(cluster, "lines")


def test_the_agents_socket_answers_junk_and_goes_on(cluster: Cluster) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(cluster.nodes["a"].socket)
        agent.sendall(b'junk\n[]\n{"event": 1}\n{"event": "app/after-junk", "state": "OK"}\n')
        answers = agent.makefile("rb")
        replies = [json.loads(answers.readline()) for _ in range(4)]
    assert [reply["ok"] for reply in replies] == [False, False, False, True]
    assert all(reply["error"] for reply in replies[:3])
    wait_until("the good one is stored", lambda: len(cluster.events("app/after-junk")) == 1)
