"""What the doctor makes of answers: clocks within a bound, configurations, one-way paths, strangers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec
import pytest

from noroshi.console.doctor import peers
from noroshi.console.doctor.check import Verdict
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.panel import Heading, Junk, Reply
from noroshi.node.wire.probing import Facts, Failed, Heard
from noroshi.store.config import Cluster, Heartbeat, NodeAddress

NAMES = ("a", "b", "c")
CLUSTER = Cluster("demo", tuple(NodeAddress(name, "127.0.0.1", 7400 + 10 * at) for at, name in enumerate(NAMES)))


def facts(node: str, deaf_to: str = "", state: str = "DOWN", digest: str = "d1", now: int = 0, keys: str = "") -> Facts:
    heard = [
        Heard(peer, state if peer == deaf_to else "UP", peer.encode() * 8, 9, 12.0) for peer in NAMES if peer != node
    ]
    return Facts(node, node.encode() * 8, "0.1.0", 1, "demo", digest, keys, now, heard, "a", 3)


@dataclass
class Around:
    """Three nodes that are as they should be, but for what a test changes."""

    answers: dict[str, object] = field(default_factory=lambda: {name: facts(name) for name in NAMES})
    packets: dict[str, Heading | Junk] = field(
        default_factory=lambda: {name: Heading(1, "demo", name, name.encode() * 8, 7) for name in NAMES}
    )

    @property
    def seen(self) -> peers.Seen:
        replies = {name: Reply(answer, 0, 0.001) for name, answer in self.answers.items()}  # type: ignore[arg-type]
        return peers.Seen(CLUSTER, "a", replies, self.packets, 2.0)

    def check(self, subject: str) -> tuple[Verdict, str, str]:
        found = {check.subject: check for check in peers.checks(self.seen)}[subject]
        return found.verdict, found.measured, found.next


def test_all_is_well() -> None:
    assert {check.verdict for check in peers.checks(Around().seen)} == {Verdict.OK}


def test_a_node_that_is_gone_and_one_that_said_goodbye() -> None:
    around = Around(answers={"a": facts("a", deaf_to="b", state="STOPPED")})
    around.packets = {"a": around.packets["a"]}
    verdict, what, hint = around.check("node b")
    assert (verdict, "a heard its goodbye" in what) == (Verdict.WARNING, True)
    verdict, what, hint = around.check("node c")
    assert verdict is Verdict.FAILED
    assert "127.0.0.1, ports 7420-7422" in what
    assert "noroshi node" in hint
    assert around.check("packets between nodes")[0] is Verdict.NOT_MEASURED


def test_half_of_a_node_names_the_port_that_is_closed() -> None:
    around = Around()
    del around.answers["b"], around.packets["c"]
    assert "firewall on port 7411" in around.check("node b")[2]
    verdict, what, _ = around.check("node c")
    assert verdict is Verdict.FAILED
    assert "no packet from tcp://127.0.0.1:7420" in what


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Junk("not MessagePack"), "no answer"),
        (Failed("refused", "node b speaks 2"), "speaks 2"),
        (facts("c"), "answers as node 'c'"),
        (Failed("disk", "?"), "refused"),
    ],
)
def test_who_is_not_who_should_be_there_is_said(answer: object, word: str) -> None:
    around = Around()
    around.answers["b"] = answer
    verdict, what, hint = around.check("node b")
    assert verdict is Verdict.FAILED
    assert word in what
    assert hint


def test_packets_of_a_stranger_are_said() -> None:
    around = Around()
    around.packets["b"] = Heading(1, "other", "b", b"b" * 8, 1)
    around.packets["c"] = Junk("Expected array")
    assert "cluster 'other'" in around.check("node b")[1]
    assert "sends no packets of Noroshi" in around.check("node c")[1]
    around.packets["b"] = Heading(1, "demo", "b", b"twin" * 2, 1)
    assert around.check("node b")[0] is Verdict.WARNING


def test_a_path_that_is_broken_one_way_is_named_with_its_direction() -> None:
    around = Around()
    around.answers["b"] = facts("b", deaf_to="c")
    verdict, what, _ = around.check("packets between nodes")
    assert (verdict, what) == (Verdict.FAILED, "b does not hear c (DOWN, silent for 12.0 s)")
    around.answers["b"] = facts("b", deaf_to="c", state="SUSPECT")
    assert around.check("packets between nodes")[0] is Verdict.WARNING


def test_a_node_that_hears_an_earlier_start_is_told_apart_from_one_that_hears_nothing() -> None:
    around = Around()
    around.answers["a"] = msgspec.structs.replace(facts("a"), incarnation=b"x")
    around.packets["a"] = Heading(1, "demo", "a", b"x", 7)
    verdict, what, _ = around.check("packets between nodes")
    assert verdict is Verdict.FAILED
    assert what.startswith("b does not hear a (UP, silent for 12.0 s, an earlier start of it); c does not")


def test_packets_that_come_more_seldom_than_the_doctor_listens_are_not_missed() -> None:
    """Every 30 s; the nodes' own word on them is a check of its own."""
    around = Around(packets={})
    seldom = replace(around.seen, cluster=replace(CLUSTER, heartbeat=Heartbeat(interval=30.0)), listened=10.0)
    found = {check.subject: check for check in peers.checks(seldom)}
    assert found["node b"].verdict is Verdict.NOT_MEASURED
    assert "packets come every 30 s, and the doctor listened for 10.0 s" in found["node b"].measured
    assert found["packets between nodes"].verdict is Verdict.OK
    often = replace(around.seen, listened=10.0)
    assert {check.subject: check for check in peers.checks(often)}["node b"].verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("now", "took", "verdict", "skew"),
    [
        (1_050_000, 0.1, Verdict.OK, 0.0),
        (1_550_000, 0.1, Verdict.OK, 0.5),
        (1_599_999, 0.1, Verdict.OK, 0.549999),
        (1_700_000, 0.1, Verdict.WARNING, 0.65),
        (400_000, 0.1, Verdict.WARNING, -0.65),
    ],
)
def test_a_clock_is_judged_beyond_what_the_round_trip_leaves_open(
    now: int, took: float, verdict: Verdict, skew: float
) -> None:
    slow = Reply(facts("b", now=9_000_000), 1_000_000, 4.0)
    check = peers.clock("b", [slow, Reply(facts("b", now=now), 1_000_000, took)])
    assert check.verdict is verdict
    assert check.figures == {"skew": pytest.approx(skew), "bound": pytest.approx(took / 2)}


def test_a_clock_that_cannot_be_asked_is_not_measured() -> None:
    assert peers.clock("b", []).verdict is Verdict.NOT_MEASURED


def test_nodes_that_go_by_another_file_are_named() -> None:
    around = Around()
    assert peers.configuration(around.seen, "d1").verdict is Verdict.OK
    assert peers.configuration(around.seen, None).verdict is Verdict.OK
    around.answers["c"] = facts("c", digest="d2")
    check = peers.configuration(around.seen, "d1")
    assert (check.verdict, check.figures) == (Verdict.FAILED, {"nodes": ["c"]})
    assert "restart" in check.next


def test_no_security_is_said_plainly() -> None:
    check = peers.keys(Around().seen, None)
    assert check.verdict is Verdict.WARNING
    assert "security: none" in check.measured


def test_keys_that_are_missing_or_not_known_everywhere() -> None:
    ring = Keyring("a", b"A", b"s", {"a": b"A", "b": b"B", "c": b"C"}, {})
    around = Around(answers={name: facts(name, keys=ring.digest) for name in NAMES})
    assert peers.keys(around.seen, ring).verdict is Verdict.OK
    around.answers["b"] = facts("b", keys="older")
    check = peers.keys(around.seen, ring)
    assert (check.verdict, check.figures) == (Verdict.FAILED, {"nodes": ["b"]})
    check = peers.keys(around.seen, Keyring("a", b"A", b"s", {"a": b"A", "b": b"B"}, {}))
    assert (check.verdict, check.measured) == (Verdict.FAILED, "no public key of c")
