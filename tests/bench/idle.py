"""What a daemon costs when nothing happens: CPU and memory of each process of three idle nodes, default heartbeats.

    python tests/bench/idle.py [--seconds 30]

Beside it a bare Python that has imported apsw, zmq and msgspec.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
import psutil

from cluster import Cluster  # isort: skip

MIB = 1024 * 1024


def measure(seconds: float) -> list[tuple[str, float, float]]:
    """(process, per cent of a CPU, resident MiB)."""
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "c", interval="1s") as cluster:
        cluster.start()
        leader = cluster.await_up().node
        processes = {}
        for name, node in cluster.nodes.items():
            assert node.daemon is not None
            processes[f"node daemon {name}"] = psutil.Process(node.daemon.pid)
            child = cluster.log_process(name)
            if child is not None:
                processes[f"log monitor {name}"] = child
        coordinator = cluster.coordinator_process(leader)
        assert coordinator is not None
        processes[f"coordinator on {leader}"] = coordinator
        time.sleep(5)  # what follows a start is not idleness
        before = {name: _cpu(process) for name, process in processes.items()}
        time.sleep(seconds)
        return [
            (name, 100 * (_cpu(process) - before[name]) / seconds, process.memory_info().rss / MIB)
            for name, process in processes.items()
        ]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def bare() -> float:
    """Resident MiB of a bare process with the libraries."""
    code = "import apsw, zmq, msgspec, sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return float(psutil.Process(process.pid).memory_info().rss) / MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    rows = measure(parser.parse_args().seconds)
    print(f"{'process':28} {'CPU %':>7} {'MiB':>7}")
    for name, cpu, memory in sorted(rows):
        print(f"{name:28} {cpu:7.2f} {memory:7.1f}")
    print(f"{'bare: apsw, zmq, msgspec':28} {'':7} {bare():7.1f}")


if __name__ == "__main__":
    assert measuring
    main()
