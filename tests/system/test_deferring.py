"""What waits on a node for its packets: real spools and a real packer, the coordinator and the sockets played."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio
from test_packets import eventually

from noroshi.node.core.batches import read
from noroshi.node.core.membership import PeerState
from noroshi.node.core.packet import TO_ALL, Header, Kind, Packed, Packer, Run
from noroshi.node.core.receiver import take, take_part
from noroshi.node.daemon.deferring.at_once import AtOnce, asker
from noroshi.node.daemon.deferring.carrier import Carrier
from noroshi.node.daemon.deferring.data import INCOMING_MOST, OUTGOING_MOST, Data, Taking
from noroshi.node.daemon.deferring.lines import BACKLOG_MOST, Lines
from noroshi.node.daemon.deferring.outbox import Outbox
from noroshi.node.daemon.segments import SEGMENT_SIZE
from noroshi.node.daemon.spool import Limits, Loss, Spool
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import (
    PROTOCOL,
    Acknowledged,
    Deliver,
    LineBatch,
    LogPart,
    Refused,
    Reply,
    RequestBody,
)
from noroshi.node.wire.raising import BadRequest
from noroshi.store.config import Heartbeat

FILE = b"stream-of-a-file"


class Packets:
    """The packer of one node, whose packets the test sends; acknowledgements of others' streams are collected."""

    def __init__(self, node: str = "db1", packet: int = 1024) -> None:
        self.node, self.sent, self.heard = node, 0, 0
        self.told: dict[bytes, int] = {}
        self.packer = Packer(self._header(2**63 - 1), 8, Heartbeat(packet=packet, overflow="wait"))
        self.packer.follow("leader")

    def _header(self, sequence: int) -> Header:
        return Header(PROTOCOL, "c", self.node, bytes(8), sequence, 1, "leader", 2**63 - 1, "tcp://h:1", 1, b"\0")

    def poke(self) -> None:
        pass

    def acknowledge(self, positions: Mapping[bytes, int]) -> None:
        self.told.update(positions)

    def send(self) -> Packed:
        self.sent += 1
        return self.packer.pack(self._header(self.sent), float(self.sent))

    def acknowledged(self, positions: Mapping[bytes, int], sender: str, *, leads: bool = False) -> dict[bytes, int]:
        return self.packer.acknowledged(positions, sender, leads=leads, now=float(self.sent))


class Shelf:
    """A coordinator's memory: positions by stream, the lines that were stored."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lost = self.held = 0
        self.positions: dict[bytes, int] = {}
        self.requests: list[LineBatch] = []
        self.answer: Callable[[LineBatch], Reply | None] | None = None

    def take(self, batch: LineBatch) -> int:
        last = self.positions.get(batch.stream, batch.oldest - 1)
        found = take(batch.first, batch.oldest, len(batch.parts), last)
        if found is None:
            return last
        for part in batch.parts[found.skip :]:
            self._part(part)
        self.positions[batch.stream] = found.position
        return found.position

    def _part(self, part: LogPart) -> None:
        found = take_part(part.start, part.end, self.positions.get(part.stream), part.ends)
        self.lost += found.lost
        self.positions[part.stream] = found.position
        if found.taken:
            self.lines += part.lines[found.skip :]
            self.held += part.held.lines if part.held is not None else 0

    def heard(self, runs: Iterable[Run]) -> dict[bytes, int]:
        taken = {}
        for run in runs:
            for batch in read(run).batches:
                assert isinstance(batch, LineBatch)
                taken[run.stream] = self.take(batch)
        return taken

    async def ask(self, endpoint: str, body: RequestBody) -> Reply | None:
        assert isinstance(body, LineBatch)
        self.requests.append(body)
        reply = None if self.answer is None else self.answer(body)
        return reply or Acknowledged(1, {body.stream: self.take(body)})


class Stand:
    """The lines of one node and all around them."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.shelf = directory, Shelf()
        self.packets = Packets()

    async def start(self, limit: int = 64 * SEGMENT_SIZE, on_loss: Callable[[Loss], None] = lambda loss: None) -> Stand:
        self.spool = await Spool.open(self.directory / "spool", limits=Limits(limit), on_loss=on_loss)
        self.packets = Packets()
        self.at_once = AtOnce(self.spool, self.shelf.ask, lambda positions: self.lines.acknowledged(positions))
        self.lines = Lines(self.spool, self.packets, self.at_once)
        await self.lines.recall()
        self.task = asyncio.create_task(self.at_once.run())
        return self

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.spool.close()

    def ride(self, *, lose: bool = False) -> None:
        """One packet to the coordinator, and its acknowledgement."""
        packed = self.packets.send()
        if not lose:
            moved = self.packets.acknowledged(self.shelf.heard(packed.carried), "leader", leads=True)
            self.lines.acknowledged(moved)

    async def until_taken(self) -> None:
        for _ in range(200):
            self.ride()
            await asyncio.sleep(0.005)
            if not self.lines.waiting:
                return
        raise AssertionError(f"{self.spool.pending} items still wait")


def part(lines: list[str], start: int = 0) -> LogPart:
    ends, at = [], start
    for line in lines:
        at += len(line) + 1
        ends.append(at)
    return LogPart(FILE, "/var/log/x", start, at, 5, lines, ends)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def run(work: Callable[[], object]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


# --- lines --------------------------------------------------------------------------------------------------------


def test_lines_ride_in_order_over_lost_packets_and_restarts(stand: Stand) -> None:
    wanted = [f"line {number}" for number in range(500)]

    async def work() -> None:
        await stand.start()
        end = await stand.lines.defer(part(wanted[:300]))
        assert end == part(wanted[:300]).end
        stand.ride()
        stand.ride(lose=True)
        await stand.stop()
        await stand.start()  # the monitor had not saved all of it: some is read again, and more
        again = part(wanted[:100]).end
        assert await stand.lines.defer(part(wanted[100:], again)) == end, "known by what is in the spool"
        assert await stand.lines.defer(part(wanted[300:], end)) == part(wanted).end
        assert await stand.lines.defer(part(wanted[450:], part(wanted[:450]).end)) == part(wanted).end
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == wanted
    assert stand.shelf.lost == 0
    assert stand.shelf.requests == []


def test_what_is_known_is_not_taken_again(stand: Stand) -> None:
    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(["one", "two"]))
        assert await stand.lines.defer(part(["one", "two", "three"])) == part(["one", "two"]).end
        await stand.stop()

    run(work)


@pytest.mark.parametrize("damage", [b"", b"\xc1 no note"])
def test_what_was_taken_is_known_also_when_it_has_left_the_spool(stand: Stand, damage: bytes) -> None:
    other = LogPart(b"stream-of-others", "/var/log/y", 0, 9, 5, ["x" * SEGMENT_SIZE], [9])

    async def work() -> None:
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.lines.defer(part(["one", "two"]))
        for _ in range(2):
            await stand.lines.defer(other)
            other.lines[0] += "y"
            await stand.lines.defer(msgspec.structs.replace(other, start=9, end=18, ends=[18]))
            await stand.lines.flush()
        await stand.stop()
        kept = list((stand.directory / "spool").iterdir())
        assert len(kept) == 2, "a segment and the note"
        if damage:
            (stand.directory / "spool" / "note").write_bytes(damage)
        await stand.start()
        again = await stand.lines.defer(part(["one", "two", "three"]))
        assert again == part(["one", "two", "three"] if damage else ["one", "two"]).end
        await stand.stop()

    run(work)


def test_a_line_too_big_goes_at_once_with_what_is_before_it_and_the_rest_rides(stand: Stand) -> None:
    lines = ["before", "b" * 5000, "after"]

    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(lines))
        stand.ride(lose=True)
        stand.at_once.leader_changed("tcp://leader:1")
        await eventually("sent at once", lambda: stand.shelf.lines == lines[:2])
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == lines
    assert [len(batch.parts) for batch in stand.shelf.requests] == [2]


def test_a_line_too_big_is_found_again_after_a_restart(stand: Stand) -> None:
    lines = ["before", "b" * 5000, "after"]

    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(lines))
        await stand.stop()
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == lines
    assert len(stand.shelf.requests) == 1


def test_a_request_without_an_answer_is_sent_again(stand: Stand) -> None:
    stand.shelf.answer = lambda batch: Refused("not-leader", "no") if len(stand.shelf.requests) < 3 else None

    async def work() -> None:
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.lines.defer(part(["b" * 5000]))
        await eventually("taken", lambda: stand.shelf.lines == ["b" * 5000])
        await eventually("nothing waits", lambda: not stand.lines.waiting)
        await stand.stop()

    run(work)
    assert len(stand.shelf.requests) == 3


def test_a_line_that_nobody_takes_is_set_aside_and_another_says_where(stand: Stand) -> None:
    stand.shelf.answer = lambda batch: (
        Refused("bad-message", "no such thing") if any("poison" in one.lines[0] for one in batch.parts) else None
    )
    lines = ["x" * 2000, "poison" * 300, "y" * 2000]

    async def work() -> None:
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.lines.defer(part(lines))
        await eventually("nothing waits", lambda: not stand.lines.waiting)
        await stand.stop()

    run(work)
    (aside,) = (stand.directory / "spool" / "aside").iterdir()
    assert b"poison" in aside.read_bytes()
    first, notice, last = stand.shelf.lines
    assert [first, last] == [lines[0], lines[2]]
    assert str(aside) in notice and "no such thing" in notice
    assert stand.shelf.lost == 0


def test_flush_sends_whatever_waits_and_then_lines_ride_again(stand: Stand) -> None:
    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(["one", "two"]))
        stand.at_once.leader_changed("tcp://leader:1")
        await asyncio.wait_for(stand.lines.flush(), 5)
        assert stand.shelf.lines == ["one", "two"]
        await asyncio.sleep(0)
        await stand.lines.defer(part(["three"], part(["one", "two"]).end))
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == ["one", "two", "three"]
    assert len(stand.shelf.requests) == 1


@pytest.mark.parametrize("limit", [64 * SEGMENT_SIZE, 2 * SEGMENT_SIZE])
def test_while_too_much_waits_the_files_keep_it(stand: Stand, limit: int) -> None:
    block = ["x" * 900] * 1000
    lost: list[Loss] = []

    async def work() -> None:
        await stand.start(limit, lost.append)
        position, last = 0, -1
        while position > last:
            last, position = position, await stand.lines.defer(part(block, position))
        assert stand.spool.size <= min(BACKLOG_MOST, limit // 2) + SEGMENT_SIZE
        stand.at_once.leader_changed("tcp://leader:1")
        await asyncio.wait_for(stand.lines.flush(), 20)
        assert await stand.lines.defer(part(block, position)) > position
        await stand.stop()

    run(work)
    assert lost == []
    assert len(stand.shelf.lines) >= 1000


def test_a_request_over_a_real_socket_and_one_that_nobody_answers() -> None:
    body = LineBatch(bytes(16), 1, 1, [part(["one"])])

    async def work() -> tuple[Reply | None, object]:
        context = zmq.asyncio.Context()
        router = sockets.router(zmq.Context.shadow(context), "tcp://127.0.0.1:*")
        endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)
        asking = asyncio.ensure_future(asker(context, "c", "db1", b"incarnat")(endpoint, body))
        await eventually("the request is here", lambda: router.poll(0))
        *route, data = router.recv_multipart()
        router.send_multipart([*route, encode(Acknowledged(3, {bytes(16): 1}))])
        reply = await asking
        asking = asyncio.ensure_future(asker(context, "c", "db1", b"incarnat")(endpoint, body))
        await eventually("asked again", lambda: router.poll(0))
        *route, _ = router.recv_multipart()
        router.send_multipart([*route, b"junk"])
        unreadable = await asking
        assert unreadable is None
        router.close()
        context.destroy(0)
        return reply, codec.requests.decode(data).body

    assert asyncio.run(work()) == (Acknowledged(3, {bytes(16): 1}), body)


# --- any spool ----------------------------------------------------------------------------------------------------


def test_an_older_stream_is_packed_to_its_end_before_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        spool = await Spool.open(tmp_path, boot=bytes(16))
        old = spool.stream
        await asyncio.gather(*(spool.append(b"old %d" % number).safe() for number in range(3)))
        await spool.close()
        spool = await Spool.open(tmp_path, boot=b"another boot....")
        packets = Packets()
        box = Outbox(spool, packets, Kind.EVENT)
        await box.append(b"new").safe()
        packets.send()  # asks for what has to be read back from the disk
        await eventually("read back", lambda: spool.source(old).pending(0, 999))
        assert _carried(packets) == [b"old 0", b"old 1", b"old 2"]
        box.acknowledged({old: 2})
        assert _carried(packets) == []
        box.acknowledged({old: 3})
        assert _carried(packets) == [b"new"]
        await spool.close()

    run(work)


def _carried(packets: Packets) -> list[bytes]:
    return [item for run in packets.send().carried for item in run.items]


# --- deliveries on their way --------------------------------------------------------------------------------------


def deliver(name: str, size: int = 100) -> Deliver:
    return Deliver(PROTOCOL, "c", 1, name, "process", ["page"], "exited", "none", 10.0, bytes(size))


def test_it_is_told_once_when_a_delivery_leaves() -> None:
    packets, left = Packets(), list[list[str]]()
    carrier = Carrier(("db1", "db2", "db3"), packets, left.append)
    for number in range(4):
        carrier.carry("db2", deliver(f"d{number}", 300))
    assert left == []
    streams = {}
    for _ in range(12):
        carried = packets.send().carried
        carrier.left(carried)
        streams.update({run.stream: run.last for run in carried})
    assert [name for names in left for name in names] == ["d0", "d1", "d2", "d3"]
    carrier.acknowledged(packets.acknowledged(streams, "db2"))
    assert packets.send().carried == ()


def test_what_is_for_a_node_that_is_gone_or_of_a_coordinator_that_ended_leaves_no_more() -> None:
    packets, left = Packets(), list[list[str]]()
    carrier = Carrier(("db1", "db2", "db3"), packets, left.append)
    carrier.carry("db2", deliver("d1"))
    carrier.carry("db3", deliver("d2"))
    carrier.withdraw("db2")
    carrier.withdraw("db2")
    assert [run.to for run in packets.send().carried] == ["db3"]
    carrier.carry("db2", deliver("d3"))
    carrier.end()
    assert packets.send().carried == ()
    carrier.carry("db9", deliver("d4"))
    assert left == [["d4"]], "no node of the cluster's: its time limit begins all the same"


# --- the users' data ----------------------------------------------------------------------------------------------


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
