"""Raise on one node -> the program runs on another, the coordinator idle; beside it the bare parts of that way.

    python tests/bench/latency.py [--count 200]

The program's first act is to write the time into a pipe. Bare: REQ over loopback, one commit with fsync, one message to
another process, posix_spawn, the program's first write.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
from measuring import HEADER, milliseconds

from cluster import Cluster  # isort: skip
from waiting import wait_until  # isort: skip

PROGRAM = """#!/bin/sh
exec 3>>{fifo}
echo x >&3
cat >/dev/null
"""

DEFINITION = """
events:
  - name: measured
    match: {event: "bench/event"}
    duplicates: allow
    notify:
      - {priority: 1, node: b, procedure: process, application: ["{b}"]}
"""


def ours(count: int) -> list[float]:
    """Seconds from the call of raise_event on node a to the program's first write on node b."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fifo = root / "started"
        os.mkfifo(fifo)
        with Cluster(root / "cluster", definitions=DEFINITION, interval="1s", logs=False) as cluster:
            cluster.nodes["b"].program.write_text(PROGRAM.format(fifo=fifo))
            cluster.start()
            cluster.await_up()
            reading = os.open(fifo, os.O_RDWR)
            taken = [_one(cluster, reading) for _ in range(count)]
            wait_until("all delivered", lambda: len(cluster.history("measured")) == count)
            os.close(reading)
            return taken


def _one(cluster: Cluster, reading: int) -> float:
    begun = time.perf_counter()
    cluster.raise_on("a", "bench/event", "OK")
    os.read(reading, 16)
    return time.perf_counter() - begun


BARE = """
import os, sys, time, zmq
endpoint, program = sys.argv[1:]
socket = zmq.Context().socket(zmq.REP)
socket.connect(endpoint)
while True:
    socket.recv()
    pid = os.posix_spawn(program, [program], os.environ)
    socket.send(b"")
    os.waitpid(pid, 0)
"""


def bare(count: int) -> list[float]:
    """The same way without us: append and fsync, REQ, commit and fsync, REQ, posix_spawn, first write."""
    import zmq

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fifo, program = root / "started", root / "program"
        os.mkfifo(fifo)
        program.write_text(PROGRAM.format(fifo=fifo).replace("cat >/dev/null", "exit 0"))
        program.chmod(0o700)
        reading = os.open(fifo, os.O_RDWR)
        log = os.open(root / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        context = zmq.Context()
        socket = context.socket(zmq.REQ)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        other = subprocess.Popen([sys.executable, "-c", BARE, f"tcp://127.0.0.1:{port}", str(program)])
        try:
            return [_bare_one(socket, log, reading) for _ in range(count)]
        finally:
            other.kill()
            other.wait()
            context.destroy(linger=0)


def _bare_one(socket: object, log: int, reading: int) -> float:
    begun = time.perf_counter()
    for _ in range(2):  # the raiser's spool, the coordinator's commit
        os.write(log, bytes(200))
        os.fdatasync(log)
    socket.send(bytes(200))  # type: ignore[attr-defined]
    os.read(reading, 16)
    taken = time.perf_counter() - begun
    socket.recv()  # type: ignore[attr-defined]
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    count = parser.parse_args().count
    print(HEADER)
    print(milliseconds("raise on a -> program runs on b", ours(count)), flush=True)
    print(milliseconds("bare: 2 fsyncs, REQ, posix_spawn, write", bare(count)))


if __name__ == "__main__":
    assert measuring
    main()
