"""A cluster under load in which nodes, processes and links die at random; what was promised is counted at the end.

Promised: an event whose raiser was told that it is safe, a line that stands in a followed file. Each must be in the
database exactly once, in order per source. What a raiser was not told is promised to nobody, and may be stored once.
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
from waiting import wait_until

from noroshi.node.client import RaiseError, Raiser
from noroshi.store import lock, views

NAMES = ("a", "b", "c", "d")
PAUSE = 0.01
"""Seconds between two events of a node, and two of its lines."""


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
    """Raises events on one node and appends lines to its log, numbered, until told to stop."""

    def __init__(self, running: Cluster, node: str) -> None:
        super().__init__(name=f"load-{node}")
        self.node, self._files = node, running.nodes[node]
        self.events: list[int] = []
        self.lines = 0
        self._rotations = 0
        self._rotate, self._stop_it = threading.Event(), threading.Event()

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
                try:
                    raiser.raise_event(f"app/chaos/{self.node}/{number}", "ERROR")
                except RaiseError:
                    self._stop_it.wait(5 * PAUSE)
                else:
                    self.events.append(number)

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
            log.write(f"{self.node} {self.lines}\n")


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
def started(root: Path) -> Iterator[tuple[Cluster, dict[str, netns.Host]]]:
    """A cluster on hosts of its own where that is possible, else on loopback."""
    with contextlib.ExitStack() as stack:
        hosts: dict[str, netns.Host] = {}
        if os.geteuid() == 0:
            network = stack.enter_context(netns.network())
            hosts = {name: network.boot(number) for number, name in enumerate(NAMES, 1)}
        addresses = {name: (host.address, 7400) for name, host in hosts.items()}
        prefixes = {name: host.prefix for name, host in hosts.items()}
        running = stack.enter_context(Cluster(root / "c", NAMES, addresses=addresses, prefixes=prefixes))
        running.start()
        running.await_up()
        yield running, hosts


def play(root: Path, rounds: int, seed: int, tell: Callable[[str], None] = lambda text: None) -> Outcome:
    """Some rounds of some seconds each, and what became of everything."""
    with started(root) as (running, hosts):
        chaos = Chaos(running, hosts, random.Random(seed))
        loads = [Load(running, name) for name in NAMES]
        for load in loads:
            load.start()
        try:
            for number in range(1, rounds + 1):
                _round(chaos, loads)
                leader = lock.read_lock(running.layout)
                sent = sum(len(load.events) + load.lines for load in loads)
                tell(f"round {number}: {sent} sent, term {leader.term if leader else 0}")
        finally:
            chaos.mend()
            for load in loads:
                load.stop()
        tell(f"happened: {dict(chaos.happened)}")
        return _count(running, loads)


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


def _count(running: Cluster, loads: list[Load]) -> Outcome:
    wanted = [(load.node, "event", n) for load in loads for n in load.events]
    wanted += [(load.node, "line", n) for load in loads for n in range(1, load.lines + 1)]
    with contextlib.suppress(AssertionError):  # what is missing is counted
        wait_until("everything is stored", lambda: not set(wanted) - set(_stored(running)), 60, 0.5)
    found = _stored(running)
    counts = Counter(found)
    lost = set(wanted) - counts.keys()
    return Outcome(
        sent=len(wanted),
        stored=len(counts.keys() & set(wanted)),
        lost=len(lost),
        doubled=sum(times - 1 for times in counts.values()),
        disordered=sum(
            second[2] < first[2]
            for load in loads
            for kind in ("event", "line")
            for first, second in pairwise(item for item in found if item[:2] == (load.node, kind))
        ),
        terms=len(running.query(lambda c: views.terms(c, 1_000_000)) or ()),
    )


def _stored(running: Cluster) -> list[tuple[str, str, int]]:
    """Every item in the order it was stored, as often as it was."""
    events = running.query(
        lambda c: [
            (*name.split("/")[2:], times)
            for name, times in c.execute("SELECT event, count FROM events WHERE event GLOB 'app/chaos/*' ORDER BY id")
        ]
    )
    lines = running.query(lambda c: [line.split() for (line,) in c.execute("SELECT line FROM logs ORDER BY id")])
    found = [(node, "event", int(number)) for node, number, times in events or () for _ in range(times)]
    return found + [(node, "line", int(number)) for node, number in lines or ()]
