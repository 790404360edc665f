"""One daemon's exchange of periodic packets as a program, and the starting and reading of such programs.

`exchange_program.py CLUSTER.json NODE` prints a JSON line for each thing it sees; with `--bystander` it also keeps
plain subscriptions that are never opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zmq.asyncio

from noroshi.node.core.deferred import Buffer, Outgoing
from noroshi.node.core.packet import TO_ALL, Kind, Run, decode
from noroshi.node.daemon.packets import Callbacks, PacketExchange
from noroshi.node.wire import sockets
from noroshi.store.config import Cluster, Heartbeat, NodeAddress


@dataclass
class Program:
    """This file, run; what it printed."""

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


async def daemon(cluster: Cluster, own: str, *, bystander: bool) -> None:
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
    told = Cluster("demo", addresses, Heartbeat(given["interval"]))
    asyncio.run(daemon(told, sys.argv[2], bystander="--bystander" in sys.argv))
