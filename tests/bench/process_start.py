"""What starting a program costs: `python tests/bench/process_start.py [--count N] [--mib N]`.

Prints, for one start at a time, the milliseconds until /bin/true has ended (median and 99th percentile): the bare limit
(posix_spawn and waitpid), Popen alone, the notifier's procedure, and the whole notifier with its record on the disk;
then how many a second when many are asked for at once. `--mib` is memory the process holds besides, as a daemon does:
a child that changes its user costs a fork, which grows with it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from notifying import deliver, job, node_config

from noroshi.node.notifier import account
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.notifier.process import Process

TRUE = "/bin/true"


def show(name: str, milliseconds: list[float]) -> None:
    """One line of the table."""
    ordered = sorted(milliseconds)
    print(f"{name:44} {statistics.median(ordered):7.2f} {ordered[int(len(ordered) * 0.99)]:7.2f}", flush=True)


def measure(name: str, count: int, work: Callable[[], object]) -> None:
    """Blocking work, `count` times."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    show(name, times)


async def measure_async(name: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    """The same on an event loop."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1000)
    show(name, times)


def bare() -> None:
    """posix_spawn and waitpid."""
    os.waitpid(os.posix_spawn(TRUE, [TRUE], {}), 0)


def popen() -> None:
    """Popen as the notifier calls it, without pipes and files."""
    subprocess.Popen([TRUE], env={}, close_fds=True, start_new_session=True, cwd="/").wait()


async def one_at_a_time(folder: Path, count: int) -> None:
    """The procedure alone, as another user, and the whole notifier."""
    for user in [None, "nobody"] if os.geteuid() == 0 else [None]:
        procedure = Process("db1", [TRUE], account.resolve(user), folder)
        await measure_async(f"procedure process, user {user or 'own'}", count, lambda p=procedure: p.run(job([TRUE])))
    notifier = Notifier(node_config(folder, TRUE), "demo")
    await measure_async("notifier, record on the disk", count, lambda: notifier.deliver(deliver("process", [TRUE])))
    began = time.perf_counter()
    await asyncio.gather(*(notifier.deliver(deliver("process", [TRUE], timeout=60.0)) for _ in range(count)))
    print(f"{'notifier, at once':44} {count / (time.perf_counter() - began):7.0f} a second")
    await notifier.close()


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--mib", type=int, default=30)
    arguments = parser.parse_args()
    ballast = bytearray(os.urandom(4096) * (arguments.mib * 256))
    print(f"{'start to end of /bin/true, ms':44}  median     99%   ({len(ballast) >> 20} MiB held besides)")
    measure("posix_spawn (the bare limit)", arguments.count, bare)
    measure("Popen", arguments.count, popen)
    began = time.perf_counter()
    for _ in range(arguments.count):
        bare()
    print(f"{'posix_spawn, one after the other':44} {arguments.count / (time.perf_counter() - began):7.0f} a second")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(one_at_a_time(Path(folder), arguments.count))


if __name__ == "__main__":
    main()
