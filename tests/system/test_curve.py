"""`security: curve`: a whole cluster behind keys, and everybody who does not belong outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from cluster import Cluster
from commands import noroshi
from waiting import wait_until

from noroshi.node.wire import sockets
from noroshi.node.wire.keyring import Keyring, keyring_of, new_pair
from noroshi.node.wire.messages import PROTOCOL, EventBatch, Ping, Refused, Reply, Report, Request
from noroshi.node.wire.requests import ask
from noroshi.store.clock import now_us
from noroshi.store.config import load_cluster, load_node
from noroshi.store.errors import NoroshiError

pytestmark = pytest.mark.slow

DEFINITIONS = """
events:
  - name: trouble
    match: {event: "app/**", state: ERROR}
    notify:
      - {priority: 1, node: b, procedure: process, application: ["{b}", one]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = Path(tmp_path_factory.mktemp("curve")) / "c"
    with Cluster(root, definitions=DEFINITIONS, cluster_extra="keys: keys\n") as running:
        said = [noroshi(running, name, "keygen") for name in running.names]
        assert "still without keys: b, c" in said[0]
        assert "set `security: curve` in cluster.yaml" in said[2]
        file = running.layout.cluster
        file.write_text(f"security: curve\n{file.read_text()}")
        running.start()
        running.await_up()
        yield running


def ring(cluster: Cluster, name: str) -> Keyring:
    found = keyring_of(load_node(cluster.nodes[name].config), load_cluster(cluster.layout.cluster))
    assert found is not None
    return found


def stranger(cluster: Cluster) -> Keyring:
    """Somebody who has read all there is to read on the shared disk and made keys of his own."""
    mine, (public, secret) = ring(cluster, "a"), new_pair()
    return Keyring("a", public, secret, mine.known, mine.endpoints)


def request(body: object, node: str = "a", incarnation: bytes = b"") -> Request:
    return Request(PROTOCOL, "test", node, incarnation, body)  # type: ignore[arg-type]


def test_everything_works_behind_keys(cluster: Cluster) -> None:
    cluster.raise_on("c", "app/orders", "ERROR", "behind keys")
    wait_until("b is told", cluster.nodes["b"].told)
    with cluster.nodes["a"].log.open("a") as log:
        log.write("a line\n")
    wait_until("the line", lambda: cluster.lines("a") == ["a line"])
    assert "acknowledged by" in noroshi(cluster, "c", "ack", "app/orders", "--comment", "mine")
    noroshi(cluster, "b", "backup", str(cluster.root / "backup.db"))
    old = cluster.await_leader()
    cluster.kill(old.node)
    cluster.raise_on(cluster.other_than(old.node), "app/meanwhile", "OK")
    new = cluster.await_leader(not_term=old.term)
    assert (new.node != old.node, new.term) == (True, old.term + 1)
    wait_until("DOWN", lambda: cluster.node_states()[old.node] == "DOWN")
    wait_until("stored once", lambda: [event.count for event in cluster.events("app/meanwhile")] == [1])
    cluster.start(old.node)
    cluster.await_up()
    cluster.raise_on(old.node, "app/again", "ERROR")
    wait_until("told by the next leader", lambda: cluster.nodes["b"].told()[-1][1] == "app/again")


def test_a_doctor_of_the_cluster_gets_in(cluster: Cluster) -> None:
    cluster.await_up()
    said = noroshi(cluster, "a", "doctor")
    assert "security: curve, a key for each of 3 nodes" in said
    assert "each of 3 nodes that answer hears every other" in said
    assert "answered at" in said


@pytest.mark.parametrize("keys", ["none", "unknown"])
def test_a_stranger_is_answered_nothing_and_hears_nothing(cluster: Cluster, keys: str) -> None:
    his = stranger(cluster) if keys == "unknown" else None
    leader = cluster.await_leader()
    for endpoint in (leader.endpoint, load_cluster(cluster.layout.cluster).node("b").notifier):
        with pytest.raises(NoroshiError, match="no answer"):
            ask(endpoint, request(Ping()), 1.0, his)
    with zmq.Context() as context, sockets.subscriber(context, _packets(cluster, "b"), his) as heard:
        assert not heard.poll(1500), "packets go out five times a second"
    with zmq.Context() as context, sockets.subscriber(context, _packets(cluster, "b"), ring(cluster, "a")) as heard:
        assert heard.poll(20_000)


def _packets(cluster: Cluster, node: str) -> str:
    return load_cluster(cluster.layout.cluster).node(node).packets


def test_a_key_that_is_no_nodes_is_named_in_the_log(cluster: Cluster) -> None:
    leader = cluster.await_leader()
    with pytest.raises(NoroshiError):
        ask(leader.endpoint, request(Ping()), 1.0, stranger(cluster))
    wait_until("named", lambda: "its key is no node's of this cluster" in cluster.nodes[leader.node].stderr)


def test_one_node_cannot_speak_for_another(cluster: Cluster) -> None:
    leader = cluster.await_leader()
    batch = EventBatch(b"s" * 16, 1, 1, [Report(1, "app/forged", "ERROR", "", now_us())])
    reply: Reply = ask(leader.endpoint, request(batch, node="b"), 20.0, ring(cluster, "a"))
    assert isinstance(reply, Refused)
    assert (reply.code, reply.message) == ("identity", "the key of a speaks for b")
    assert cluster.events("app/forged") == []
    assert not isinstance(ask(leader.endpoint, request(Ping(), node="a"), 20.0, ring(cluster, "a")), Refused)


def test_a_host_with_a_nodes_name_and_address_but_not_its_key_is_not_believed(cluster: Cluster) -> None:
    """The node is stopped; on its port somebody else sends packets. The others go on taking it for stopped."""
    name = cluster.other_than(cluster.await_leader().node)
    packet = _a_packet_of(cluster, name)
    cluster.stop(name)
    wait_until("STOPPED", lambda: cluster.node_states()[name] == "STOPPED")
    impostor = stranger(cluster)
    with zmq.Context() as context, sockets.publisher(context, _packets(cluster, name)) as clear:
        _send_for_a_while(clear, packet)
    with zmq.Context() as context, sockets.publisher(context, _packets(cluster, name), impostor) as forged:
        _send_for_a_while(forged, packet)
    assert cluster.node_states()[name] == "STOPPED"
    cluster.start(name)
    cluster.await_up()


def _a_packet_of(cluster: Cluster, node: str) -> list[bytes]:
    other = cluster.other_than(node)
    with zmq.Context() as context, sockets.subscriber(context, _packets(cluster, node), ring(cluster, other)) as heard:
        assert heard.poll(20_000)
        return heard.recv_multipart()


def _send_for_a_while(socket: zmq.Socket[bytes], packet: list[bytes]) -> None:
    """Ten periods: long enough to be heard by whoever would listen."""
    for _ in range(10):
        socket.send_multipart(packet, zmq.NOBLOCK)
        socket.poll(200, zmq.POLLIN)


def test_a_daemon_without_its_key_or_with_an_open_one_does_not_start(cluster: Cluster) -> None:
    name = cluster.other_than(cluster.await_leader().node)
    cluster.stop(name)
    secret = load_node(cluster.nodes[name].config).state / "curve.secret"
    try:
        secret.chmod(0o644)
        assert "others may read it" in _refused_start(cluster, name)
        secret.rename(secret.with_suffix(".away"))
        assert "`noroshi keygen` on that node makes one" in _refused_start(cluster, name)
        secret.with_suffix(".away").rename(secret)
    finally:
        secret.chmod(0o600)
    text = secret.read_text().splitlines()[-1]
    assert all(text not in node.stderr for node in cluster.nodes.values())
    cluster.start(name)
    cluster.await_up()


def _refused_start(cluster: Cluster, name: str) -> str:
    """What a daemon says that ends at once."""
    daemon = cluster.start(name).nodes[name].daemon
    assert daemon is not None
    assert daemon.wait(40) == 1
    return cluster.nodes[name].stderr


def test_keys_are_replaced_only_when_that_is_meant(cluster: Cluster) -> None:
    before = (load_node(cluster.nodes["a"].config).state / "curve.secret").read_bytes()
    assert "has keys already" in noroshi(cluster, "a", "keygen", status=1)
    assert (load_node(cluster.nodes["a"].config).state / "curve.secret").read_bytes() == before


def test_check_finds_what_is_wrong_with_the_keys(cluster: Cluster) -> None:
    secret = load_node(cluster.nodes["a"].config).state / "curve.secret"
    noroshi(cluster, "a", "check")
    secret.chmod(0o640)
    try:
        assert "others may read it" in noroshi(cluster, "a", "check", status=1)
    finally:
        secret.chmod(0o600)
