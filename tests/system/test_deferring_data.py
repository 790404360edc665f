"""The users' own data in the packets (spec 5): in order and once, bounded; the packets between two nodes played."""

from __future__ import annotations

import json

import pytest
from deferstand import Packets, run
from waiting import eventually

from noroshi.node.core.membership import PeerState
from noroshi.node.core.packet import TO_ALL
from noroshi.node.daemon.deferring.data import INCOMING_MOST, OUTGOING_MOST, Data, Taking
from noroshi.node.wire.raising import BadRequest


class Pair:
    """Two nodes' data, and packets between them."""

    def __init__(self) -> None:
        self.packets = {name: Packets(name, 4096) for name in ("db1", "db2")}
        self.data = {name: Data(("db1", "db2"), packets) for name, packets in self.packets.items()}

    def ride(self, sender: str, *, lose: bool = False) -> None:
        receiver = "db2" if sender == "db1" else "db1"
        packed = self.packets[sender].send()
        if not lose:
            for run in packed.carried:
                assert run.to in (receiver, TO_ALL)
                self.data[receiver].heard(sender, run)
        told, self.packets[receiver].told = self.packets[receiver].told, {}
        done = self.packets[sender].acknowledged(told, receiver)
        self.data[sender].acknowledged({**done, **packed.finished})

    def put(self, node: str, to: str, data: str) -> dict[str, object]:
        return dict(json.loads(self.data[node].put({"to": to, "data": data}).line()))

    def take(self, node: str) -> tuple[object, object]:
        taking = self.data[node].take({})
        assert taking.decided
        answer = json.loads(taking.line())
        assert answer["ok"]
        return answer["from"], answer["data"]


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_data_arrives_once_in_order_over_lost_packets(pair: Pair) -> None:
    wanted = [f"{number} ü {'x' * (number % 900)}" for number in range(60)]
    for text in wanted:
        assert pair.put("db1", "db2", text) == {"ok": True}
    for number in range(60):
        pair.ride("db1", lose=number % 3 == 1)
    assert [pair.take("db2") for _ in wanted] == [("db1", text) for text in wanted]
    assert pair.take("db2") == (None, None)
    assert pair.data["db1"].waiting == 0


def test_data_for_all_rides_in_three_packets(pair: Pair) -> None:
    assert pair.put("db1", "*", "hear") == {"ok": True}
    pair.ride("db1", lose=True)
    pair.ride("db1")
    pair.ride("db1")
    pair.ride("db1")
    assert pair.take("db2") == ("db1", "hear")
    assert pair.take("db2") == (None, None)
    assert pair.data["db1"].waiting == 0


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"to": "db9", "data": "x"}, "no such addressee: 'db9'"),
        ({"data": "x"}, "no such addressee: None"),
        ({"to": "db2", "data": 7}, "data must be text"),
        ({"to": "db2"}, "data must be text"),
        ({"to": "db2", "data": "x", "urgent": True}, "unknown field 'urgent'"),
        ({"to": "db2", "data": "x" * 5000}, "too big: 5000 bytes"),
        ({"to": "db2", "data": "\ud800"}, "no valid Unicode"),
    ],
)
def test_a_put_that_cannot_be(pair: Pair, request_: dict[str, object], error: str) -> None:
    with pytest.raises(BadRequest, match=error):
        pair.data["db1"].put(request_)


@pytest.mark.parametrize("wait", [-1, "long", True, 1e9, float("nan")])
def test_a_take_that_cannot_be(pair: Pair, wait: object) -> None:
    with pytest.raises(BadRequest, match="wait must be a number of seconds"):
        pair.data["db1"].take({"wait": wait})


def test_a_full_buffer_refuses_and_drains(pair: Pair) -> None:
    text = "x" * 3000
    put = 0
    while pair.put("db1", "db2", text)["ok"]:
        put += 1
    assert put == OUTGOING_MOST // 3000
    refused = pair.put("db1", "db2", text)
    assert "too much waits for db2" in str(refused["error"])
    assert pair.put("db1", "*", text)["ok"], "each addressee has its own"
    for _ in range(3 * put):
        pair.ride("db1")
    assert pair.put("db1", "db2", text)["ok"]


def test_what_nobody_takes_out_waits_at_its_sender_and_what_was_for_all_is_dropped(pair: Pair) -> None:
    text = "x" * 3000
    for _ in range(2 * INCOMING_MOST // 3000):
        pair.put("db1", "db2", text)
        pair.ride("db1")
    assert pair.data["db1"].waiting > 0
    for _ in range(10):
        pair.put("db1", "*", text)
        for _ in range(6):
            pair.ride("db1")
    assert pair.data["db2"].dropped > 0
    taken = 0
    while pair.take("db2") != (None, None):
        taken += 1
        for _ in range(3):
            pair.ride("db1")
    assert taken * 3000 > INCOMING_MOST
    assert pair.data["db1"].waiting == 0


def test_nothing_is_packed_for_a_node_that_is_down(pair: Pair) -> None:
    pair.put("db1", "db2", "x")
    pair.data["db1"].changed("db2", PeerState.DOWN)
    assert pair.packets["db1"].send().carried == ()
    pair.put("db1", "db2", "y")
    pair.data["db1"].changed("db2", PeerState.UP)
    pair.ride("db1")
    assert [pair.take("db2"), pair.take("db2")] == [("db1", "x"), ("db1", "y")]


class Taker:
    """A client of the local socket that waits for one answer, as `daemon.lines.Client` does."""

    def __init__(self, data: Data, wait: float) -> None:
        self.said: object = None
        self.taking: Taking = data.take({"wait": wait})
        if not self.taking.decided:
            self.taking.call(self.work)
        self.work()

    def work(self) -> None:
        if self.said is None and self.taking.decided:
            self.said = json.loads(self.taking.line())["data"]


def test_takers_wait_in_turn_and_one_that_went_away_takes_nothing(pair: Pair) -> None:
    async def work() -> None:
        first, second = Taker(pair.data["db2"], 30), Taker(pair.data["db2"], 30)
        gone = pair.data["db2"].take({"wait": 30})
        gone.call(lambda: None)  # its connection has been closed
        third = Taker(pair.data["db2"], 0.05)
        for text in ("one", "two"):
            pair.put("db1", "db2", text)
        pair.ride("db1")
        assert (first.said, second.said, third.said) == ("one", "two", None)
        await eventually("the third waited in vain", lambda: third.taking.decided)
        pair.put("db1", "db2", "three")
        pair.ride("db1")
        assert pair.take("db2") == ("db1", "three")
        fourth = Taker(pair.data["db2"], 30)
        pair.data["db2"].close()
        assert fourth.taking.decided and fourth.said is None
        assert pair.take("db2") == (None, None)

    run(work)
