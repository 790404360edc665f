"""What the console costs: `python tests/bench/console.py [--rows N] [--seconds S]`, on a pty of 80x24.

Prints start (process begun until the table stands on the terminal), key to frame, then CPU and bytes written to the
terminal while idle and while following the log at several rates, and memory at the end; all as over SSH (15 frames a
second). Beside start and idle, in the same run, the bare limit: a Textual app that shows one line.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

import psutil
from filling import fill, layout_of, leading, make_cluster, many_lines, story
from terminals import Terminal, on_terminal, terminal

SSH = {"SSH_CONNECTION": "192.0.2.1 22 192.0.2.2 22"}
BARE = """
import os
os.environ.update(TEXTUAL_ANIMATIONS="none", TEXTUAL_FPS="15")
from textual.app import App
from textual.widgets import Static
class Bare(App[None]):
    def compose(self):
        yield Static("COUNT")
Bare().run()
"""


def drawn(screen: Terminal, text: str) -> float:
    """Seconds until this stands on the terminal."""
    began = time.monotonic()
    while text.encode() not in screen.written:
        screen.read(0.005)
        if time.monotonic() - began > 20:
            raise SystemExit(f"{text!r} never came")
    return time.monotonic() - began


def key_to_frame(screen: Terminal, keys: str, count: int = 40) -> list[float]:
    """Milliseconds from each key until the first bytes of its frame."""
    times = []
    for at in range(count):
        screen.read(0.2)
        began = time.monotonic()
        screen.press(keys[at % len(keys)])
        while not screen.read(0.001) and time.monotonic() - began < 2:
            pass
        times.append((time.monotonic() - began) * 1000)
    return times


def cost(screen: Terminal, seconds: float) -> str:
    """CPU and bytes of the next seconds."""
    process = psutil.Process(screen.process.pid)
    before, began = process.cpu_times(), time.monotonic()
    written = len(screen.read(seconds))
    after, took = process.cpu_times(), time.monotonic() - began
    cpu = (after.user + after.system - before.user - before.system) / took
    return f"{100 * cpu:6.1f} % CPU {written / took / 1024:8.2f} KiB/s"


@contextmanager
def intake(file: Path, rate: int) -> Iterator[None]:
    """Lines come in, in twenty commits a second at most."""
    ended = threading.Event()
    commits = min(20, rate)
    with leading(layout_of(file)) as order:

        def feed() -> None:
            due = time.monotonic()
            while not ended.is_set():
                order(f"lines {rate // commits}")
                due += 1 / commits
                ended.wait(max(0.0, due - time.monotonic()))

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield
        finally:
            ended.set()
            feeder.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = make_cluster(Path(directory) / "cluster")
        fill(layout_of(file), lambda c: many_lines(c, given.rows, 1_700_000_000_000_000), story)
        print(f"{given.rows:,} lines")
        with on_terminal([sys.executable, "-c", BARE], environment=SSH) as screen:
            print(f"{'bare app: start':32} {drawn(screen, 'COUNT'):6.2f} s")
            screen.read(2)
            print(f"{'bare app: idle':32} {cost(screen, given.seconds)}", flush=True)
        with leading(layout_of(file)), terminal(file, environment=SSH) as screen:
            print(f"{'start':32} {drawn(screen, 'COUNT'):6.2f} s")
            for name, keys in (
                ("status: key to frame", "jk"),
                ("log: key to frame", "kj"),
                ("log: page to frame", "gG"),
            ):
                if name.startswith("log: key"):
                    screen.press("2")
                    print(f"{'log opened':32} {drawn(screen, 'FOLLOWING'):6.2f} s")
                times = key_to_frame(screen, keys)
                print(f"{name:32} {statistics.median(times):6.1f} ms median {max(times):6.1f} ms most", flush=True)
            screen.press("1")
            screen.read(2)
            print(f"{'idle, status':32} {cost(screen, given.seconds)}", flush=True)
            screen.press("2")
            screen.read(2)
            print(f"{'idle, log':32} {cost(screen, given.seconds)}", flush=True)
        for rate in (20, 200, 10_000):
            with intake(file, rate), terminal(file, environment=SSH) as screen:
                drawn(screen, "COUNT")
                screen.press("2")
                screen.read(2)
                print(f"{f'following {rate:,} lines a second':32} {cost(screen, given.seconds)}", flush=True)
                memory = psutil.Process(screen.process.pid).memory_info().rss / 2**20
        print(f"{'memory at the end':32} {memory:6.0f} MiB")


if __name__ == "__main__":
    main()
