"""How fast the log monitor reads, selects and sends, beside a bare loop; and what watching quiet files costs.

    python tests/bench/logtail.py [--lines N] [--quiet FILES]

The monitor is its real process with its default timing; the coordinator only acknowledges. The bare loop reads the
same file in the same blocks, splits it and runs the same searches, without saving, sending or looking at anything.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from logstand import Coordinator, MonitorProcess, Shelf
from waiting import wait_until

from noroshi.node.logs.messages import Limit, Record, Rule, Timing
from noroshi.node.logs.watcher import RESTING
from noroshi.node.wire.messages import Acknowledged, LogBatch, Reply

SELECT, EXCEPT = ["error", "fail"], ["harmless"]
LENGTHS = (60, 120, 400)
MORE: dict[str, dict[str, Any]] = {
    "records of five lines": {"record": Record("^Nov", 2.0)},
    "at most 1,000 a second": {"limit": Limit(1000, 1, 1000, "1000/s")},
    "in latin-1": {"encoding": "latin-1"},
    "a stamp each microsecond": {},
}
"""What else a rule may say, with 120 bytes a line and all of them selected."""
WATCHED = 20.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--quiet", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{'':44}{'lines/s':>12}{'CPU s / 100,000':>18}")
    for length in LENGTHS:
        for rule, name in ((SELECT, "a tenth selected"), ([], "all")):
            one_length(arguments.lines, length, rule, name)
    for name, options in MORE.items():
        one_kind(arguments.lines, name, options)
    quiet(arguments.quiet)


def one_length(count: int, length: int, select: list[str], name: str) -> None:
    except_ = EXCEPT if select else []
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "bench.log"
        log.write_text("".join(lines(count, length)))
        show(f"bare loop, {length} bytes, {name}", count, *bare(log, select, except_))
        log.unlink()
        figures = monitored(Path(directory), lines(count, length), Rule(str(log), select, except_))
        show(f"log monitor, {length} bytes, {name}", count, *figures)


def one_kind(count: int, name: str, options: dict[str, Any]) -> None:
    """As `one_length` without the bare loop; the time of each line is looked for in all of them."""
    with tempfile.TemporaryDirectory() as directory:
        rule = Rule(str(Path(directory) / "bench.log"), **options)
        lines = KINDS.get(name, stamped)(count)
        show(f"log monitor, 120 bytes, {name}", count, *monitored(Path(directory), lines, rule))


def show(name: str, count: int, seconds: float, cpu: float) -> None:
    print(f"{name:44}{count / seconds:12,.0f}{cpu * 1e5 / count:18.3f}", flush=True)


def lines(count: int, length: int) -> Iterator[str]:
    for number in range(count):
        level = "error" if number % 10 == 0 else "notice"
        yield f"Nov 22 12:00:00 host app[{number}]: {level} request ".ljust(length - 1, "x") + "\n"


def stamped(count: int) -> Iterator[str]:
    return lines(count, 120)


def in_fives(count: int) -> Iterator[str]:
    for number, line in enumerate(lines(count, 120)):
        yield line if number % 5 == 0 else "    " + line[4:]


def in_microseconds(count: int) -> Iterator[str]:
    for number in range(count):
        stamp = f"2026-11-22T12:{number // 1_000_000 % 60:02d}:00.{number % 1_000_000:06d}Z"
        yield f"{stamp} host app[{number}]: notice request ".ljust(119, "x") + "\n"


KINDS: dict[str, Callable[[int], Iterator[str]]] = {
    "records of five lines": in_fives,
    "a stamp each microsecond": in_microseconds,
}


def bare(path: Path, select: list[str], except_: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wanted, unwanted = ([re.compile(pattern).search for pattern in patterns] for patterns in (select, except_))
    started, cpu, found, rest = time.perf_counter(), time.process_time(), 0, b""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            lines = (rest + block).splitlines()
            rest = lines.pop()
            for line in lines:
                text = line.decode()
                if not wanted or (any(s(text) for s in wanted) and not any(s(text) for s in unwanted)):
                    found += 1
    return time.perf_counter() - started, time.process_time() - cpu


def monitored(directory: Path, content: Iterator[str], rule: Rule) -> tuple[float, float]:
    """Wall and CPU seconds from the moment the file is there until its end is acknowledged."""
    log, reached, text = directory / "bench.log", [0], "".join(content)

    def acknowledge(batch: LogBatch) -> Reply:
        reached[0] = max(reached[0], *(part.end for part in batch.parts))
        return Acknowledged(1, {part.stream: part.end for part in batch.parts})

    with (
        Coordinator(Shelf(), acknowledge) as coordinator,
        watching(directory, rule) as monitor,
    ):
        log.write_text(text)
        cpu = cpu_of(monitor)
        started = time.perf_counter()
        monitor.lead(coordinator.endpoint)
        last = len(text) - 400 * 10
        wait_until("the whole file is acknowledged", lambda: reached[0] >= last, 120, 0.002)
        return time.perf_counter() - started, cpu_of(monitor) - cpu


def quiet(files: int) -> None:
    """CPU of a monitor that watches files nobody writes."""
    with tempfile.TemporaryDirectory() as directory:
        logs = Path(directory) / "logs"
        logs.mkdir()
        for number in range(files):
            (logs / f"quiet{number}.log").write_text(f"line of {number}\n")
        with watching(Path(directory), Rule(str(logs / "*.log"), SELECT)) as monitor:
            time.sleep(RESTING + 2)  # what follows a start is not its cost
            cpu, started = cpu_of(monitor), time.perf_counter()
            wait_until("it has watched for a while", lambda: time.perf_counter() - started > WATCHED, WATCHED + 5, 1.0)
            used = (cpu_of(monitor) - cpu) / (time.perf_counter() - started)
            memory = psutil.Process(monitor.process.pid).memory_info().rss / 2**20
    print(f"{files} quiet files: {used * 100:.2f} % of a CPU, {memory:.0f} MiB")


def cpu_of(monitor: MonitorProcess) -> float:
    times = psutil.Process(monitor.process.pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def watching(directory: Path, rule: Rule) -> Iterator[MonitorProcess]:
    with MonitorProcess(directory / "state", [rule], Timing()) as monitor:
        wait_until("the monitor has had its first look", lambda: monitor.alive)
        yield monitor


if __name__ == "__main__":
    main()
