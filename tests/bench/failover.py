"""The leader's node killed -> the next leader's first commit; beside it what no implementation can be quicker than.

    python tests/bench/failover.py [--rounds 3] [--intervals 1s 200ms]

The bound: four missed packets (the down time), then the start of a Python process with the coordinator's libraries.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
from measuring import HEADER, milliseconds

from cluster import Cluster  # isort: skip
from waiting import wait_until  # isort: skip


def killed(interval: str, rounds: int) -> list[float]:
    """Seconds from SIGKILL to the first commit of the next term, as the new leader dated it."""
    taken = []
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "c", interval=interval, logs=False) as cluster:
        cluster.start()
        cluster.await_up()
        for _ in range(rounds):
            old = cluster.await_leader()
            time.sleep(3 * _seconds(interval))  # so that every node has heard the leader it is about to miss
            begun = time.time()
            cluster.kill(old.node)
            new = cluster.await_leader(not_term=old.term, timeout=60)
            wait_until("its first commit", lambda term=new.term: _first_commit(cluster, term), 60)
            taken.append(_first_commit(cluster, new.term) - begun)
            cluster.start(old.node)
            cluster.await_up()
    return taken


def _seconds(interval: str) -> float:
    return float(interval.removesuffix("ms")) / 1e3 if interval.endswith("ms") else float(interval.removesuffix("s"))


def _first_commit(cluster: Cluster, term: int) -> float:
    """When the event that says who leads in `term` was stored, seconds since the epoch; 0 while it is not."""
    events = [event for event in cluster.events("coordinator") if event.supplement.endswith(f"term {term}")]
    return events[0].stored_at / 1e6 if events else 0.0


def process_start(rounds: int) -> list[float]:
    """Seconds to start a Python with the coordinator's libraries."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import apsw, zmq, msgspec, yaml"], check=True)
        taken.append(time.perf_counter() - begun)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--intervals", nargs="+", default=["1s", "200ms"])
    arguments = parser.parse_args()
    print(HEADER)
    for interval in arguments.intervals:
        print(milliseconds(f"node killed -> first commit, interval {interval}", killed(interval, arguments.rounds)))
        print(milliseconds("  bound: the down time", [4 * _seconds(interval)]), flush=True)
    print(milliseconds("  bound: start of a bare process", process_start(5)))


if __name__ == "__main__":
    assert measuring
    main()
