"""What low-load communication costs the network (spec 5), by the kernels' own counters, one network namespace a node.

    python tests/bench/lowload.py [--seconds 60] [--rate 100] [--rows NAME ...]

Three nodes, a period of 1 s, overflow `wait`; as root. Each row: so many a minute of one kind, raised on the two nodes
that do not lead, each item some 256 bytes; beside it the same sent immediately. Messages are what programs send over
TCP; each is one frame here, and its acknowledgement another (namespaces.py; where frames are smaller, a periodic
packet of 4 KiB takes up to three). Connections stand before a row begins.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import measuring
from cluster import Cluster
from namespaces import Network, Traffic, sent

from noroshi.node.client import Raiser
from noroshi.store.config.monitors import MONITORS

NAMES = ("a", "b", "c")
TEXT = "x" * 190
"""Makes an item of some 256 bytes."""

QUIET = ", ".join(f"{name}: false" for name in MONITORS)
"""No monitor: what one sees of a busy machine is an event, and that is a message."""
SETTLE = 3
"""Periods before and after a row, for what is still under way."""

DEFINITIONS = """
events:
""" + "".join(
    f"""
  - name: {delivery}-{name}
    match: {{event: "told/{delivery}/{name}"}}
    duplicates: allow
    delivery: {delivery}
    notify: [{{priority: 1, node: {name}, procedure: process, application: ["{{{name}}}", {delivery}]}}]
"""
    for delivery in ("immediate", "deferred")
    for name in NAMES
)


@dataclass(frozen=True)
class Sample:
    """At one instant: what left all hosts; how many periodic packets the daemons have sent, and how many early."""

    traffic: Traffic
    packets: int
    early: int


@dataclass(frozen=True)
class Row:
    """One measurement. `messages`: frames that carried something; `periodic` of them are periodic packets."""

    name: str
    seconds: float
    items: int
    frames: int
    bytes: int
    periodic: int
    early: int

    @property
    def messages(self) -> float:
        return self.frames / 2

    @property
    def more(self) -> float:
        """Messages that are no periodic packets."""
        return self.messages - self.periodic


class Bench:
    """A running cluster on its own network."""

    def __init__(self, cluster: Cluster, interval: float) -> None:
        self.cluster, self.interval = cluster, interval
        leader = cluster.await_up(timeout=60).node
        self.others = [name for name in NAMES if name != leader]
        self.raisers = {name: Raiser(cluster.nodes[name].socket) for name in NAMES}
        time.sleep(SETTLE * interval)

    def close(self) -> None:
        for raiser in self.raisers.values():
            raiser.close()

    def sample(self) -> Sample:
        """Taken where no packet was on its way."""
        while True:
            before = self._counts()
            time.sleep(self.interval / 50)
            traffic = sum((sent(self._pid(name)) for name in NAMES), Traffic(0, 0))
            time.sleep(self.interval / 50)
            if before == self._counts():
                return Sample(traffic, *before)

    def row(self, name: str, seconds: float, rate: float, work: Callable[[str, int], None] | None) -> Row:
        """`rate` times a minute call `work(node, number)`; then wait until nothing is under way.

        Once before that on each node, so that connections stand.
        """
        if work is not None:
            for node in self.others:
                work(node, -1)
            time.sleep(SETTLE * self.interval)
        before, began = self.sample(), time.monotonic()
        items = round(seconds * rate / 60) if work is not None else 0
        for number in range(items):
            time.sleep(max(0.0, began + (number + 0.5) * 60 / rate - time.monotonic()))
            if work is not None:
                work(self.others[number % 2], number)
        time.sleep(max(0.0, began + seconds - time.monotonic()) + SETTLE * self.interval)
        after = self.sample()
        traffic = after.traffic - before.traffic
        periodic, early = (after.packets - before.packets) * (len(NAMES) - 1), after.early - before.early
        return Row(name, time.monotonic() - began, items, traffic.frames, traffic.bytes, periodic, early)

    # --- kinds of work --------------------------------------------------------------------------------------------

    def deferred_event(self, node: str, number: int) -> None:
        self.raisers[node].defer_event(f"app/statistics/{node}", "OK", f"{number} {TEXT}")

    def immediate_event(self, node: str, number: int) -> None:
        self.raisers[node].raise_event(f"app/statistics/{node}", "OK", f"{number} {TEXT}")

    def deferred_line(self, node: str, number: int) -> None:
        self._append(node, "deferred.log", number)

    def immediate_line(self, node: str, number: int) -> None:
        self._append(node, "immediate.log", number)

    def deferred_notification(self, node: str, number: int) -> None:
        self.raisers[node].defer_event(f"told/deferred/{node}", "OK", f"{number} {TEXT}")

    def immediate_notification(self, node: str, number: int) -> None:
        self.raisers[node].raise_event(f"told/immediate/{node}", "OK", f"{number} {TEXT}")

    def users_data(self, node: str, number: int) -> None:
        other = self.others[0] if node == self.others[1] else self.others[1]
        self.raisers[node].exchange(
            json.dumps({"verb": "put", "to": other, "data": f"{number} {TEXT}"}).encode() + b"\n"
        )
        self.raisers[node].exchange(b'{"verb": "take"}\n')

    def all_deferred(self, node: str, number: int) -> None:
        for work in (self.deferred_event, self.deferred_line, self.deferred_notification, self.users_data):
            work(node, number)

    def _append(self, node: str, file: str, number: int) -> None:
        with (self.cluster.nodes[node].home / file).open("a") as log:
            log.write(f"{number} {TEXT}\n")

    def _pid(self, name: str) -> int:
        daemon = self.cluster.nodes[name].daemon
        assert daemon is not None
        return daemon.pid

    def _counts(self) -> tuple[int, int]:
        told = [json.loads(raiser.exchange(b'{"verb": "counts"}\n'))["packets"] for raiser in self.raisers.values()]
        return sum(each["sent"] for each in told), sum(each["early"] for each in told)


WORKS: dict[str, Callable[[Bench], Callable[[str, int], None]] | None] = {
    "nothing": None,
    "deferred events": lambda bench: bench.deferred_event,
    "immediate events": lambda bench: bench.immediate_event,
    "deferred lines": lambda bench: bench.deferred_line,
    "immediate lines": lambda bench: bench.immediate_line,
    "deferred notifications": lambda bench: bench.deferred_notification,
    "immediate notifications": lambda bench: bench.immediate_notification,
    "users' data": lambda bench: bench.users_data,
    "all deferred kinds": lambda bench: bench.all_deferred,
}


def measure(root: Path, seconds: float, rate: float, names: Sequence[str], interval: float = 1.0) -> list[Row]:
    """The rows by these names."""
    with Network(len(NAMES)) as network:
        addresses = {name: (address, 7400) for name, address in zip(NAMES, network.addresses, strict=True)}
        prefixes = {name: network.prefix(number) for number, name in enumerate(NAMES)}
        heartbeat = f"{interval * 1000:g}ms, overflow: wait"
        extra = {name: _node(root / "cluster" / name) for name in NAMES}
        with Cluster(
            root / "cluster",
            NAMES,
            heartbeat,
            DEFINITIONS,
            extra=extra,
            addresses=addresses,
            prefixes=prefixes,
            logs=False,
        ) as cluster:
            for node in cluster.nodes.values():
                (node.home / "deferred.log").touch()
                (node.home / "immediate.log").touch()
            with closing(Bench(cluster.start(), interval)) as bench:
                return [bench.row(name, seconds, rate, _work(bench, name)) for name in names]


def _work(bench: Bench, name: str) -> Callable[[str, int], None] | None:
    work = WORKS[name]
    return None if work is None else work(bench)


def _node(home: Path) -> str:
    deferred, immediate = home / "deferred.log", home / "immediate.log"
    return (
        f'logs: [{{path: "{deferred}", deferred: true}}, {{path: "{immediate}"}}]\n'
        f'notifier: {{programs: ["{home / "tell"}"]}}\nmonitors: {{{QUIET}}}\n'
    )


def show(rows: Sequence[Row]) -> None:
    """The table; what a row has more than `nothing` is per item."""
    idle = rows[0].bytes / rows[0].seconds
    heads = ("messages/s", "of them periodic", "more/item", "early", "frames/s", "bytes/s", "bytes/item more")
    print(f"{'':26}{'items':>6} {'  '.join(f'{head:>15}' for head in heads)}")
    for row in rows:
        each = max(row.items, 1)
        figures = (
            f"{row.messages / row.seconds:.2f}",
            f"{row.periodic / row.seconds:.2f}",
            f"{row.more / each:.2f}",
            str(row.early),
            f"{row.frames / row.seconds:.2f}",
            f"{row.bytes / row.seconds:.0f}",
            f"{(row.bytes - idle * row.seconds) / each:.0f}" if row.items else "",
        )
        print(f"{row.name:26}{row.items:6} {'  '.join(f'{figure:>15}' for figure in figures)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of each row (default 60)")
    parser.add_argument("--rate", type=float, default=100, help="items a minute (default 100)")
    parser.add_argument("--rows", nargs="+", choices=list(WORKS), default=list(WORKS))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # and clean up
    names = ["nothing", *(name for name in arguments.rows if name != "nothing")]
    with tempfile.TemporaryDirectory() as folder:
        show(measure(Path(folder), arguments.seconds, arguments.rate, names))


if __name__ == "__main__":
    assert measuring
    main()
