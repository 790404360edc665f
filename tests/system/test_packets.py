"""Periodic packets over real sockets: in one process, between processes that are paused, over a link that is cut."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from exchange_program import Program, programs
from ports import free_ports
from waiting import eventually, wait_until

from noroshi.node.core.deferred import COPIES, Buffer, Inbox, Outgoing
from noroshi.node.core.membership import Leader, Observation, PeerState, Restarted
from noroshi.node.core.packet import TO_ALL, TO_COORDINATOR, Header, Kind, Packet, Run
from noroshi.node.daemon import packets
from noroshi.node.daemon.packets import Callbacks, PacketExchange
from noroshi.node.wire import sockets
from noroshi.node.wire.codec import encode
from noroshi.store.config import Cluster, Heartbeat, NodeAddress
from noroshi.store.errors import NoroshiError

INTERVAL = 0.1
UP, DOWN, SUSPECT, STOPPED = PeerState.UP, PeerState.DOWN, PeerState.SUSPECT, PeerState.STOPPED


def cluster_of(count: int = 3, overflow: str = "flush", interval: float = INTERVAL) -> Cluster:
    nodes = [NodeAddress(f"db{index}", "127.0.0.1", port) for index, port in enumerate(free_ports(count), 1)]
    return Cluster("demo", tuple(nodes), Heartbeat(interval=interval, overflow=overflow))  # type: ignore[arg-type]


@dataclass
class Node:
    """One daemon's exchange and what it told."""

    cluster: Cluster
    name: str
    changes: list[tuple[str, PeerState, PeerState]] = field(default_factory=list)
    items: list[tuple[str, Run]] = field(default_factory=list)
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    notices: list[Observation] = field(default_factory=list)
    leaders: list[Leader | None] = field(default_factory=list)
    periods: int = 0

    def __post_init__(self) -> None:
        self.incarnation = secrets.token_bytes(8)
        self.context = zmq.asyncio.Context()
        callbacks = Callbacks(
            items=lambda node, incarnation, runs: self.items.extend((node, run) for run in runs),
            change=lambda *change: self.on_change(*change),
            acknowledged=self.acknowledged.update,
            notice=self.notices.append,
            period=self.on_period,
            led=lambda now: self.leaders.append(self.exchange.membership.leader(now)),
        )
        self.exchange = PacketExchange(self.cluster, self.name, self.incarnation, self.context, callbacks)
        self.state = self.exchange.membership.state
        self.task: asyncio.Task[None] | None = None

    def on_period(self, _now: float) -> None:
        self.periods += 1

    def on_change(self, node: str, old: PeerState, new: PeerState) -> None:
        self.changes.append((node, old, new))

    def start(self) -> None:
        self.exchange.open()
        self.task = asyncio.create_task(self.exchange.run())

    async def stop(self, *, goodbye: bool = True) -> None:
        await self.exchange.stop(goodbye=goodbye)
        if self.task is not None:
            await asyncio.wait([self.task])
        self.context.term()

    def hears_all(self) -> bool:
        return all(self.state(name) is UP for name in self.cluster.names if name != self.name)


@contextlib.asynccontextmanager
async def existing(cluster: Cluster, *names: str) -> AsyncIterator[list[Node]]:
    """Nodes that the test starts; whatever happens they are closed."""
    nodes = [Node(cluster, name) for name in names]
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop(goodbye=False)


@contextlib.asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[dict[str, Node]]:
    async with existing(cluster, *cluster.names) as nodes:
        for node in nodes:
            node.start()
        for node in nodes:
            await eventually(f"{node.name} hears all", node.hears_all)
        yield {node.name: node for node in nodes}


def buffer_of(*items: bytes) -> Buffer:
    buffer = Buffer(secrets.token_bytes(16), 10**6)
    for item in items:
        buffer.append(item)
    return buffer


# --- in one process -----------------------------------------------------------------------------------------------


def test_a_new_leader_is_told_of_at_once_and_not_at_the_next_period() -> None:
    async def story() -> None:
        cluster = cluster_of(2, interval=60.0)
        async with existing(cluster, "db1", "db2") as (first, second):
            first.start()
            second.start()

            def led_by_the_first() -> bool:
                first.exchange.set_role("leader", 3, "tcp://there:1")  # said at once; again until the other listens
                return bool(second.leaders)

            await eventually("db2 was told who leads", led_by_the_first)
            assert second.leaders == [Leader("db1", first.incarnation, 3, "tcp://there:1")]
            first.exchange.set_role("none")
            await first.exchange.stop()
            await eventually("db2 was told that nobody does", lambda: second.leaders[1:] == [None])

    asyncio.run(story())


def test_nobody_is_heard_before_there_is_somebody_to_be_told() -> None:
    """A daemon that starts opens one part after the other, and the others' packets do not wait for the last."""

    async def story() -> None:
        cluster = cluster_of(2)
        async with existing(cluster, "db1", "db2") as (first, second):
            first.exchange.open()
            second.start()
            sent = second.exchange.sent
            await eventually("db2 has sent some packets", lambda: second.exchange.sent > sent + 5)
            assert first.changes == []
            first.task = asyncio.create_task(first.exchange.run())
            await eventually("db1 hears db2", lambda: first.state("db2") is UP)

    asyncio.run(story())


def test_three_hear_each_other_a_goodbye_a_silence_and_a_return() -> None:
    async def story() -> None:
        async with running(cluster_of()) as nodes:
            await nodes["db3"].stop()
            for name in ("db1", "db2"):
                await eventually(f"{name} heard the goodbye", lambda name=name: nodes[name].state("db3") is STOPPED)
            await nodes["db2"].stop(goodbye=False)
            await eventually("db1 misses db2", lambda: nodes["db1"].state("db2") is DOWN)
            assert nodes["db1"].changes[-2:] == [("db2", UP, SUSPECT), ("db2", SUSPECT, DOWN)]
            async with existing(nodes["db1"].cluster, "db2") as (again,):
                again.start()
                await eventually("db2 is back", lambda: nodes["db1"].state("db2") is UP)
                assert nodes["db1"].notices == [Restarted("db2", nodes["db2"].incarnation, again.incarnation)]
                await eventually("db2 hears db1", lambda: again.state("db1") is UP)

    asyncio.run(story())


def test_a_goodbye_is_read_though_nobody_looks_before_the_connection_has_ended() -> None:
    """A loop that is busy for a moment must not take a planned stop for a failure."""
    endpoint = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with zmq.Context() as theirs, zmq.Context() as ours, sockets.subscriber(ours, endpoint) as heard:
        ended = heard.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        with sockets.publisher(theirs, endpoint) as publisher:
            wait_until("the first is heard", lambda: (publisher.send(b"packet"), heard.poll(50))[1])
            publisher.send(b"goodbye")
            publisher.close(linger=1000)
        assert ended.poll(5000), "the connection ends"
        read = []
        while heard.poll(0):
            read.append(heard.recv())
        heard.disable_monitor()
        ended.close()
    assert read[-1] == b"goodbye"


def test_a_goodbye_leaves_however_short_the_time_until_all_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a host that stood still from its goodbye on until it was time to close."""
    monkeypatch.setattr(packets, "GOODBYE_SPACING", 0.0)

    async def story() -> None:
        for _ in range(5):
            async with running(cluster_of(2)) as nodes:
                await nodes["db2"].stop()
                await eventually("the goodbye was heard", lambda: nodes["db1"].state("db2") not in (UP, SUSPECT))
                assert nodes["db1"].state("db2") is STOPPED

    asyncio.run(story())


def test_views_go_round() -> None:
    async def story() -> None:
        async with running(cluster_of()) as nodes:
            exchange = nodes["db1"].exchange
            await eventually("all views are in", lambda: [v.node for v in exchange.views().views] == [*nodes])
            await eventually("all say all are up", lambda: {v.view for v in exchange.views().views} == {b"\x15"})
            assert exchange.views().settled

    asyncio.run(story())


def test_deferred_items_reach_the_coordinator_and_its_acknowledgement_comes_back() -> None:
    async def story() -> None:
        async with running(cluster_of()) as nodes:
            leader, node, own = nodes["db1"], buffer_of(b"one", b"two"), buffer_of(b"of the leader's node")
            nodes["db2"].exchange.packer.add(Outgoing(node, Kind.EVENT, TO_COORDINATOR))
            leader.exchange.packer.add(Outgoing(own, Kind.EVENT, TO_COORDINATOR))
            before = nodes["db2"].exchange.sent
            await eventually("it rode along", lambda: nodes["db2"].exchange.sent > before + 2)
            assert [each for found in nodes.values() for each in found.items] == [], "nobody leads"
            leader.exchange.set_role("leader", 5, "tcp://127.0.0.1:1")
            await eventually(
                "both streams", lambda: {run.stream for _, run in leader.items} == {node.stream, own.stream}
            )
            assert {(sender, run.items) for sender, run in leader.items} == {
                ("db2", (b"one", b"two")),
                ("db1", (b"of the leader's node",)),
            }
            leader.exchange.acknowledge({node.stream: 2, own.stream: 1})
            assert leader.acknowledged == {own.stream: 1}
            await eventually("acknowledged", lambda: nodes["db2"].acknowledged == {node.stream: 2})
            assert nodes["db3"].items == [], "not for db3"
            third = nodes["db3"].exchange.membership
            await eventually("db3 knows who leads", lambda: third.leader(time.monotonic()))
            found = third.leader(time.monotonic())
            assert found is not None
            assert (found.node, found.term, found.endpoint) == ("db1", 5, "tcp://127.0.0.1:1")

    asyncio.run(story())


def test_users_data_goes_to_one_node_or_to_all_others() -> None:
    async def story() -> None:
        async with running(cluster_of()) as nodes:
            packer = nodes["db1"].exchange.packer
            one, everyone = buffer_of(b"for db2"), buffer_of(b"for all")
            packer.add(Outgoing(one, Kind.DATA, "db2"))
            packer.add(Outgoing(everyone, Kind.DATA, TO_ALL, copies=COPIES))
            await eventually("sent so often", lambda: nodes["db1"].acknowledged == {everyone.stream: 1})
            nodes["db2"].exchange.acknowledge({one.stream: 1})
            await eventually("db2 has it", lambda: one.stream in nodes["db1"].acknowledged)
            for name, expected in (("db2", {b"for db2", b"for all"}), ("db3", {b"for all"})):
                await eventually("all came", lambda name=name: len(nodes[name].items) >= COPIES)
                inbox = Inbox()
                got = [item for _, run in nodes[name].items for item in inbox.take(run).items]
                assert len(got) == len(expected)
                assert set(got) == expected

    asyncio.run(story())


@pytest.mark.parametrize("overflow", ["wait", "flush"])
def test_wait_adds_no_packet_and_flush_counts_the_early_ones(overflow: str) -> None:
    """45 items of 256 bytes fill three packets."""

    async def story() -> None:
        async with running(cluster_of(2, overflow, interval=0.25)) as nodes:
            busy = nodes["db1"].exchange
            nodes["db2"].exchange.set_role("leader", 1, "tcp://127.0.0.1:1")
            await eventually("the leader is heard", lambda: busy.membership.leader(time.monotonic()))
            count = busy.sent
            await eventually("and followed by the packer", lambda: busy.sent > count)
            before = busy.sent, time.monotonic()
            busy.packer.add(Outgoing(buffer_of(*[bytes(256)] * 45), Kind.EVENT, TO_COORDINATOR))
            busy.poke()
            await eventually("all are out", lambda: sum(len(run.items) for _, run in nodes["db2"].items) >= 45)
            periods = (time.monotonic() - before[1]) / 0.25
            assert (busy.packer.early > 0) == (overflow == "flush")
            assert busy.packer.early <= 3
            assert busy.sent - before[0] - busy.packer.early <= periods + 1

    asyncio.run(story())


def test_a_period_passes_also_while_packets_leave_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the coordinator judges by is told then."""

    async def story() -> None:
        async with running(cluster_of(2, interval=0.25)) as nodes:
            busy = nodes["db1"].exchange
            monkeypatch.setattr(busy.packer, "due", lambda now: now)
            early, periods = busy.packer.early, nodes["db1"].periods
            await eventually("a flood leaves early, and periods pass", lambda: nodes["db1"].periods > periods + 2)
            assert busy.packer.early > early + 10

    asyncio.run(story())


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    async def story() -> None:
        async with existing(cluster_of(1), "db1", "db1") as (first, second):
            first.exchange.open()
            with pytest.raises(NoroshiError, match=r"Address already in use \(another daemon of db1, .*`ss -ltnp"):
                second.exchange.open()

    asyncio.run(story())


def test_an_address_of_another_host_is_told_with_what_to_do() -> None:
    async def story() -> None:
        cluster = Cluster("demo", (NodeAddress("db1", "192.0.2.1", 7400),))
        async with existing(cluster, "db1") as (node,):
            with pytest.raises(NoroshiError, match=r"this host has no address 192\.0\.2\.1: is `node: db1` .* right"):
                node.exchange.open()

    asyncio.run(story())


def test_what_a_callback_raises_ends_the_run() -> None:
    def refuse(*change: object) -> None:
        raise RuntimeError("a fault of the daemon")

    async def story() -> None:
        async with existing(cluster_of(2), "db1", "db2") as (node, other):
            node.on_change = refuse
            node.start()
            other.start()
            assert node.task is not None
            with pytest.raises(RuntimeError, match="a fault of the daemon"):
                await asyncio.wait_for(node.task, 20)

    asyncio.run(story())


def test_bad_packets_are_counted_named_and_harmless(caplog: pytest.LogCaptureFixture) -> None:
    cluster = cluster_of(2)

    def good(roster: int, name: str = "db2", of: str = "demo") -> bytes:
        head = Header(1, of, name, b"incarnat", time.monotonic_ns(), 1, "none", 0, "", roster, b"\x05")
        return encode(Packet(head, {}, [], b""))

    async def story(send: Callable[[list[bytes]], None]) -> None:
        async with existing(cluster, "db1") as (node,):
            node.start()
            counts, roster = node.exchange.complaints.counts, node.exchange.membership.roster
            bad = [
                ("junk", [b"\xc1 junk"]),
                ("junk", [b""]),
                ("junk", [good(roster), b"a second frame"]),
                ("junk", [good(roster)[:-3]]),
                ("junk", [os.urandom(100_000)]),
                ("cluster", [good(roster, of="other")]),
                ("node", [good(roster, "db1")]),
                ("node", [good(roster, "stranger")]),
            ]
            for reason, frames in bad:
                before = counts["db2", reason]
                await eventually(reason, lambda f=frames, r=reason, b=before: send(f) or counts["db2", r] > b)
            assert node.state("db2") is not UP
            await eventually("the good one is heard", lambda: send([good(roster)]) or node.state("db2") is UP)
            await eventually("another cluster file", lambda: send([good(7)]) or counts["db2", "roster"])
            assert node.state("db2") is UP

    caplog.set_level(logging.WARNING)
    with zmq.Context() as context, sockets.publisher(context, cluster.node("db2").packets) as publisher:
        asyncio.run(story(lambda frames: publisher.send_multipart(frames, zmq.NOBLOCK)))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4, "one line a minute for each reason"
    assert all("db2 (tcp://127.0.0.1:" in line for line in lines)
    assert "two clusters share an address" in lines[1]
    assert "it says it is node 'db1'" in lines[2]
    assert "another order" in lines[3]


# --- processes ----------------------------------------------------------------------------------------------------


def wait_for_periods(program: Program, count: int) -> None:
    before = len(program.lines())
    wait_until(f"{count} periods", lambda: len(program.lines()) >= before + count)


def test_a_paused_node_judges_nobody_when_it_goes_on_and_does_not_catch_up(tmp_path: Path) -> None:
    # periods long enough that a busy machine starves nobody for the down time
    with programs(tmp_path, cluster_of(3, interval=0.3)) as started:
        db1, db2, _ = (started.start(name) for name in ("db1", "db2", "db3"))
        for program, peers in ((db1, ("db2", "db3")), (db2, ("db1", "db3"))):
            wait_until(f"hears {peers}", lambda p=program, q=peers: all(p.states(peer)[-1:] == ["UP"] for peer in q))
        db2.process.send_signal(signal.SIGSTOP)
        wait_until("db1 misses db2", lambda: db1.states("db2")[-2:] == ["SUSPECT", "DOWN"])
        wait_for_periods(db1, 10)
        before, periods = int(str(db1.last("heard from db2"))), len(db1.lines())
        db2.process.send_signal(signal.SIGCONT)
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP")
        wait_for_periods(db1, 5)
        passed = len(db1.lines()) - periods
        assert int(str(db1.last("heard from db2"))) - before <= passed + 3, "a pile of what was due meanwhile"
        wait_until("db2 has settled", lambda: db2.last("settled") is True)
        said = db2.states("db1") + db2.states("db3")
        assert "DOWN" not in said, "db2 took its own pause for nobody's failure"
