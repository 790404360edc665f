"""Many node daemons on one machine: what each costs, and the coordinator, with everything as it ships.

    python tests/bench/many.py [--nodes 50] [--seconds 60] [--rate 100] [--interval 1s]

Every daemon hears every other one's packets: with 50 nodes that is 2,450 a second on this one machine. Meanwhile
`--rate` events a minute are raised, half of them deferred, on all nodes in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measuring
import psutil
from cluster import Cluster
from waiting import wait_until

from noroshi.node.client import Raiser

MIB = 1024 * 1024
FIELDS = ("cpu", "pss", "rss")
START_LIMIT = 600.0


@dataclass(frozen=True)
class Cost:
    """One process: per cent of a CPU, and MiB: proportional to what is shared (PSS), and resident."""

    cpu: float
    pss: float
    rss: float

    def __str__(self) -> str:
        return f"{self.cpu:8.2f} {self.pss:8.1f} {self.rss:8.1f}"


class Watch:
    """The CPU time of processes from now on."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes, self._began = processes, time.monotonic()
        self._before = {name: _cpu(process) for name, process in processes.items()}

    def costs(self) -> dict[str, Cost]:
        seconds = time.monotonic() - self._began
        found = {}
        for name, process in self._processes.items():
            memory = process.memory_full_info()
            share = 100 * (_cpu(process) - self._before[name]) / seconds
            found[name] = Cost(share, memory.pss / MIB, memory.rss / MIB)
        return found


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def processes_of(cluster: Cluster, leader: str) -> dict[str, psutil.Process]:
    """Every daemon, its log monitor, and the coordinator."""
    found = {}
    for name, node in cluster.nodes.items():
        assert node.daemon is not None
        found[f"daemon {name}"] = psutil.Process(node.daemon.pid)
        if (monitor := cluster.log_process(name)) is not None:
            found[f"log monitor {name}"] = monitor
    coordinator = cluster.coordinator_process(leader)
    assert coordinator is not None
    found["coordinator"] = coordinator
    return found


def work(cluster: Cluster, seconds: float, rate: float) -> int:
    """Raise events on all nodes in turn, every other one deferred; how many."""
    raisers = [Raiser(node.socket, timeout=30) for node in cluster.nodes.values()]
    count, began = int(seconds * rate / 60), time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + (number + 0.5) * 60 / rate - time.monotonic()))
        raiser = raisers[number % len(raisers)]
        raise_it = raiser.defer_event if number % 2 else raiser.raise_event
        raise_it(f"app/bench/{number}", "OK", "x" * 190)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    for raiser in raisers:
        raiser.close()
    return count


def packets(cluster: Cluster) -> tuple[int, int]:
    """Packets sent and heard by all daemons since their start."""
    sent = heard = 0
    for node in cluster.nodes.values():
        with Raiser(node.socket, timeout=30) as raiser:
            told = json.loads(raiser.exchange(b'{"verb": "counts"}\n'))["packets"]
        sent, heard = sent + told["sent"], heard + told["heard"]
    return sent, heard


def run(root: Path, nodes: int, seconds: float, rate: float, interval: str) -> None:
    names = tuple(f"n{number:03}" for number in range(1, nodes + 1))
    began = time.monotonic()
    with Cluster(root / "cluster", names, interval) as cluster:
        leader = cluster.start().await_up(timeout=START_LIMIT).node
        print(f"{nodes} nodes UP after {time.monotonic() - began:.0f} s, {leader} leads", flush=True)
        time.sleep(10)  # what follows a start is not its cost
        known = len(cluster.events("server/*"))
        before, watch, idle, at = packets(cluster), Watch(processes_of(cluster, leader)), _idle(), time.monotonic()
        raised = work(cluster, seconds, rate)
        costs, after, took, busy = watch.costs(), packets(cluster), time.monotonic() - at, _idle()
        wait_until("all events stored", lambda: len(cluster.events("app/bench/*")) == raised, 60)
        changes = cluster.events("server/*")[known:]
    show(costs)
    print(f"packets sent {(after[0] - before[0]) / took:.1f}/s, heard {(after[1] - before[1]) / took:.0f}/s")
    print(f"{raised} events raised and stored; changes of nodes' states meanwhile: {len(changes)}")
    for change in changes:
        print(f"  {change.event} {change.state} {change.supplement}")
    print(f"the machine, with whatever else ran on its {os.cpu_count()} CPUs: {100 - (busy - idle) / took:.0f} % busy")


def _idle() -> float:
    """Per cent seconds in which no CPU had anything to do."""
    return 100 * float(psutil.cpu_times().idle) / (os.cpu_count() or 1)


def show(costs: dict[str, Cost]) -> None:
    """Each process, then each kind's median and maximum."""
    print(f"{'':28} {'CPU %':>8} {'PSS MiB':>8} {'RSS MiB':>8}")
    for name, cost in sorted(costs.items()):
        print(f"{name:28} {cost}")
    for kind in ("daemon", "log monitor"):
        mine = [cost for name, cost in costs.items() if name.startswith(kind)]
        for word, share in (("median", 0.5), ("maximum", 1.0)):
            values = [measuring.quantile([getattr(cost, field) for cost in mine], share) for field in FIELDS]
            print(f"{f'{kind}, {word} of {len(mine)}':28} {Cost(*values)}")
    print(f"{'all together':28} {Cost(*(sum(getattr(cost, field) for cost in costs.values()) for field in FIELDS))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which it is watched (default 60)")
    parser.add_argument("--rate", type=float, default=100, help="events a minute (default 100)")
    parser.add_argument("--interval", default="1s", help="of the periodic packets (default 1s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # and clean up
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.nodes, arguments.seconds, arguments.rate, arguments.interval)


if __name__ == "__main__":
    main()
