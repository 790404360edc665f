"""Raise on one node -> the program runs on another, and a burst to a Unix socket; beside each the bare limit.

    python tests/bench/notify.py [--count 300] [--burst 10000] [--before 100000] [latency] [loaded] [burst] [matching]

latency   One at a time, from the call of raise_event on node a to the program's first write on node b. Between two all
          is at rest for PAUSE. Bare: `bare_notify.py` as four processes on the same disk, paced the same: REQ, commit,
          tell the other process, posix_spawn, its first write; and the same with what the guarantees ask of anybody:
          the event on the raiser's disk before it is confirmed, the delivery on the node's before anything is started.
loaded    The same with 1,000 definitions and, before, 100,000 events of which half are silenced, half match nothing.
burst     Events of 10,000 names at once on node a, each told to a Unix socket on node b: received, lost, doubled, a
          second. Bare: the same lines by one process, a connection each.
matching  One event against 1,000 definitions (`engine.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import engine
import zmq
from measuring import HEADER, milliseconds

from cluster import Cluster  # isort: skip
from commands import noroshi  # isort: skip
from waiting import wait_until  # isort: skip

from noroshi.console.demo.files import free_ports
from noroshi.node.client import request_line
from noroshi.store.connection import Connection

BARE = Path(__file__).parent / "bare_notify.py"
PAUSE = 0.02
"""Seconds between the start of a program and the next event: as much as everything that follows a start takes."""

PROGRAM = """#!/bin/sh
exec 3>>{fifo}
echo x >&3
"""

MEASURED = """
events:
  - name: measured
    match: {{event: "bench/event"}}
    duplicates: allow
    notify:
      - {{priority: 1, node: b, procedure: process, application: ["{{b}}"]}}
  - name: burst
    match: {{event: "burst/*"}}
    notify:
      - {{priority: 1, node: b, procedure: socket, application: "unix://{receiver}"}}
  - name: quiet
    match: {{event: "quiet/*"}}
    notify:
      - {{priority: 1, node: b, procedure: socket, application: "unix://{receiver}"}}
"""


class Bench:
    """A cluster of three, with a pipe that the program on node b writes to and a socket for the burst."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.fifo, self.receiver = folder / "started", folder / "receiver.sock"
        os.mkfifo(self.fifo)
        text = MEASURED.format(receiver=self.receiver) + more
        self.cluster = Cluster(folder / "cluster", definitions=text, interval="1s", logs=False)
        self.cluster.nodes["b"].program.write_text(PROGRAM.format(fifo=self.fifo))

    def start(self) -> None:
        self.cluster.start()
        self.cluster.await_up()
        with _opened(self.fifo) as started:  # the first event waits until its node has heard who leads
            self.raise_one()
            _await(started)

    def raise_one(self) -> None:
        self.cluster.raise_on("a", "bench/event", "OK")

    def count(self, what: str) -> int:
        """How many rows there are, as any reader sees it."""

        def counted(connection: Connection) -> int:
            return int(next(connection.execute(f"SELECT count(*) FROM {what}"))[0])

        return self.cluster.query(counted) or 0


@contextmanager
def bench(more: str = "") -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="nrs-") as folder:
        made = Bench(Path(folder), more)
        with made.cluster:
            made.start()
            yield made


def _await(started: int) -> None:
    """The program's first write."""
    if not select.select([started], [], [], 30.0)[0]:
        raise SystemExit("the program was not started within 30 s")
    os.read(started, 16)


@contextmanager
def _opened(fifo: Path) -> Iterator[int]:
    descriptor = os.open(fifo, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# --- one at a time ------------------------------------------------------------------------------------------------


def timed(count: int, fifo: Path, one: Callable[[], object]) -> list[float]:
    """Seconds from the call of `one` to the program's first write, `count` times."""
    taken = []
    with _opened(fifo) as started:
        for _ in range(count + 1):
            time.sleep(PAUSE)
            begun = time.perf_counter()
            one()
            _await(started)
            taken.append(time.perf_counter() - begun)
    return taken[1:]  # the first finds modules not loaded and connections not made


def latency(count: int) -> None:
    with bench() as made:
        show("raise on a -> program runs on b", timed(count, made.fifo, made.raise_one))
    bare(count)


def loaded(count: int, before: int) -> None:
    told = "notify: [{priority: 1, node: b, procedure: process, application: [/bin/true]}]"
    lines = [f'  - {{name: {one.name}, match: {{event: "{one.event}"}}, {told}}}\n' for one in engine.definitions(1000)]
    with bench("".join(lines)) as made:
        noroshi(made.cluster, "a", "silence", "add", "quiet/*", "--for", "1h")
        begun = time.perf_counter()
        flood(made.cluster, [f"quiet/{one}" for one in range(before // 2)])
        flood(made.cluster, [f"nobody/{one}" for one in range(before // 2)])
        wait_until("all stored", lambda: made.count("events WHERE event LIKE 'nobody/%'") == before // 2, 120)
        held = made.count("notifications WHERE status = 'held'")
        seconds = time.perf_counter() - begun
        print(f"{before:,} events before in {seconds:.1f} s, {held:,} of them held back", flush=True)
        show("the same after those, 1,000 definitions", timed(count, made.fifo, made.raise_one))


def show(what: str, seconds: list[float]) -> None:
    print(milliseconds(what, seconds), flush=True)


def bare(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="nrs-") as folder:
        root = Path(folder)
        fifo, program = root / "started", root / "program"
        os.mkfifo(fifo)
        program.write_text(PROGRAM.format(fifo=fifo))
        program.chmod(0o700)
        asked, told, told_safely = (f"tcp://127.0.0.1:{port}" for port in free_ports(3))
        with ExitStack() as processes:

            def start(*words: object) -> None:
                command = [sys.executable, str(BARE), *map(str, words)]
                process = processes.enter_context(subprocess.Popen(command))
                processes.callback(process.kill)

            start("coordinator", asked, told, root)
            start("node", told, program)
            context = zmq.Context[zmq.Socket[bytes]]()
            processes.callback(context.destroy, 0)
            request = context.socket(zmq.REQ)
            request.connect(asked)
            show("bare: REQ, commit, tell, posix_spawn, write", timed(count, fifo, _requests(request)))
        (root / "bare.db").unlink()
        with ExitStack() as processes:
            start("coordinator", asked, told_safely, root)
            start("node", told_safely, program, root / "record")
            start("raiser", root / "raiser.sock", root / "spool", asked)
            wait_until("the raiser listens", (root / "raiser.sock").exists)
            show("bare, safe on both nodes' disks too", timed(count, fifo, lambda: _asked(root / "raiser.sock")))


def _requests(request: zmq.Socket[bytes]) -> Callable[[], object]:
    sent = [False]

    def one() -> None:
        if sent[0]:
            request.recv()
        request.send(request_line("bench/event", "OK"))
        sent[0] = True

    return one


def _asked(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.sendall(request_line("bench/event", "OK"))
        connection.recv(64)


# --- a burst ------------------------------------------------------------------------------------------------------


def flood(cluster: Cluster, events: list[str]) -> float:
    """Raise all of them on node a over one connection; seconds until the last was confirmed."""
    begun = time.perf_counter()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(cluster.nodes["a"].socket)
        for start in range(0, len(events), 500):
            connection.sendall(b"".join(request_line(event, "ERROR", "burst") for event in events[start : start + 500]))
            _confirmed(connection, len(events[start : start + 500]))
    return time.perf_counter() - begun


def _confirmed(connection: socket.socket, count: int) -> None:
    while count:
        data = connection.recv(256 * 1024)
        if b'"ok": false' in data or not data:
            raise SystemExit(f"refused: {data!r}")
        count -= data.count(b"\n")


@contextmanager
def received(path: Path, count: int) -> Iterator[Callable[[], dict[str, float]]]:
    """A receiver of so many lines; call it to wait for what came."""
    command = [sys.executable, str(BARE), "receiver", str(path), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield lambda: json.loads(process.stdout.readline())  # type: ignore[union-attr]


def burst(count: int) -> None:
    with bench() as made, received(made.receiver, count) as result:
        begun = time.perf_counter()
        confirmed = flood(made.cluster, [f"burst/{one}" for one in range(count)])
        came = result()
        done = wait_until(
            "all of them in the history as delivered",
            lambda: made.count("notifications WHERE definition = 'burst' AND status = 'delivered'") == count,
            60,
        )
        assert done
        recorded = time.perf_counter() - begun
        seconds = came["last"] - begun
        lost, doubled = count - came["events"], came["lines"] - came["events"]
        print(
            f"burst of {count:,} names to a Unix socket: {count / seconds:,.0f} a second received in {seconds:.2f} s, "
            f"{lost} lost, {doubled} doubled; all raised after {confirmed:.2f} s, all recorded after {recorded:.2f} s",
            flush=True,
        )
    bare_burst(count)


def bare_burst(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="nrs-") as folder:
        path = Path(folder) / "receiver.sock"
        with received(path, count) as result:
            begun = time.perf_counter()
            for one in range(count):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.connect(str(path))
                    connection.sendall(request_line(f"burst/{one}", "ERROR"))
            print(f"bare: connect, write, close: {count / (result()['last'] - begun):,.0f} a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--burst", type=int, default=10_000)
    parser.add_argument("--before", type=int, default=100_000)
    parser.add_argument("parts", nargs="*", default=["latency", "loaded", "burst", "matching"])
    asked = parser.parse_args()
    print(HEADER)
    if "latency" in asked.parts:
        latency(asked.count)
    if "loaded" in asked.parts:
        loaded(asked.count, asked.before)
    if "burst" in asked.parts:
        burst(asked.burst)
    if "matching" in asked.parts:
        engine.bench_matching()


if __name__ == "__main__":
    main()
