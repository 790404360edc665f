"""What polling 1,000 monitors costs, beside a bare loop that does the same looks and nothing else.

    python tests/bench/monitors.py [--monitors N] [--interval S] [--seconds S]

Rows: monitors that read files below /proc and /sys (trees that stand for them), a third each of raid, pressure and
memory with eight modules; then commands that do nothing, where nearly all is what the system takes to start a process,
shown for the daemon itself and for the programs it started. CPU in per cent of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from monitored import options, tree
from waiting import wait_until

from noroshi.node.daemon.monitoring import Monitoring
from noroshi.node.monitors.memory import DIRECTORY, MemoryMonitor
from noroshi.node.monitors.observation import Monitor
from noroshi.node.monitors.pressure import PressureMonitor
from noroshi.node.monitors.raid import RaidMonitor
from noroshi.node.monitors.registry import build
from noroshi.node.monitors.tools import Tools

PSI = "some avg10=0.00 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.50 avg300=0.00 total=1"
MDSTAT = "".join(f"md{n} : active raid1 sdb{n}[1] sda{n}[0]\n      1 blocks [2/2] [UU]\n" for n in range(4))


@dataclass(frozen=True)
class Row:
    """`own` and `programs`: per cent of a CPU. `looks` a second."""

    name: str
    looks: float
    own: float
    programs: float

    def __str__(self) -> str:
        return f"{self.name:<44} {self.looks:7.1f} looks/s   {self.own:6.2f} %   programs {self.programs:6.2f} %"


def main() -> None:
    """Run every row once and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--monitors", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=30.0, help="of each monitor, seconds (default 30)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row (default 20)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        files = reading(Path(directory), given.monitors, given.interval)
        print(bare(f"bare loop: {given.monitors} read files", files, given), flush=True)
        print(asyncio.run(polled(f"daemon: {given.monitors} read files", files, given)), flush=True)
    print(bare_starts(f"bare loop: {given.monitors} start /bin/true", given), flush=True)
    tools = Tools()
    commands = commanding(given.monitors, given.interval, tools)
    print(asyncio.run(polled(f"daemon: {given.monitors} commands /bin/true", commands, given)), flush=True)
    tools.close()


def reading(directory: Path, count: int, interval: float) -> dict[str, Monitor]:
    """Monitors of three kinds, each with a tree of its own."""
    tools, monitors = Tools(), dict[str, Monitor]()
    for place in range(count):
        root = directory / str(place)
        match place % 3:
            case 0:
                tree(root, {"proc/mdstat": MDSTAT})
                monitors[f"raid{place}"] = RaidMonitor("db1", options("raid", root, interval=interval))
            case 1:
                tree(root, {f"proc/pressure/{name}": PSI for name in ("cpu", "memory", "io")})
                monitors[f"pressure{place}"] = PressureMonitor("db1", options("pressure", root, interval=interval))
            case _:
                for module in range(8):
                    files = {"dimm_label": f"DIMM_{module}", "dimm_ce_count": 3, "dimm_ue_count": 0}
                    tree(root, {f"{DIRECTORY}/mc0/dimm{module}/{name}": value for name, value in files.items()})
                given = options("memory", root, interval=interval)
                monitors[f"memory{place}"] = MemoryMonitor("db1", given, tools.record)
    return monitors


def commanding(count: int, interval: float, tools: Tools) -> dict[str, Monitor]:
    command = {"run": ("/bin/true",), "interval": interval, "timeout": 10.0, "match": None}
    return build("db1", {f"command/{place}": {"name": str(place), **command} for place in range(count)}, tools)


def bare(name: str, monitors: Mapping[str, Monitor], given: argparse.Namespace) -> Row:
    """The same looks at the same rate, in one loop."""
    ring = list(monitors.values())
    return paced(name, given, lambda place: ring[place % len(ring)].observe(time.monotonic()))


def bare_starts(name: str, given: argparse.Namespace) -> Row:
    return paced(name, given, lambda place: subprocess.run(["/bin/true"], check=True))


def paced(name: str, given: argparse.Namespace, look: Callable[[int], object]) -> Row:
    """`look` at the rate of all monitors together, for the time of a row."""
    step, done = given.interval / given.monitors, 0
    for place in range(given.monitors):
        look(place)  # the first time costs more, and is not what is measured
    before, start = used(), time.monotonic()
    while (now := time.monotonic()) < start + given.seconds:
        while start + done * step <= now:
            look(done)
            done += 1
        time.sleep(max(0.0, start + done * step - time.monotonic()))
    return row(name, done, before, time.monotonic() - start)


async def polled(name: str, monitors: Mapping[str, Monitor], given: argparse.Namespace) -> Row:
    """By the daemon's own shell, after every monitor was looked at twice: from then on they are spread evenly."""
    counted = Counted(monitors)

    async def raise_event(event: str, state: str, supplement: str) -> None:
        counted.raised += 1

    shell = Monitoring("db1", counted.monitors, raise_event)
    shell.start()
    twice = 2 * len(monitors)
    await asyncio.to_thread(wait_until, "all were looked at twice", lambda: counted.looks >= twice, 300, 0.2)
    looks, before, start = counted.looks, used(), time.monotonic()
    await asyncio.sleep(given.seconds)
    result = row(name, counted.looks - looks, before, time.monotonic() - start)
    await shell.stop()
    return result


class Counted:
    """The monitors, with each look counted."""

    def __init__(self, monitors: Mapping[str, Monitor]) -> None:
        self.looks = self.raised = 0
        self.monitors = dict(monitors)
        for monitor in self.monitors.values():
            monitor.observe = self._counting(monitor.observe)  # type: ignore[method-assign]

    def _counting(self, observe: Callable[[float], object]) -> Callable[[float], object]:
        def look(now: float) -> object:
            self.looks += 1
            return observe(now)

        return look


def used() -> tuple[float, float]:
    """Seconds of CPU of this process, and of those it started and saw ending."""
    own, programs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, programs.ru_utime + programs.ru_stime


def row(name: str, looks: int, before: tuple[float, float], seconds: float) -> Row:
    own, programs = (100 * (after - first) / seconds for first, after in zip(before, used(), strict=True))
    return Row(name, looks / seconds, own, programs)


if __name__ == "__main__":
    main()
