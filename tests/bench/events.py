"""Raise on one node -> committed by the coordinator on another and acknowledged; beside it the same in bare code.

    python tests/bench/events.py [--count 500] [--seconds 4] [--directory DIR]

Two whole daemons; that of the raisers says over a pipe what its spool hears acknowledged, which is all that is added.
Bare: a Unix socket, one append and fdatasync for whatever has arrived, a REQ with whatever is safe to a process that
inserts the same rows with apsw and commits with synchronous=FULL. One at a time: the next is raised when the last one
is acknowledged. Several: each raiser waits for its local answers alone, and the rate counts until the last
acknowledgement. Every event is another state, so none is held back as a duplicate.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import apsw
import measuring
import msgspec
import zmq
from measuring import HEADER, milliseconds

from cluster import Cluster  # isort: skip
from waiting import wait_until  # isort: skip

from noroshi.node.wire.messages import Report
from noroshi.store.clock import now_us
from noroshi.store.schema import migrate
from noroshi.store.tables import nodes

PIPELINE = 256
WAYS = (("16 raisers, lock-step", 16, 1), (f"1 raiser, {PIPELINE} in flight", 1, PIPELINE))
SUPPLEMENT = b"payment queue 3 is stuck since 12:04, 118 orders waiting"


# --- who raises -----------------------------------------------------------------------------------------------------


class Acknowledgements:
    """The lines `TIME STREAM SEQUENCE` that the raisers' node writes, times monotonic."""

    def __init__(self, fifo: Path) -> None:
        self._descriptor = os.open(fifo, os.O_RDWR)
        self._rest = b""
        self._read: deque[bytes] = deque()

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> None:
        """Take what has come, so that the writer never waits."""
        *lines, self._rest = (self._rest + os.read(self._descriptor, 65536)).split(b"\n")
        self._read.extend(lines)

    def wait(self, stream: bytes, sequence: int) -> float:
        """When the stream was acknowledged up to there."""
        while True:
            while not self._read:
                self.read()
            at, which, position = self._read.popleft().split()
            if which == stream and int(position) >= sequence:
                return float(at)


class Raiser:
    """Sends `depth` lines, waits for as many answers, again."""

    def __init__(self, path: str, name: str, depth: int) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(path)
        self._line = b'{"event":"app/%s","state":"S%%d","supplement":"%s"}\n' % (name.encode(), SUPPLEMENT)
        self._depth, self._number, self._waiting = depth, 0, 0
        self.answered = 0
        self.last: tuple[bytes, int] = (b"", 0)
        """Stream and sequence of the last event answered."""

    def send(self) -> None:
        numbers = range(self._number, self._number + self._depth)
        self._number, self._waiting = numbers.stop, self._depth
        self.connection.sendall(b"".join([self._line % number for number in numbers]))

    def hear(self) -> None:
        """Read answers."""
        data = self.connection.recv(256 * 1024)
        if b'"ok": false' in data or not data:
            raise SystemExit(f"refused: {data!r}")
        answers = data.splitlines()
        stream, sequence = answers[-1].rsplit(b'"', 2)[1].rsplit(b"-", 1)
        self.last = stream, int(sequence)
        self._waiting -= len(answers)
        self.answered += len(answers)

    @property
    def idle(self) -> bool:
        return self._waiting == 0


def one_at_a_time(path: str, acknowledged: Acknowledgements, count: int) -> list[float]:
    """Seconds from each raise to its acknowledgement."""
    raiser, taken = Raiser(path, "alone", 1), []
    for _ in range(count):
        begun = time.monotonic()
        raiser.send()
        while not raiser.idle:
            raiser.hear()
        taken.append(acknowledged.wait(*raiser.last) - begun)
    return taken


def together(path: str, acknowledged: Acknowledgements, connections: int, depth: int, seconds: float) -> float:
    """Events a second, counted to the acknowledgement of the last."""
    selector, raisers = selectors.DefaultSelector(), []
    selector.register(acknowledged, selectors.EVENT_READ, acknowledged.read)
    begun = time.monotonic()
    for number in range(connections):
        raiser = Raiser(path, f"{depth}/{number}", depth)
        selector.register(raiser.connection, selectors.EVENT_READ, partial(again, raiser, begun + seconds))
        raiser.send()
        raisers.append(raiser)
    while not all(raiser.idle for raiser in raisers):
        for key, _ in selector.select(5.0):
            key.data()
    for raiser in raisers:
        raiser.connection.close()
    last = max((raiser.last for raiser in raisers), key=lambda place: place[1])
    return sum(raiser.answered for raiser in raisers) / (acknowledged.wait(*last) - begun)


def again(raiser: Raiser, until: float) -> None:
    """Read its answers, and send again once all are there, until then."""
    raiser.hear()
    if raiser.idle and time.monotonic() < until:
        raiser.send()


# --- ours -----------------------------------------------------------------------------------------------------------


@contextmanager
def ours(root: Path) -> Iterator[tuple[str, Acknowledgements]]:
    """A cluster of two; the socket of the node that does not lead."""
    fifos = {name: root / f"acknowledged-{name}" for name in "ab"}
    for fifo in fifos.values():
        os.mkfifo(fifo)
    prefixes = {name: (sys.executable, __file__, "--tapped", str(fifo)) for name, fifo in fifos.items()}
    heard = {name: Acknowledgements(fifo) for name, fifo in fifos.items()}
    with Cluster(root / "cluster", ("a", "b"), interval="1s", logs=False, prefixes=prefixes) as cluster:
        cluster.start()
        cluster.await_up()
        leader = cluster.await_leader().node
        name = cluster.other_than(leader)
        yield cluster.nodes[name].socket, heard[name]


def tapped(fifo: str, command: list[str]) -> int:
    """The daemon, which says when its events are acknowledged."""
    from noroshi.node.__main__ import main as daemon
    from noroshi.node.daemon.spool import Spool

    pipe, acknowledge = os.open(fifo, os.O_RDWR), Spool.acknowledge

    def tap(spool: Spool, stream: bytes, sequence: int) -> None:
        acknowledge(spool, stream, sequence)
        if spool.directory.name == "events":
            os.write(pipe, b"%f %s %d\n" % (time.monotonic(), stream.hex().encode(), sequence))

    Spool.acknowledge = tap  # type: ignore[method-assign]
    sys.argv = ["noroshi", *command[command.index("noroshi.node") + 1 :]]
    return daemon()


# --- bare -----------------------------------------------------------------------------------------------------------


@contextmanager
def bare(root: Path) -> Iterator[tuple[str, Acknowledgements]]:
    """The two processes; the socket of the first."""
    fifo, path = root / "acknowledged", root / "socket"
    os.mkfifo(fifo)
    acknowledged = Acknowledgements(fifo)
    with ExitStack() as ending:
        for kind in ("commits", "listens"):
            process = subprocess.Popen([sys.executable, __file__, "--bare", kind, "--directory", str(root)])
            ending.callback(process.wait)
            ending.callback(process.kill)
        wait_until("the bare processes run", lambda: path.exists() and (root / "endpoint").exists())
        yield str(path), acknowledged


class BareNode:
    """Appends what has arrived, answers, sends what is safe, one request in flight."""

    def __init__(self, root: Path) -> None:
        self._fifo = os.open(root / "acknowledged", os.O_RDWR)
        self._file = os.open(root / "appended", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._clients: dict[int, tuple[socket.socket, bytes]] = {}
        self._poller = zmq.Poller()
        self._request = zmq.Context().socket(zmq.REQ)
        wait_until("the other process listens", (root / "endpoint").exists)
        self._request.connect(f"ipc://{root}/endpoint")
        self._poller.register(self._request, zmq.POLLIN)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(root / "socket"))
        self._listening.listen(100)
        self._poller.register(self._listening.fileno(), zmq.POLLIN)
        self._sequence, self._safe, self._asked = 0, list[Report](), False

    def run(self) -> None:
        while True:
            ready = dict(self._poller.poll())
            if self._listening.fileno() in ready:
                client, _ = self._listening.accept()
                self._clients[client.fileno()] = client, b""
                self._poller.register(client.fileno(), zmq.POLLIN)
            arrived = [(at, self._read(at)) for at in ready if at in self._clients]
            self._append([(at, lines) for at, lines in arrived if lines])
            if self._request in ready:
                self._acknowledged(self._request.recv())
            self._send()

    def _read(self, at: int) -> list[bytes]:
        client, rest = self._clients[at]
        data = client.recv(256 * 1024)
        if not data:
            self._poller.unregister(at)
            self._clients.pop(at)[0].close()
            return []
        *lines, rest = (rest + data).split(b"\n")
        self._clients[at] = client, rest
        return lines

    def _append(self, arrived: list[tuple[int, list[bytes]]]) -> None:
        if not arrived:
            return
        at, answers, records = now_us(), [], []
        for client, lines in arrived:
            answer = []
            for line in lines:
                said = msgspec.json.decode(line)
                self._sequence += 1
                report = Report(self._sequence, said["event"], said["state"], said["supplement"], at)
                self._safe.append(report)
                records.append(msgspec.msgpack.encode(report))
                answer.append(b'{"ok": true, "id": "bare-%d"}\n' % self._sequence)
            answers.append((client, b"".join(answer)))
        os.write(self._file, b"".join(records))
        os.fdatasync(self._file)
        for client, text in answers:
            self._clients[client][0].sendall(text)

    def _send(self) -> None:
        if self._safe and not self._asked:
            self._request.send(msgspec.msgpack.encode(self._safe))
            self._safe, self._asked = [], True

    def _acknowledged(self, position: bytes) -> None:
        self._asked = False
        os.write(self._fifo, b"%f bare %s\n" % (time.monotonic(), position))


_EVENT = (
    "INSERT INTO events (event, category, state, supplement, node, observed_at, stored_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_STATE = (
    "INSERT OR REPLACE INTO states (event, event_id, category, state, supplement, node, observed_at, stored_at,"
    " seen_at, count, ordered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1)"
)


def bare_commits(root: Path) -> None:
    """Insert, commit, answer with the last sequence."""
    connection = apsw.Connection(str(root / "bare.db"))
    for name, value in (("locking_mode", "exclusive"), ("journal_mode", "wal"), ("synchronous", "full")):
        connection.pragma(name, value)
    migrate(connection)
    node = nodes.node_id(connection, "bare")
    replies = zmq.Context().socket(zmq.REP)
    replies.bind(f"ipc://{root}/endpoint")
    decoder = msgspec.msgpack.Decoder(list[Report])
    while True:
        reports, at = decoder.decode(replies.recv()), now_us()
        connection.execute("BEGIN IMMEDIATE")
        for report in reports:
            said = (report.state, report.supplement, node, report.observed_at, at)
            connection.execute(_EVENT, (report.event, "user", *said))
            row = connection.last_insert_rowid()
            connection.execute(_STATE, (report.event, row, "user", *said, at))
        connection.execute("COMMIT")
        replies.send(b"%d" % reports[-1].sequence)


# --- the table ------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk to measure")
    parser.add_argument("--bare", choices=("commits", "listens"), help=argparse.SUPPRESS)
    if sys.argv[1:2] == ["--tapped"]:
        return tapped(sys.argv[2], sys.argv[3:])
    given = parser.parse_args()
    if given.bare:
        (bare_commits if given.bare == "commits" else lambda root: BareNode(root).run())(given.directory)
        return 0
    measured = {name: figures(make, given) for name, make in (("ours", ours), ("bare", bare))}
    print(HEADER)
    for name, (alone, _) in measured.items():
        print(milliseconds(f"{name}: raise -> acknowledged, one at a time", alone))
    print(f"\n{'events a second':44} {'ours':>9} {'bare':>9}")
    for at, (way, _, _) in enumerate(WAYS):
        print(f"{way:44} {measured['ours'][1][at]:9,.0f} {measured['bare'][1][at]:9,.0f}")
    return 0


Stand = Callable[[Path], "contextmanager[tuple[str, Acknowledgements]]"]


def figures(make: Stand, given: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Latencies one at a time in seconds, then a rate for each of WAYS."""
    with tempfile.TemporaryDirectory(dir=given.directory) as folder, make(Path(folder)) as (path, acknowledged):
        alone = one_at_a_time(path, acknowledged, given.count + 1)[1:]  # who leads is heard in the next packet
        return alone, [together(path, acknowledged, many, depth, given.seconds) for _, many, depth in WAYS]


if __name__ == "__main__":
    assert measuring
    sys.exit(main())
