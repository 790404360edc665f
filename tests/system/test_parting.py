"""What a daemon says at its planned stop reaches whoever stood still meanwhile: the last answers, and the goodbye.

Each fails where the sockets do not linger, or the connection does not stand for a while behind the last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import zmq
import zmq.asyncio
from notifying import deliver, node_config, program, run, until
from ports import free_ports
from relay import Relay

from noroshi.node.core.deferred import COPIES, Buffer, Outgoing
from noroshi.node.core.packet import TO_ALL, Kind, decode
from noroshi.node.daemon.deliveries import DeliveryServer
from noroshi.node.daemon.packets import Callbacks, PacketExchange
from noroshi.node.notifier.notifier import SHUTDOWN, Notifier
from noroshi.node.notifier.procedure import MAX_OUTPUT
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.messages import Answer, Deliver
from noroshi.store.config import Cluster, Heartbeat, NodeAddress


@asynccontextmanager
async def asked(folder: Path, page: str) -> AsyncIterator[tuple[DeliveryServer, Relay, zmq.Socket[bytes]]]:
    """A notifier's server, a coordinator's socket to it, and the relay between; whoever is here stops the server."""
    (folder / "state").mkdir(parents=True)
    context = zmq.asyncio.Context()
    server = DeliveryServer(context, "tcp://127.0.0.1:*", Notifier(node_config(folder, page), "demo"))
    serving = asyncio.create_task(server.serve())
    try:
        with Relay(server.endpoint) as relay, zmq.Context() as theirs, theirs.socket(zmq.DEALER) as coordinator:
            coordinator.setsockopt(zmq.LINGER, 0)
            coordinator.connect(relay.endpoint)
            yield server, relay, coordinator
    finally:
        serving.cancel()
        await asyncio.to_thread(context.term)


def answers(coordinator: zmq.Socket[bytes], count: int) -> list[Answer]:
    """Those that come, no more than `count`."""
    found: list[Answer] = []
    while len(found) < count and coordinator.poll(5000):
        found.append(codec.answers.decode(coordinator.recv()))
    return found


def send(coordinator: zmq.Socket[bytes], message: Deliver) -> None:
    coordinator.send(codec.encode(message))


def test_the_connection_stands_for_a_while_after_the_last_answers(tmp_path: Path) -> None:
    """What the coordinator has not read by its end is lost to it. Tried again where this machine stood still meanwhile:
    answers that leave late, or are looked at late, have their end right behind them."""

    async def quiet_at_the_end(folder: Path) -> float:
        page = program(tmp_path / "page", f"echo > {folder}.runs; sleep 60 & wait")
        async with asked(folder, page) as (server, relay, coordinator):
            send(coordinator, deliver("process", [page]))
            await until("the program runs", Path(f"{folder}.runs").exists)
            closing = asyncio.create_task(server.close())
            (answer,) = await asyncio.to_thread(answers, coordinator, 1)
            assert answer.reason == SHUTDOWN
            await closing
            return await until("the connection ends", lambda: relay.quiet)

    quiet: list[float] = []
    while len(quiet) < 5 and max(quiet, default=0) < 0.05:
        quiet.append(run(quiet_at_the_end(tmp_path / f"{len(quiet)}")))
    assert max(quiet) >= 0.05, quiet


def test_answers_that_cannot_leave_at_once_leave_after_the_stop(tmp_path: Path) -> None:
    """The coordinator stands still while a daemon ends, and has the answers when it goes on."""
    page, count = program(tmp_path / "page", "head -c 4096 /dev/zero | tr '\\0' x"), 300
    message = deliver("process", [page])

    async def story() -> list[Answer]:
        async with asked(tmp_path / "node", page) as (server, relay, coordinator):
            send(coordinator, message)
            assert len(await asyncio.to_thread(answers, coordinator, 1)) == 1
            relay.hold()
            for _ in range(count):  # repeats, each answered from the record
                send(coordinator, message)
            await until("each is answered", lambda: server.counts.answered == count + 1)
            await server.close()
            relay.go_on()
            return await asyncio.to_thread(answers, coordinator, count)

    assert [len(answer.output) for answer in run(story())] == [MAX_OUTPUT] * count


def test_a_goodbye_leaves_though_what_went_before_it_has_not() -> None:
    """A peer that stands still while a node stops reads the goodbye when it goes on."""
    nodes = tuple(NodeAddress(f"db{number}", "127.0.0.1", port) for number, port in enumerate(free_ports(2), 1))
    cluster = Cluster("demo", nodes, Heartbeat(interval=0.01, overflow="wait"))

    async def story() -> list[str]:
        context = zmq.asyncio.Context()
        callbacks = Callbacks(items=lambda *items: None, change=lambda *change: None)
        exchange = PacketExchange(cluster, "db1", b"incarnat", context, callbacks)
        exchange.open()
        running = asyncio.create_task(exchange.run())
        with Relay(nodes[0].packets) as relay, zmq.Context() as theirs:
            heard = sockets.subscriber(theirs, relay.endpoint)
            await until("it is heard", lambda: heard.poll(0))
            relay.hold()
            exchange.packer.add(Outgoing(much(), Kind.DATA, TO_ALL, copies=COPIES))
            await until("the kernel takes no more", takes_no_more(nodes[0].port, exchange))
            await exchange.stop()
            relay.go_on()
            roles = []
            while "leaving" not in roles and heard.poll(2000):
                roles.append(decode(heard.recv()).header.role)
            heard.close()
        await running
        await asyncio.to_thread(context.term)
        return roles

    assert run(story())[-1] == "leaving"


def much() -> Buffer:
    """More than is sent here: each packet is full."""
    buffer = Buffer(b"s" * 16, 10**7)
    for _ in range(3000):
        buffer.append(bytes(1000))
    return buffer


def takes_no_more(port: int, exchange: PacketExchange) -> Callable[[], bool]:
    """Whether two packets have been sent since what lies in the kernel for the peers of `port` last grew."""
    last, at = -1, 0

    def look() -> bool:
        nonlocal last, at
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        waiting = sum(int(row[4].partition(":")[0], 16) for row in rows if row[1].endswith(f":{port:04X}"))
        if waiting != last:
            last, at = waiting, exchange.sent
        return waiting > 0 and exchange.sent >= at + 2

    return look
