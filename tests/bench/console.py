"""What the console costs: `python tests/bench/console.py [--rows N] [--told N] [--seconds S]`, on a pty of 80x24.

Prints start (process begun until the table stands on the terminal), key to frame, then CPU and bytes written to the
terminal while idle and while following the log at several rates, and memory at the end; all as over SSH (15 frames a
second). Then the same of the notifications, --told of them, and a filter through all. Beside start and idle, in the
same run, the bare limit: a Textual app that shows one line; beside the filter, a scan of the table in SQL.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

import psutil
from filling import fill, layout_of, leading, make_cluster, many_lines, many_notifications, story
from terminals import Terminal, on_terminal, terminal

from noroshi.console.queries import open_queries

SSH = {"SSH_CONNECTION": "192.0.2.1 22 192.0.2.2 22"}
FOUND_NONE = "0 found\x1b"
"""The end of a search: until then a share of what was searched follows."""

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
    parser.add_argument("--rows", type=int, default=1_000_000, help="lines of the log; 0 leaves the log out")
    parser.add_argument("--told", type=int, default=200_000, help="notifications; 0 leaves them out")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = make_cluster(Path(directory) / "cluster")
        fill(layout_of(file), story)
        bare(given.seconds)
        if given.rows:
            log(file, given.rows, given.seconds)
        if given.told:
            notifications(file, given.told, given.seconds)


def bare(seconds: float) -> None:
    """The least a Textual app costs."""
    with on_terminal([sys.executable, "-c", BARE], environment=SSH) as screen:
        print(f"{'bare app: start':32} {drawn(screen, 'COUNT'):6.2f} s")
        screen.read(2)
        print(f"{'bare app: idle':32} {cost(screen, seconds)}", flush=True)


def log(file: Path, count: int, seconds: float) -> None:
    """Status and log, at rest and following."""
    fill(layout_of(file), lambda c: many_lines(c, count, 1_700_000_000_000_000))
    print(f"{count:,} lines")
    with leading(layout_of(file)), terminal(file, environment=SSH) as screen:
        print(f"{'start':32} {drawn(screen, 'COUNT'):6.2f} s")
        for name, keys in (("status: key to frame", "jk"), ("log: key to frame", "kj"), ("log: page to frame", "gG")):
            if name.startswith("log: key"):
                screen.press("2")
                print(f"{'log opened':32} {drawn(screen, 'FOLLOWING'):6.2f} s")
            frames(screen, name, keys)
        for name, key in (("idle, status", "1"), ("idle, log", "2")):
            screen.press(key)
            screen.read(2)
            print(f"{name:32} {cost(screen, seconds)}", flush=True)
    for rate in (20, 200, 10_000):
        with intake(file, rate), terminal(file, environment=SSH) as screen:
            drawn(screen, "COUNT")
            screen.press("2")
            screen.read(2)
            print(f"{f'following {rate:,} lines a second':32} {cost(screen, seconds)}", flush=True)
            memory = psutil.Process(screen.process.pid).memory_info().rss / 2**20
    print(f"{'memory at the end':32} {memory:6.0f} MiB", flush=True)


def frames(screen: Terminal, name: str, keys: str) -> None:
    """Key to frame, as a line."""
    times = key_to_frame(screen, keys)
    print(f"{name:32} {statistics.median(times):6.1f} ms median {max(times):6.1f} ms most", flush=True)


def notifications(file: Path, count: int, seconds: float) -> None:
    """The screen of notifications, at rest and with one on its way all the time."""
    fill(layout_of(file), lambda c: many_notifications(c, count, 1_700_000_000_000_000))
    print(f"{count:,} notifications of two attempts each")
    with leading(layout_of(file)) as order, terminal(file, environment=SSH) as screen:
        drawn(screen, "COUNT")
        screen.press("3")
        print(f"{'notifications opened':32} {drawn(screen, 'FOLLOWING'):6.2f} s")
        frames(screen, "notifications: key to frame", "kj")
        frames(screen, "notifications: page to frame", "gG")
        screen.read(2)
        print(f"{'idle, notifications':32} {cost(screen, seconds)}", flush=True)
        screen.press("/")
        screen.read(1)
        screen.press("nowhere\r")
        print(f"{'text through all of them':32} {drawn(screen, FOUND_NONE):6.2f} s", flush=True)
        print(f"{'bare scan of as many':32} {bare_scan(file):6.2f} s", flush=True)
        screen.press("\x1b")
        print(f"{'one on its way, 20 commits a second':32} {changing(screen, order, seconds)}", flush=True)
        print(f"{'memory':32} {psutil.Process(screen.process.pid).memory_info().rss / 2**20:6.0f} MiB")


def changing(screen: Terminal, order: Callable[[str], None], seconds: float) -> str:
    """CPU and bytes while the newest notification is pending and its attempt changes."""
    newest = "(SELECT max(id) FROM notifications)"
    order(f"sql UPDATE notifications SET status = 'pending', ended_at = NULL WHERE id = {newest}")
    ended = threading.Event()

    def change() -> None:
        while not ended.wait(0.05):
            order("sql UPDATE attempts SET reason = reason || '.' WHERE id = (SELECT max(id) FROM attempts)")

    changer = threading.Thread(target=change)
    changer.start()
    try:
        return cost(screen, seconds)
    finally:
        ended.set()
        changer.join()


def bare_scan(file: Path) -> float:
    """Seconds of one statement that looks at each notification and attempt."""
    statement = (
        "SELECT count(*) FROM notifications o, attempts a WHERE a.notification = o.id AND instr(a.reason, 'nowhere')"
    )
    began = time.monotonic()
    open_queries(file).ask(lambda connection: list(connection.execute(statement)))
    return time.monotonic() - began


if __name__ == "__main__":
    main()
