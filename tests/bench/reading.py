"""What reading costs people.

    python tests/bench/reading.py [--rows N] [--states N] [--intake LINES_PER_SECOND] [--keep DIR] [--build]

Prints, for the shared reader on a database of N lines, the milliseconds (median and 99th percentile) of one refresh of
the console (nodes, states, end of the log), of a page anywhere in the log, of a page by time and of one step of the
text filter, opening and validating included; beside each the bare limit in the same run: the same statements on one
plain apsw connection kept open on the same file. First with an empty write-ahead log, then with some 4 MiB in it, then
(with --intake) while another process commits that many lines a second: then also how many readings were thrown away and
made again, because the mark had changed. --keep holds the database between runs; --build makes it and measures nothing.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

import apsw
from filling import event, fill, identity, layout_of, leading, lines, make_cluster, many_lines

from noroshi.console.queries import CUT, Queries, open_queries
from noroshi.store import views
from noroshi.store.layout import Layout
from noroshi.store.views import LogFilter
from noroshi.store.views.search import SPAN
from noroshi.store.writer import lead

START = 1_700_000_000_000_000
STEP = 10_000
BATCH = 500_000
RARE = LogFilter(text=("peer 976 reset",))


def picture(connection: apsw.Connection, at: int) -> object:
    """As `Queries.picture` asks."""
    return (
        views.node_states(connection),
        views.states(connection),
        views.last_write(connection),
        views.log_bounds(connection),
        views.log_before(connection, None, 100, CUT),
    )


def by_time(connection: apsw.Connection, at: int) -> object:
    first = views.log_id_at(connection, START + at * STEP) or 1
    return views.log_after(connection, first - 1, 200, CUT)


def page(connection: apsw.Connection, at: int) -> object:
    return views.log_after(connection, at, 200, CUT)


def filter_step(connection: apsw.Connection, at: int) -> object:
    return views.scan(connection, RARE, at, backward=True, limit=2000, cut=CUT)


Question = Callable[[apsw.Connection, int], object]
QUESTIONS: dict[str, Question] = {
    "refresh (nodes, states, end of the log)": picture,
    "page anywhere (200 lines)": page,
    "page by time (200 lines)": by_time,
    f"filter, one step ({SPAN:,} lines)": filter_step,
}


def timed(rows: int, count: int, work: Callable[[int], object]) -> tuple[float, float]:
    """Milliseconds, median and 99th percentile, each time at another place of the log."""
    times = []
    for _ in range(count):
        at = random.randrange(1, rows)
        began = time.perf_counter()
        work(at)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]


def table(title: str, queries: Queries, bare: apsw.Connection | None, rows: int, count: int) -> None:
    """One line a question."""
    print(f"\n{title:44} {'median':>8} {'99 %':>8} {'again':>8}" + (f" {'bare':>8}" if bare else ""), flush=True)
    for name, question in QUESTIONS.items():
        asked = [0]

        def counted(connection: apsw.Connection, at: int, ask: Question = question, asked: list[int] = asked) -> object:
            asked[0] += 1
            return ask(connection, at)

        middle, late = timed(rows, count, lambda at, ask=counted: queries.ask(lambda c: ask(c, at)))
        limit = "" if bare is None else f" {timed(rows, count, lambda at, ask=question: ask(bare, at))[0]:8.2f}"
        print(f"{name:44} {middle:8.2f} {late:8.2f} {asked[0] - count:8}{limit}", flush=True)


def build(layout: Layout, rows: int, states: int) -> None:
    """`rows` lines and `states` states, all in the database file, the write-ahead log empty."""

    def some_states(connection: apsw.Connection) -> None:
        for at in range(states):
            event(connection, f"link/db{at % 3}/eth{at}", "OK", "1000 Mb/s")

    fill(layout, some_states)
    for done in range(0, rows, BATCH):
        many = min(BATCH, rows - done)
        fill(layout, lambda connection, many=many, done=done: many_lines(connection, many, START + done * STEP, STEP))


def kept(directory: Path, given: argparse.Namespace) -> Path:
    """The node file of a cluster with its database, built where it is not there yet."""
    finished = directory / "finished"
    if not finished.exists():
        shutil.rmtree(directory, ignore_errors=True)
        build(layout_of(make_cluster(directory)), given.rows, given.states)
        finished.touch()
    return directory / "node.yaml"


def fill_log(layout: Layout, size: int) -> None:
    """Leave at least `size` bytes in the write-ahead log."""
    with lead(layout, identity()) as writer:
        while writer.wal_size < size:
            with writer.transaction() as connection:
                lines(connection, [f"line {n} of some to fill the log" for n in range(1000)])


@contextmanager
def intake(layout: Layout, rate: int) -> Iterator[list[int]]:
    """Another process commits `rate` lines a second; yields the running count."""
    ended = threading.Event()
    stored = [0]

    def feed(order: Callable[[str], Any]) -> None:
        due = time.monotonic()
        while not ended.is_set():
            order(f"lines {rate // 10}")
            stored[0] += rate // 10
            due += 0.1
            ended.wait(max(0.0, due - time.monotonic()))

    with leading(layout) as order:
        feeder = threading.Thread(target=feed, args=(order,))
        feeder.start()
        try:
            yield stored
        finally:
            ended.set()
            feeder.join()


def plain(layout: Layout) -> apsw.Connection:
    """A connection of nobody's protocol, on the file alone; nobody writes meanwhile."""
    return apsw.Connection(
        f"file:{layout.database}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--states", type=int, default=1000)
    parser.add_argument("--intake", type=int, default=10_000, help="lines a second; 0 for none")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="where to build the database (default: a temporary directory)")
    parser.add_argument("--build", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = kept((given.keep or Path(directory)) / f"{given.rows}-{given.states}", given)
        if given.build:
            return
        layout, queries = layout_of(file), open_queries(file)
        size = layout.database.stat().st_size / 2**20
        print(f"{given.rows:,} lines, {given.states:,} states, {size:.0f} MiB")
        fill(layout, lambda connection: None)  # empties the log
        bare = plain(layout)
        table("write-ahead log empty, ms", queries, bare, given.rows, given.count)
        bare.close()
        fill_log(layout, 4 * 2**20)
        table(f"{layout.wal.stat().st_size / 2**20:.1f} MiB in it, ms", queries, None, given.rows, given.count)
        if given.intake:
            with intake(layout, given.intake) as stored:
                began = time.monotonic()
                table(f"{given.intake:,} lines a second coming in, ms", queries, None, given.rows, given.count)
                print(f"stored meanwhile: {stored[0] / (time.monotonic() - began):,.0f} lines a second")


if __name__ == "__main__":
    main()
