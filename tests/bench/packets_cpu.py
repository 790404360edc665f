"""What an idle exchange of periodic packets costs, beside the bare sockets in the same run.

    python tests/bench/packets_cpu.py [--peers 3,50] [--seconds 20]

One process sends as all the peers, one packet a second each; another is measured: `exchange` is this project's, `bare`
reads the same packets from one SUB a peer with one poller and does nothing with them.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import socket
import time
from collections.abc import Callable

import psutil
import zmq
import zmq.asyncio

from noroshi.node.core.membership import PeerState, pack_view, roster_of
from noroshi.node.core.packet import Header, Packet
from noroshi.node.daemon.packets import Callbacks, PacketExchange
from noroshi.node.wire import sockets
from noroshi.node.wire.codec import encode
from noroshi.store.config import Cluster, NodeAddress

WARM_UP = 3.0


def cluster_of(peers: int) -> Cluster:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(peers + 1)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return Cluster("bench", tuple(NodeAddress(f"n{index:03d}", "127.0.0.1", port) for index, port in enumerate(ports)))


def send_as_peers(cluster: Cluster) -> None:
    """Every peer in turn, spread over each second, until this process is ended."""
    peers = cluster.nodes[1:]
    with zmq.Context() as context:
        publishers = [sockets.publisher(context, peer.packets) for peer in peers]
        view, roster, sequence = pack_view([PeerState.UP] * len(cluster.nodes)), roster_of(cluster.names), 0
        while True:
            sequence += 1
            for peer, publisher in zip(peers, publishers, strict=True):
                time.sleep(1 / len(peers))
                head = Header(1, "bench", peer.name, b"incarnat", sequence, 1, "none", 0, "", roster, view)
                publisher.send(encode(Packet(head, {}, [], b"")), zmq.NOBLOCK)


async def _exchange(cluster: Cluster, seconds: float) -> int:
    with zmq.asyncio.Context() as context:
        callbacks = Callbacks(items=lambda *_: None, change=lambda *_: None)
        exchange = PacketExchange(cluster, cluster.names[0], b"measured", context, callbacks)
        exchange.open()
        task = asyncio.create_task(exchange.run())
        await asyncio.sleep(WARM_UP)
        began, heard = time.process_time(), exchange.heard
        await asyncio.sleep(seconds)
        report("exchange", cluster, time.process_time() - began, seconds, exchange.heard - heard)
        await exchange.stop()
        await task
    return 0


def exchange(cluster: Cluster, seconds: float) -> None:
    asyncio.run(_exchange(cluster, seconds))


def bare(cluster: Cluster, seconds: float) -> None:
    with zmq.Context() as context:
        poller = zmq.Poller()
        plain = [sockets.subscriber(context, peer.packets) for peer in cluster.nodes[1:]]
        for each in plain:
            poller.register(each, zmq.POLLIN)
        _read(poller, WARM_UP)
        began = time.process_time()
        heard = _read(poller, seconds)
        report("bare", cluster, time.process_time() - began, seconds, heard)
        for each in plain:
            each.close()


def _read(poller: zmq.Poller, seconds: float) -> int:
    heard, deadline = 0, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for ready, _ in poller.poll(left * 1000):
            ready.recv()
            heard += 1
    return heard


def report(what: str, cluster: Cluster, cpu: float, seconds: float, heard: int) -> None:
    resident = psutil.Process().memory_info().rss / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{len(cluster.nodes) - 1:5d}  {what:9s}  {100 * cpu / seconds:6.2f}  {heard / seconds:9.1f}  "
        f"{1e6 * cpu / max(heard, 1):9.0f}  {resident:8.1f}  {peak:8.1f}",
        flush=True,
    )


def measure(peers: int, seconds: float) -> None:
    """One line for each way, each in a process of its own."""
    processes = multiprocessing.get_context("spawn")
    ways: list[Callable[[Cluster, float], None]] = [exchange, bare]
    for way in ways:
        cluster = cluster_of(peers)
        sender = processes.Process(target=send_as_peers, args=(cluster,))
        measured = processes.Process(target=way, args=(cluster, seconds))
        sender.start()
        measured.start()
        measured.join()
        sender.kill()
        sender.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", default="3,50", help="how many, several by commas")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    print("peers  what        cpu %  packets/s  us/packet   rss MiB  peak MiB")
    for peers in map(int, options.peers.split(",")):
        measure(peers, options.seconds)


if __name__ == "__main__":
    main()
