"""How fast this node takes events: agent and spool alone, beside what its disk and its sockets allow at all.

    python tests/bench/raise_local.py [--seconds S] [--directory DIR]

One process serves, another raises. Rows: one raiser in lock-step, sixteen in lock-step, one that pipelines; and in the
same run a loop that writes the same bytes and calls fdatasync, and a bare echo over a Unix socket.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.client import request_line
from noroshi.node.daemon.agent import Agent
from noroshi.node.daemon.intake import Intake
from noroshi.node.daemon.spool import Spool

LINE = request_line("app/orders", "ERROR", "payment queue 3 is stuck since 12:04, 118 orders waiting")
RECORD = bytes(len(LINE))
PIPELINE = 256


@dataclass(frozen=True)
class Row:
    """`rate` per second; latencies in microseconds, None where there is no single one."""

    name: str
    rate: float
    median: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        latency = "" if self.median is None else f"  median {self.median:7.0f} us  99 % {self.high:7.0f} us"
        return f"{self.name:<44} {self.rate:9.0f} /s{latency}"


def main() -> None:
    """Run every row once and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row (default 2)")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure")
    parser.add_argument("--serve", choices=["agent", "echo"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.directory))
        return
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        measure(Path(directory), arguments.seconds)


def measure(directory: Path, seconds: float) -> None:
    print(disk(directory, seconds), flush=True)
    for kind in ("echo", "agent"):
        with served(kind, directory) as path:
            for name, connections, depth in [
                ("1 raiser, lock-step", 1, 1),
                ("16 raisers, lock-step", 16, 1),
                (f"1 raiser, {PIPELINE} in flight", 1, PIPELINE),
            ]:
                print(raisers(f"{kind}: {name}", path, connections, depth, seconds), flush=True)


def disk(directory: Path, seconds: float) -> Row:
    """The bare limit of one event at a time: write, fdatasync."""
    file = os.open(directory / "bare", os.O_WRONLY | os.O_CREAT, 0o600)
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        os.write(file, RECORD)
        os.fdatasync(file)
        took.append(time.perf_counter() - before)
    os.close(file)
    return _row("bare disk: write and fdatasync", took, len(took) / seconds)


def raisers(name: str, path: Path, connections: int, depth: int, seconds: float) -> Row:
    """So many connections, each with `depth` requests in flight; every answer is looked at."""
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(path))
        selector.register(connection, selectors.EVENT_READ, _Raiser(connection, depth))
    end = time.perf_counter() + seconds
    took: list[float] = []
    while time.perf_counter() < end:
        for key, _ in selector.select(1.0):
            took += key.data.answers()
    rate = len(took) * depth / seconds if depth > 1 else len(took) / seconds
    for key in list(selector.get_map().values()):
        key.data.connection.close()
    selector.close()
    return _row(name, took if depth == 1 else [], rate)


class _Raiser:
    """Sends `depth` lines, waits for as many answers, again."""

    def __init__(self, connection: socket.socket, depth: int) -> None:
        self.connection, self._depth, self._lines = connection, depth, 0
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self.connection.sendall(LINE * self._depth)

    def answers(self) -> list[float]:
        """The time a whole round took, when it is complete."""
        data = self.connection.recv(256 * 1024)
        if b'"ok": false' in data or not data:
            raise SystemExit(f"refused: {data!r}")
        self._lines += data.count(b"\n")
        if self._lines < self._depth:
            return []
        self._lines = 0
        took = time.perf_counter() - self._sent
        self._send()
        return [took]


@contextmanager
def served(kind: str, directory: Path) -> Iterator[Path]:
    """A server in a process of its own; the path of its socket."""
    path = directory / kind
    path.mkdir()
    command = [sys.executable, __file__, "--serve", kind, "--directory", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Path(process.stdout.readline().strip())
        finally:
            process.stdin.close()  # the server ends with its input


async def serve(kind: str, directory: Path) -> None:
    """Until the standard input closes."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await (serve_agent if kind == "agent" else serve_echo)(directory, ended)


async def serve_agent(directory: Path, ended: asyncio.Event) -> None:
    events, deferred = await Spool.open(directory / "events"), await Spool.open(directory / "deferred")
    agent = await Agent.open(directory / "run", Intake(events, deferred, wanted=lambda name: True, deferred_most=3000))
    print(directory / "run" / "agent.sock", flush=True)
    await ended.wait()
    await agent.close()
    await events.close()
    await deferred.close()


async def serve_echo(directory: Path, ended: asyncio.Event) -> None:
    server = await asyncio.get_running_loop().create_unix_server(_Echo, directory / "echo.sock")
    print(directory / "echo.sock", flush=True)
    await ended.wait()
    server.close()


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


def _row(name: str, took: list[float], rate: float) -> Row:
    if not took:
        return Row(name, rate)
    ordered = sorted(took)
    return Row(name, rate, statistics.median(ordered) * 1e6, ordered[len(ordered) * 99 // 100] * 1e6)


if __name__ == "__main__":
    main()
