"""Periodic packets over real sockets: in one process, between processes that are paused, over a link that is cut.

Run as a program, this file is one daemon's exchange: `test_packets.py CLUSTER.json NODE` prints a JSON line for each
thing it sees; with `--bystander` it also keeps plain subscriptions that are never opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from waiting import wait_until

from noroshi.node.core.deferred import COPIES, Buffer, Inbox, Outgoing
from noroshi.node.core.membership import Observation, PeerState, Restarted
from noroshi.node.core.packet import TO_ALL, TO_COORDINATOR, Header, Kind, Packet, Run, decode
from noroshi.node.daemon.packets import Callbacks, PacketExchange
from noroshi.node.wire import sockets
from noroshi.node.wire.codec import encode
from noroshi.store.config import Cluster, Heartbeat, NodeAddress
from noroshi.store.errors import NoroshiError

INTERVAL = 0.1
UP, DOWN, SUSPECT, STOPPED = PeerState.UP, PeerState.DOWN, PeerState.SUSPECT, PeerState.STOPPED


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    try:
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]
    finally:
        for each in taken:
            each.close()


def cluster_of(count: int = 3, overflow: str = "flush", interval: float = INTERVAL) -> Cluster:
    nodes = [NodeAddress(f"db{index}", "127.0.0.1", port) for index, port in enumerate(free_ports(count), 1)]
    return Cluster("demo", tuple(nodes), Heartbeat(interval=interval, overflow=overflow))  # type: ignore[arg-type]


async def eventually(describe: str, predicate: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"not within {timeout} s: {describe}; last seen: {predicate()!r}"
        await asyncio.sleep(0.01)


@dataclass
class Node:
    """One daemon's exchange and what it told."""

    cluster: Cluster
    name: str
    changes: list[tuple[str, PeerState, PeerState]] = field(default_factory=list)
    items: list[tuple[str, Run]] = field(default_factory=list)
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    notices: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.incarnation = secrets.token_bytes(8)
        self.context = zmq.asyncio.Context()
        callbacks = Callbacks(
            items=lambda node, incarnation, runs: self.items.extend((node, run) for run in runs),
            change=lambda *change: self.changes.append(change),
            acknowledged=self.acknowledged.update,
            notice=self.notices.append,
        )
        self.exchange = PacketExchange(self.cluster, self.name, self.incarnation, self.context, callbacks)
        self.state = self.exchange.membership.state

    def start(self) -> None:
        self.exchange.open()
        self.task = asyncio.create_task(self.exchange.run())

    async def stop(self, *, goodbye: bool = True) -> None:
        await self.exchange.stop(goodbye=goodbye)
        await self.task
        self.context.term()

    def hears_all(self) -> bool:
        return all(self.state(name) is UP for name in self.cluster.names if name != self.name)


@contextlib.asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[dict[str, Node]]:
    nodes = {name: Node(cluster, name) for name in cluster.names}
    for node in nodes.values():
        node.start()
    try:
        for node in nodes.values():
            await eventually(f"{node.name} hears all", node.hears_all)
        yield nodes
    finally:
        for node in nodes.values():
            if not node.context.closed:
                await node.stop(goodbye=False)


def buffer_of(*items: bytes) -> Buffer:
    buffer = Buffer(secrets.token_bytes(16), 10**6)
    for item in items:
        buffer.append(item)
    return buffer


# --- in one process -----------------------------------------------------------------------------------------------


def test_three_hear_each_other_a_goodbye_a_silence_and_a_return() -> None:
    async def story() -> None:
        async with running(cluster_of()) as nodes:
            await nodes["db3"].stop()
            for name in ("db1", "db2"):
                await eventually(f"{name} heard the goodbye", lambda name=name: nodes[name].state("db3") is STOPPED)
            await nodes["db2"].stop(goodbye=False)
            await eventually("db1 misses db2", lambda: nodes["db1"].state("db2") is DOWN)
            assert nodes["db1"].changes[-2:] == [("db2", UP, SUSPECT), ("db2", SUSPECT, DOWN)]
            nodes["db2"] = Node(nodes["db1"].cluster, "db2")
            nodes["db2"].start()
            await eventually("db2 is back", lambda: nodes["db1"].state("db2") is UP)
            restart = nodes["db1"].notices[-1]
            assert isinstance(restart, Restarted)
            assert restart.new == nodes["db2"].incarnation
            await eventually("db2 hears db1", lambda: nodes["db2"].state("db1") is UP)

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
            await asyncio.sleep(2 * INTERVAL)
            assert [each for found in nodes.values() for each in found.items] == [], "nobody leads"
            leader.exchange.set_role("leader", 5, "tcp://127.0.0.1:1")
            await eventually("both streams", lambda: {run.stream for _, run in leader.items} == {node.stream, own.stream})
            assert {(sender, run.items) for sender, run in leader.items} == {
                ("db2", (b"one", b"two")),
                ("db1", (b"of the leader's node",)),
            }
            leader.exchange.acknowledge({node.stream: 2, own.stream: 1})
            assert leader.acknowledged == {own.stream: 1}
            await eventually("acknowledged", lambda: nodes["db2"].acknowledged == {node.stream: 2})
            assert nodes["db3"].items == [], "not for db3"
            found = nodes["db3"].exchange.membership.leader(time.monotonic())
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


@pytest.mark.parametrize(("overflow", "more"), [("wait", 0), ("flush", 3)])
def test_wait_adds_no_packet_and_flush_counts_the_early_ones(overflow: str, more: int) -> None:
    """45 items of 256 bytes fill three packets. Two exchanges run side by side, one of them with nothing deferred."""

    async def story() -> None:
        async with running(cluster_of(2, overflow, interval=0.25)) as nodes:
            busy = nodes["db1"].exchange
            nodes["db2"].exchange.set_role("leader", 1, "tcp://127.0.0.1:1")
            await eventually("the leader is heard", lambda: busy.membership.leader(time.monotonic()))
            await asyncio.sleep(0.3)  # a period, so that the packer follows it
            before = busy.sent, time.monotonic()
            busy.packer.add(Outgoing(buffer_of(*[bytes(256)] * 45), Kind.EVENT, TO_COORDINATOR))
            busy.poke()
            await eventually("all are out", lambda: sum(len(run.items) for _, run in nodes["db2"].items) >= 45)
            assert busy.packer.early == more
            periods = (time.monotonic() - before[1]) / 0.25
            assert abs(busy.sent - before[0] - more - periods) <= 1

    asyncio.run(story())


def test_a_port_in_use_is_told_with_what_to_do() -> None:
    async def story() -> None:
        cluster = cluster_of(1)
        first, second = Node(cluster, "db1"), Node(cluster, "db1")
        first.exchange.open()
        with pytest.raises(NoroshiError, match=r"Address already in use \(another daemon of db1, .*`ss -ltnp"):
            second.exchange.open()
        for node in (first, second):
            await node.exchange.stop()
            node.context.term()

    asyncio.run(story())


def test_an_address_of_another_host_is_told_with_what_to_do() -> None:
    async def story() -> None:
        node = Node(Cluster("demo", (NodeAddress("db1", "192.0.2.1", 7400),)), "db1")
        with pytest.raises(NoroshiError, match=r"this host has no address 192\.0\.2\.1: is `node: db1` .* right"):
            node.exchange.open()
        await node.exchange.stop()
        node.context.term()

    asyncio.run(story())


def test_what_a_callback_raises_ends_the_run() -> None:
    async def story() -> None:
        cluster = cluster_of(2)
        node, other = Node(cluster, "db1"), Node(cluster, "db2")

        def refuse(*change: object) -> None:
            raise RuntimeError("a fault of the daemon")

        node.exchange._callbacks = Callbacks(items=lambda *_: None, change=refuse)
        node.start()
        other.start()
        with pytest.raises(RuntimeError, match="a fault of the daemon"):
            await asyncio.wait_for(node.task, 5)
        await node.exchange.stop()
        node.context.term()
        await other.stop()

    asyncio.run(story())


def test_bad_packets_are_counted_named_and_harmless(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        cluster = cluster_of(2)
        node = Node(cluster, "db1")
        node.start()
        membership = node.exchange.membership
        with contextlib.closing(zmq.Context()) as context:
            publisher = sockets.publisher(context, cluster.node("db2").packets)

            def good(name: str = "db2", of: str = "demo", roster: int = membership.roster) -> bytes:
                head = Header(1, of, name, b"incarnat", time.monotonic_ns(), 1, "none", 0, "", roster, b"\x05")
                return encode(Packet(head, {}, [], b""))

            messages = {
                "junk": [[b"\xc1 junk"], [b""], [good(), b"a second frame"], [good()[:-3]], [os.urandom(100_000)]],
                "cluster": [[good(of="other")]],
                "node": [[good("db1")], [good("stranger")]],
                "roster": [[good(roster=7)]],
            }

            def send_until_counted(reason: str, frames: list[bytes]) -> bool:
                counts = node.exchange.complaints.counts
                before = counts["db2", reason]
                publisher.send_multipart(frames, zmq.NOBLOCK)
                return before >= 2

            for reason, wrong in messages.items():
                for frames in wrong:
                    node.exchange.complaints.counts.clear()
                    await eventually(reason, lambda r=reason, f=frames: send_until_counted(r, f))
                    assert set(node.exchange.complaints.counts) == {("db2", reason)}
            await eventually("the good one is heard", lambda: publisher.send(good()) or node.state("db2") is UP)
            publisher.close()
        assert not node.task.done()
        await node.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4, "one line a minute for each reason"
    assert all("db2 (tcp://127.0.0.1:" in line for line in lines)
    assert "two clusters share an address" in lines[1]
    assert "it says it is node 'db1'" in lines[2]


# --- processes ----------------------------------------------------------------------------------------------------


@dataclass
class Program:
    """This file run as a daemon; `prefix` runs it elsewhere."""

    file: Path
    process: subprocess.Popen[bytes]

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def states(self, peer: str) -> list[str]:
        return [str(line["state"]) for line in self.lines() if line.get("peer") == peer]

    def last(self, key: str) -> object:
        return next((line[key] for line in reversed(self.lines()) if key in line), None)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Programs:
    def __init__(self, directory: Path, cluster: Cluster) -> None:
        self.directory, self.started = directory, list[Program]()
        self.config = directory / "cluster.json"
        nodes = [[node.name, node.address, node.port] for node in cluster.nodes]
        self.config.write_text(json.dumps({"nodes": nodes, "interval": cluster.heartbeat.interval}))

    def start(self, name: str, *options: str, prefix: tuple[str, ...] = ()) -> Program:
        file = self.directory / f"{len(self.started)}-{name}.jsonl"
        command = [*prefix, sys.executable, __file__, str(self.config), name, *options]
        with file.open("wb") as output:
            self.started.append(Program(file, subprocess.Popen(command, stdout=output)))
        return self.started[-1]

    def end(self) -> None:
        for program in self.started:
            with contextlib.suppress(ProcessLookupError):
                program.process.send_signal(signal.SIGCONT)
            program.kill()


@contextlib.contextmanager
def programs(directory: Path, cluster: Cluster) -> Iterator[Programs]:
    started = Programs(directory, cluster)
    try:
        yield started
    finally:
        started.end()


def test_a_paused_node_judges_nobody_when_it_goes_on_and_does_not_catch_up(tmp_path: Path) -> None:
    with programs(tmp_path, cluster_of(3)) as started:
        db1, db2, _ = (started.start(name) for name in ("db1", "db2", "db3"))
        for program, peers in ((db1, ("db2", "db3")), (db2, ("db1", "db3"))):
            wait_until(f"hears {peers}", lambda p=program, q=peers: all(p.states(peer) == ["UP"] for peer in q))
        db2.process.send_signal(signal.SIGSTOP)
        wait_until("db1 misses db2", lambda: db1.states("db2") == ["UP", "SUSPECT", "DOWN"])
        time.sleep(10 * INTERVAL)
        before = int(str(db1.last("heard from db2")))
        db2.process.send_signal(signal.SIGCONT)
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP")
        time.sleep(5 * INTERVAL)
        assert int(str(db1.last("heard from db2"))) - before <= 9, "no pile of packets that were due meanwhile"
        wait_until("db2 has settled", lambda: db2.last("settled") is True)
        assert db2.states("db1") == db2.states("db3") == ["UP"], "db2 took its own pause for nobody's failure"


# --- hosts --------------------------------------------------------------------------------------------------------

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class Host:
    """A network namespace with one end of a link."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address, self.prefix = name, address, ("ip", "netns", "exec", name)
        ip("netns", "add", name)

    def plug(self, device: str) -> None:
        ip("link", "set", device, "netns", self.name)
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", device)
        self.device = device
        self.link("up")

    def link(self, way: str) -> None:
        ip("-n", self.name, "link", "set", self.device, way)

    def unplug(self) -> None:
        """Gone with its sockets; what they would still say goes nowhere."""
        subprocess.run(["ip", "netns", "delete", self.name], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    tag = secrets.token_hex(3)
    first, second = Host(f"nrs{tag}a", "10.99.0.1"), Host(f"nrs{tag}b", "10.99.0.2")
    try:
        ip("link", "add", f"v{tag}a", "type", "veth", "peer", "name", f"v{tag}b")
        first.plug(f"v{tag}a")
        second.plug(f"v{tag}b")
        yield first, second
    finally:
        first.unplug()
        second.unplug()


@pytest.mark.root
@NEEDS_ROOT
def test_a_host_that_vanished_without_a_fin_and_came_back_is_heard_again(tmp_path: Path) -> None:
    """The link is cut, the daemon killed, its host gone for good; another boot of it comes up on address and port.

    The bystander's plain subscription shows the trap: it stays deaf though the packets are there.
    """
    cluster = Cluster(
        "demo", (NodeAddress("db1", "10.99.0.1", 7400), NodeAddress("db2", "10.99.0.2", 7400)), Heartbeat(INTERVAL)
    )
    with two_hosts() as (first, second), programs(tmp_path, cluster) as started:
        db1 = started.start("db1", "--bystander", prefix=first.prefix)
        db2 = started.start("db2", prefix=second.prefix)
        wait_until("db1 hears db2", lambda: db1.states("db2") == ["UP"])
        wait_until("so does the bystander", lambda: int(str(db1.last("bystander") or 0)) > 3)
        second.link("down")
        wait_until("db1 misses db2", lambda: db1.states("db2") == ["UP", "SUSPECT", "DOWN"])
        db2.kill()
        second.unplug()
        deaf_since = db1.last("bystander")
        reborn = Host(second.name, second.address)  # the old one's end of the link went with it
        ip("-n", first.name, "link", "add", f"{second.device}x", "type", "veth", "peer", "name", second.device, "netns",
           reborn.name)  # fmt: skip
        ip("-n", first.name, "address", "add", "10.99.0.1/24", "dev", f"{second.device}x")
        ip("-n", first.name, "link", "set", f"{second.device}x", "up")
        ip("-n", reborn.name, "address", "add", f"{reborn.address}/24", "dev", second.device)
        ip("-n", reborn.name, "link", "set", second.device, "up")
        again = started.start("db2", prefix=reborn.prefix)
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP", timeout=20)
        wait_until("db2 hears db1", lambda: again.states("db1") == ["UP"])
        assert db1.last("bystander") == deaf_since


@pytest.mark.root
@NEEDS_ROOT
def test_a_link_that_was_cut_over_a_restart_of_the_daemon_is_used_again(tmp_path: Path) -> None:
    cluster = Cluster(
        "demo", (NodeAddress("db1", "10.99.0.1", 7400), NodeAddress("db2", "10.99.0.2", 7400)), Heartbeat(INTERVAL)
    )
    with two_hosts() as (first, second), programs(tmp_path, cluster) as started:
        db1, db2 = started.start("db1", prefix=first.prefix), started.start("db2", prefix=second.prefix)
        wait_until("db1 hears db2", lambda: db1.states("db2") == ["UP"])
        second.link("down")
        wait_until("db1 misses db2", lambda: db1.states("db2") == ["UP", "SUSPECT", "DOWN"])
        db2.kill()
        db2 = started.start("db2", prefix=second.prefix)
        wait_until("db2 runs without a link", lambda: db2.states("db1") == ["DOWN"])
        second.link("up")
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP", timeout=20)
        wait_until("db2 hears db1", lambda: db2.states("db1") == ["DOWN", "UP"], timeout=20)


# --- as a program -------------------------------------------------------------------------------------------------


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def bystand(cluster: Cluster, own: str) -> None:
    """Plain subscriptions, opened once."""
    context, heard = zmq.asyncio.Context.instance(), 0
    plain = [sockets.subscriber(context, node.packets) for node in cluster.nodes if node.name != own]
    while True:
        for each in plain:
            decode(await each.recv())
            heard += 1
            tell(bystander=heard)


async def daemon(cluster: Cluster, own: str, bystander: bool) -> None:
    heard: dict[str, int] = {}

    def period(now: float) -> None:
        tell(settled=exchange.membership.settled(now), **heard)

    def count(node: str, incarnation: bytes, runs: list[Run]) -> None:
        heard[f"heard from {node}"] = heard.get(f"heard from {node}", 0) + 1

    callbacks = Callbacks(items=count, change=lambda node, old, new: tell(peer=node, state=new.name), period=period)
    exchange = PacketExchange(cluster, own, secrets.token_bytes(8), zmq.asyncio.Context.instance(), callbacks)
    exchange.open()
    beacon = Buffer(secrets.token_bytes(16), 10)  # nobody acknowledges it: it rides in every packet
    beacon.append(b"here")
    exchange.packer.add(Outgoing(beacon, Kind.DATA, TO_ALL, copies=10**9))
    await asyncio.gather(exchange.run(), *([bystand(cluster, own)] if bystander else []))


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    addresses = tuple(NodeAddress(*node) for node in given["nodes"])
    asyncio.run(daemon(Cluster("demo", addresses, Heartbeat(given["interval"])), sys.argv[2], "--bystander" in sys.argv))
