"""The bare way of a notification, which no cluster can undercut: each role of it a process with a blocking loop.

    python bare_notify.py raiser SOCKET FILE ENDPOINT      a line over a Unix socket; write, fdatasync, answer, REQ
    python bare_notify.py coordinator ENDPOINT NEXT FOLDER REQ in; one row in SQLite's log, committed; PUSH, answer
    python bare_notify.py node ENDPOINT PROGRAM [FILE]     PULL in; with FILE: write, fdatasync; posix_spawn
    python bare_notify.py receiver SOCKET COUNT            takes COUNT lines, a connection each; prints what came

Role: what `notify.py` measures beside Noroshi. No name, no term, no duplicate, no answer of the program, no history.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

import apsw
import zmq

RECORD = bytes(200)
QUIET = 10.0
"""Seconds without a line after which a receiver gives up waiting for more."""


def raiser(path: str, file: str, endpoint: str) -> None:
    """What a node's daemon must do before it may say that an event is safe, and then to hand it on."""
    log = _appended(file)
    coordinator = _socket(zmq.REQ, endpoint, bind=False)
    with _listening(path) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                line = connection.recv(4096)
                _sync(log)
                connection.sendall(b"ok\n")
            coordinator.send(line)
            coordinator.recv()


def coordinator(endpoint: str, onward: str, folder: str) -> None:
    """One row committed for each request; told to the node before the answer."""
    database = apsw.Connection(str(Path(folder) / "bare.db"))
    for setting in ("locking_mode=exclusive", "journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
        database.execute(f"PRAGMA {setting}").fetchall()
    database.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, event BLOB)")
    asked, node = _socket(zmq.REP, endpoint), _socket(zmq.PUSH, onward, bind=False)
    while True:
        event = asked.recv()
        database.execute("INSERT INTO events (event) VALUES (?)", (event,))
        node.send(event)
        asked.send(b"")


def node(endpoint: str, program: str, file: str = "") -> None:
    """Start the program for each message; with `file` not before that is on the disk."""
    told, log = _socket(zmq.PULL, endpoint), _appended(file) if file else -1
    while True:
        told.recv()
        if file:
            _sync(log)
        pid = os.posix_spawn(program, [program], os.environ, setsid=True)
        os.waitpid(pid, 0)


def receiver(path: str, count: str) -> None:
    """Stops once `count` different events have come, or nothing has for a while; prints one JSON object."""
    came: dict[str, int] = {}
    lines, first, last = 0, 0.0, 0.0
    with _listening(path) as listening:
        listening.settimeout(QUIET)
        print("listening", flush=True)
        while len(came) < int(count):
            try:
                line = _line(listening)
            except TimeoutError:
                break
            last = time.perf_counter()
            first = first or last
            lines += 1
            event = json.loads(line)["event"]
            came[event] = came.get(event, 0) + 1
    print(json.dumps({"lines": lines, "events": len(came), "first": first, "last": last}), flush=True)


def _line(listening: socket.socket) -> bytes:
    connection, _ = listening.accept()
    with connection:
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(65536)
        return line


def _listening(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(1024)
    return listening


def _socket(kind: int, endpoint: str, *, bind: bool = True) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    made.bind(endpoint) if bind else made.connect(endpoint)
    return made


def _appended(file: str) -> int:
    return os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


def _sync(log: int) -> None:
    os.write(log, RECORD)
    os.fdatasync(log)


if __name__ == "__main__":
    roles = {"raiser": raiser, "coordinator": coordinator, "node": node, "receiver": receiver}
    roles[sys.argv[1]](*sys.argv[2:])
