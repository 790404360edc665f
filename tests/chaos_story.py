"""A cluster under load in which nodes, processes and links die at random; what was promised is counted at the end.

Promised: an event, immediate or deferred, whose raiser was told that it is safe, and what stands in a followed file:
lines, on one node records of two lines. Each must be in the database exactly once, whole, in order per source. What a
raiser was not told is promised to nobody, and may be stored once. Backups are made all the while.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import netns
import psutil
from cluster import Cluster
from commands import noroshi
from waiting import wait_until

from noroshi.node.client import RaiseError, Raiser
from noroshi.store import lock, views

NAMES = ("a", "b", "c", "d")
PAUSE = 0.01
"""Seconds between two events of a node, and two of its lines."""
DEFERRED = 5
"""So many immediate events come to a deferred one."""
RECORDS = "b"
"""The node whose log has records of two lines."""
KINDS = ("event", "deferred", "line")


@dataclass(frozen=True)
class Outcome:
    """What became of what was promised."""

    sent: int
    stored: int
    lost: int
    doubled: int
    disordered: int
    terms: int

    @property
    def right(self) -> bool:
        return not (self.lost or self.doubled or self.disordered)


class Load(threading.Thread):
    """Raises and defers events on one node and appends to its log, all numbered, until told to stop."""

    def __init__(self, running: Cluster, node: str) -> None:
        super().__init__(name=f"load-{node}")
        self.node, self._files = node, running.nodes[node]
        self.events: dict[str, list[int]] = {"event": [], "deferred": []}
        self.lines = 0
        self._rotations = 0
        self._rotate, self._stop_it = threading.Event(), threading.Event()

    @property
    def promised(self) -> list[tuple[str, str, int]]:
        """Node, kind, number."""
        events = [(self.node, kind, number) for kind, numbers in self.events.items() for number in numbers]
        return events + [(self.node, "line", number) for number in range(1, self.lines + 1)]

    def rotate(self) -> None:
        """Rename the log and begin another, as soon as may be."""
        self._rotate.set()

    def stop(self) -> None:
        self._stop_it.set()
        self.join()

    def run(self) -> None:
        number = 0
        with Raiser(self._files.socket, timeout=2.0) as raiser:
            while not self._stop_it.wait(PAUSE):
                number += 1
                self._append()
                self._raise("event", number, raiser.raise_event)
                if number % DEFERRED == 0:
                    self._raise("deferred", number, raiser.defer_event)

    def _raise(self, kind: str, number: int, by: Callable[[str, str], str]) -> None:
        try:
            by(f"chaos/{kind}/{self.node}/{number}", "ERROR")
        except RaiseError:
            self._stop_it.wait(5 * PAUSE)
        else:
            self.events[kind].append(number)

    def _append(self) -> None:
        if self._rotate.is_set():
            self._rotate.clear()
            self._rotations += 1
            # As logrotate names them: .1 is the newest. Files that were never seen are ordered by that.
            for number in range(self._rotations, 1, -1):
                self._files.log.with_name(f"app.log.{number - 1}").rename(
                    self._files.log.with_name(f"app.log.{number}")
                )
            self._files.log.rename(self._files.log.with_name("app.log.1"))
        self.lines += 1
        with self._files.log.open("a") as log:
            log.write(written(self.node, self.lines) + "\n")


def written(node: str, number: int) -> str:
    """A line, or a record."""
    return f"{node} {number}\n  of {number}" if node == RECORDS else f"{node} {number}"


@dataclass
class Chaos:
    """`misfortune` does one thing to somebody; `mend` undoes what lasts."""

    running: Cluster
    hosts: dict[str, netns.Host]
    dice: random.Random
    _undo: list[Callable[[], object]] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def misfortune(self) -> None:
        kinds = [self.kill_node, self.kill_daemon, self.kill_coordinator, self.kill_log_monitor, self.stop_node]
        kinds += [self.pause_coordinator, self.pause_node] + [self.cut_link] * bool(self.hosts)
        kind = self.dice.choice(kinds)
        self.happened[kind.__name__] += 1
        kind(self.dice.choice(NAMES))

    def mend(self) -> None:
        while self._undo:
            self._undo.pop()()
        ended = [name for name in NAMES if not self.running.nodes[name].running]
        if ended:
            self.running.start(*ended)

    def kill_node(self, node: str) -> None:
        self.running.kill(node)

    def stop_node(self, node: str) -> None:
        if self.running.nodes[node].running:
            self.running.signal_group(node, signal.SIGCONT)
            self.running.stop(node)

    def kill_daemon(self, node: str) -> None:
        daemon = self.running.nodes[node].daemon
        assert daemon is not None
        daemon.kill()
        daemon.wait()

    def kill_coordinator(self, node: str) -> None:
        del node  # whoever leads
        for process in filter(None, map(self.running.coordinator_process, NAMES)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_log_monitor(self, node: str) -> None:
        process = self.running.log_process(node)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def pause_coordinator(self, node: str) -> None:
        del node  # whoever leads
        for process in filter(None, map(self.running.coordinator_process, NAMES)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
            self._undo.append(lambda process=process: _resume(process))  # type: ignore[misc]

    def pause_node(self, node: str) -> None:
        self.running.signal_group(node, signal.SIGSTOP)
        self._undo.append(lambda: self.running.signal_group(node, signal.SIGCONT))

    def cut_link(self, node: str) -> None:
        self.hosts[node].cut()
        self._undo.append(self.hosts[node].mend)


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


@contextlib.contextmanager
def started(root: Path, curve: bool) -> Iterator[tuple[Cluster, dict[str, netns.Host]]]:
    """A cluster on hosts of its own where that is possible, else on loopback."""
    with contextlib.ExitStack() as stack:
        hosts: dict[str, netns.Host] = {}
        if os.geteuid() == 0:
            network = stack.enter_context(netns.network())
            hosts = {name: network.boot(number) for number, name in enumerate(NAMES, 1)}
        addresses = {name: (host.address, 7400) for name, host in hosts.items()}
        prefixes = {name: host.prefix for name, host in hosts.items()}
        extra = {name: _log_rule(name, root / "c" / name / "app.log") for name in NAMES}
        keeping = "backup: {every: 10s, keep: 1}\n" + "keys: keys\n" * curve
        of = {"addresses": addresses, "prefixes": prefixes, "extra": extra, "logs": False, "cluster_extra": keeping}
        running = stack.enter_context(Cluster(root / "c", NAMES, **of))  # type: ignore[arg-type]
        if curve:
            _lock_up(running)
        running.start()
        running.await_up()
        yield running, hosts


def _log_rule(node: str, log: Path) -> str:
    records = f', record: {{start: "^{node} "}}, record_timeout: 3s' if node == RECORDS else ""
    return f'logs: [{{path: "{log}"{records}}}]\n'


def _lock_up(running: Cluster) -> None:
    """Keys for every node, and nobody without one is heard."""
    for name in running.names:
        noroshi(running, name, "keygen")
    running.layout.cluster.write_text("security: curve\n" + running.layout.cluster.read_text())


def play(
    root: Path, rounds: int, seed: int, tell: Callable[[str], None] = lambda text: None, *, curve: bool = False
) -> Outcome:
    """Some rounds of some seconds each, and what became of everything."""
    with started(root, curve) as (running, hosts):
        chaos = Chaos(running, hosts, random.Random(seed))
        loads = [Load(running, name) for name in NAMES]
        for load in loads:
            load.start()
        try:
            for number in range(1, rounds + 1):
                _round(chaos, loads)
                leader = lock.read_lock(running.layout)
                sent = sum(len(load.promised) for load in loads)
                tell(f"round {number}: {sent} sent, term {leader.term if leader else 0}")
        finally:
            chaos.mend()
            for load in loads:
                load.stop()
        tell(f"happened: {dict(chaos.happened)}")
        return _count(running, loads, tell)


def _round(chaos: Chaos, loads: list[Load]) -> None:
    """A rotated log, two or three misfortunes close together, and a while to recover in."""
    chaos.dice.choice(loads).rotate()
    for _ in range(chaos.dice.randint(1, 3)):
        _pass(chaos.dice.uniform(0.1, 0.6))
        chaos.misfortune()
    _pass(chaos.dice.uniform(0.2, 1.5))
    chaos.mend()
    _pass(chaos.dice.uniform(0.5, 1.5))


def _pass(seconds: float) -> None:
    """Time in which load and misfortune have their way: there is no condition to wait for."""
    threading.Event().wait(seconds)


def _count(running: Cluster, loads: list[Load], tell: Callable[[str], None]) -> Outcome:
    wanted = [item for load in loads for item in load.promised]
    with contextlib.suppress(AssertionError):  # what is missing is counted
        wait_until("everything is stored", lambda: not set(wanted) - set(_stored(running)), 60, 0.5)
    found = _stored(running)
    counts = Counter(found)
    lost = set(wanted) - counts.keys()
    strange = [item for item in counts if item[1] == "never written"]
    if lost or strange:
        tell(f"lost: {sorted(lost)[:50]}; never written: {strange[:50]}")
    return Outcome(
        sent=len(wanted),
        stored=len(counts.keys() & set(wanted)),
        lost=len(lost),
        doubled=sum(times - 1 for times in counts.values()) + len(strange),
        disordered=sum(
            second[2] < first[2]
            for load in loads
            for kind in KINDS
            for first, second in pairwise(item for item in found if item[:2] == (load.node, kind))
        ),
        terms=len(running.query(lambda c: views.terms(c, 1_000_000)) or ()),
    )


def _stored(running: Cluster) -> list[tuple[str, str, int]]:
    """Every item in the order it was stored, as often as it was."""
    events = running.query(
        lambda c: [
            (*name.split("/")[1:], times)
            for name, times in c.execute("SELECT event, count FROM events WHERE event GLOB 'chaos/*' ORDER BY id")
        ]
    )
    lines = running.query(lambda c: [line for (line,) in c.execute("SELECT line FROM logs ORDER BY id")])
    found = [(node, kind, int(number)) for kind, node, number, times in events or () for _ in range(times)]
    return found + [_as_written(line) for line in lines or ()]


def _as_written(line: str) -> tuple[str, str, int]:
    """What was appended; a part of it, or more, is something that nobody wrote."""
    node, number, *_ = line.split()
    if number.isdecimal() and line == written(node, int(number)):
        return node, "line", int(number)
    return line, "never written", 0
