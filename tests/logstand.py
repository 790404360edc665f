"""A stand for the log monitor: its real process, and a coordinator in memory that keeps to the rules of streams."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import zmq
from waiting import wait_until

from noroshi.node.core.receiver import take_part
from noroshi.node.logs.messages import (
    Alive,
    Deferred,
    FromMonitor,
    JournalRule,
    Leader,
    Raise,
    Rule,
    Settings,
    Timing,
    ToMonitor,
    from_monitor,
)
from noroshi.node.wire import codec
from noroshi.node.wire.frames import Splitter, frame
from noroshi.node.wire.messages import Acknowledged, LogBatch, LogPart, Refused, Reply
from noroshi.node.wire.sockets import router

QUICK = Timing(quiet=0.05, active=0.02, rescan=0.2, save=0.02, beat=0.1, reply=0.6, partial=0.4)
"""A monitor that hurries, for tests that wait for it."""

Judge = Callable[[LogBatch], Reply | str | None]


@dataclass
class Shelf:
    """What a coordinator has: lines by source, positions by stream. It outlives the coordinator, as the disk does."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    positions: dict[bytes, int] = field(default_factory=dict)
    parts: list[LogPart] = field(default_factory=list)
    lost: int = 0
    held: int = 0
    """Lines held back by a rate limit."""

    @property
    def times(self) -> list[int]:
        """What the lines say of when they are from, in order of arrival."""
        return [time for part in self.parts for time in part.times]

    def take(self, part: LogPart) -> int:
        """As the real one does, in one transaction."""
        taken = take_part(part.start, part.end, self.positions.get(part.stream))
        if taken.taken:
            self.lost += taken.lost
            self.held += part.held.lines if part.held is not None else 0
            self.lines.setdefault(part.source, []).extend(part.lines)
            self.positions[part.stream] = taken.position
            self.parts.append(part)
        return taken.position


class Coordinator:
    """A ROUTER in a thread. `judge` may answer a batch itself: a Reply instead, "drop" (not taken, no answer),
    "mute" (taken, no answer), None (taken and acknowledged)."""

    def __init__(self, shelf: Shelf, judge: Judge = lambda batch: None) -> None:
        self.shelf, self.judge = shelf, judge
        self.batches = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._socket = router(self._context, "tcp://127.0.0.1:*")
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="coordinator")
        self._thread.start()

    def __enter__(self) -> Coordinator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._context.destroy(0)

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(20):
                *route, data = self._socket.recv_multipart()
                reply = self._answer(codec.requests.decode(data).body)
                if reply is not None:
                    self._socket.send_multipart([*route, codec.encode(reply)], zmq.NOBLOCK)

    def _answer(self, batch: object) -> Reply | None:
        assert isinstance(batch, LogBatch)
        self.batches += 1
        verdict = self.judge(batch)
        if isinstance(verdict, Acknowledged | Refused):
            return verdict
        if verdict == "drop":
            return None
        positions = {part.stream: self.shelf.take(part) for part in batch.parts}
        return None if verdict == "mute" else Acknowledged(1, positions)


class MonitorProcess:
    """`python -m noroshi.node.logs` on a socket pair; the test plays the daemon."""

    def __init__(
        self,
        state: Path,
        rules: Iterable[Rule],
        timing: Timing = QUICK,
        unsure: bool = False,
        journals: Iterable[JournalRule] = (),
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen([sys.executable, "-m", "noroshi.node.logs"], stdin=theirs)
        self._link = ours
        self.raised: list[Raise] = []
        self.deferred: list[LogPart] = []
        self.alive: Alive | None = None
        self.tell(Settings(str(state), "test", "n1", b"incarnat", list(rules), timing, unsure, journals=list(journals)))
        self._thread = threading.Thread(target=self._listen, name="link")
        self._thread.start()

    def __enter__(self) -> MonitorProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def tell(self, message: ToMonitor) -> None:
        self.tell_raw(frame(codec.encode(message)))

    def tell_raw(self, data: bytes) -> None:
        self._link.sendall(data)

    def lead(self, endpoint: str | None) -> None:
        self.tell(Leader(endpoint))

    def count(self, name: str) -> int:
        """What the last sign of life said."""
        return 0 if self.alive is None else self.alive.counts.get(name, 0)

    def await_signs(self, count: int) -> None:
        """So many more signs of life: between two of them it has looked at every file."""
        for _ in range(count):
            seen = self.alive
            wait_until("another sign of life", lambda seen=seen: self.alive is not seen)  # type: ignore[misc]

    def await_looks(self) -> None:
        """It has looked at the directory, and after that at every file: a look that took long, as on a machine with
        much to do, is not followed by the next for a while, however many signs of life there are."""
        before = self.count("looks")
        wait_until("two more looks", lambda: self.count("looks") >= before + 2, 60)
        self.await_signs(2)

    def kill(self) -> None:
        """As kill -9."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """Close the link, as a daemon that stops does; the exit status."""
        if self._link.fileno() >= 0:
            self._link.shutdown(socket.SHUT_WR)
        return self._end()

    def _end(self) -> int:
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._thread.join()
        self._link.close()
        return status

    def _listen(self) -> None:
        splitter = Splitter()
        try:
            while data := self._link.recv(262144):
                for message in splitter.feed(data):
                    self._take(from_monitor.decode(message))
        except ConnectionResetError:
            return

    def _take(self, message: FromMonitor) -> None:
        match message:
            case Alive():
                self.alive = message
            case Raise():
                self.raised.append(message)
            case Deferred(part):
                self.deferred.append(part)


@dataclass
class Stand:
    """A directory of logs, a state directory, and what arrived so far; monitors come and go."""

    directory: Path
    coordinator: Coordinator
    monitors: list[MonitorProcess] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def file(self, name: str) -> Path:
        return self.logs / name

    def start(self, *rules: Rule, **more: object) -> MonitorProcess:
        """A monitor that has had its first look and knows the leader."""
        monitor = MonitorProcess(self.directory / "state", rules, **more)  # type: ignore[arg-type]
        self.monitors.append(monitor)
        monitor.lead(self.coordinator.endpoint)
        wait_until("the monitor has had its first look", lambda: monitor.alive)
        return monitor

    def follow(self, *names: str) -> MonitorProcess:
        return self.start(*(Rule(str(self.logs / name)) for name in names))

    def stored(self, name: str) -> list[str]:
        return self.coordinator.shelf.lines.get(str(self.logs / name), [])

    def wait_for(self, name: str, lines: list[str]) -> None:
        wait_until(f"{lines} of {name}", lambda: self.stored(name) == lines)


@contextmanager
def standing(directory: Path) -> Iterator[Stand]:
    """A stand with nothing on it; its monitors are stopped."""
    (directory / "logs").mkdir()
    with Coordinator(Shelf()) as coordinator:
        stand = Stand(directory, coordinator)
        yield stand
        for monitor in stand.monitors:
            monitor.stop()


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)
