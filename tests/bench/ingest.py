"""Lines appended to files -> committed in the shared database; beside it apsw inserting the same rows by itself.

    python tests/bench/ingest.py [--lines 500000] [--length 60 120 400] [--nodes 1 3]
                                 [--prefill 0] [--keep DIR] [--build] [--search]

Each node appends its share to one file, of which the rule selects nine lines in ten; timed from the append to the last
commit that a reader sees. Lines are the selected ones. Columns: lines a second, CPU seconds of all processes per
100,000 lines, bytes stored a line, lines of one commit; the bare limit commits as many at once as the first row did.

--prefill N: so many rows were there before. --keep DIR holds such databases between runs (each run adds its lines);
--build makes them and measures nothing. --search: the same again while a reader searches all rows for a text that is
in none of them.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import measuring
import psutil

from cluster import Cluster, Node  # isort: skip
from waiting import wait_until  # isort: skip

from noroshi.console.queries import Queries
from noroshi.store import views
from noroshi.store.clock import now_us
from noroshi.store.connection import Connection
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.tables import logs, nodes
from noroshi.store.views import LogFilter
from noroshi.store.writer import Identity, Writer, lead

PREFILL_COMMIT = 100_000
RULE = 'logs: [{{path: "{}", select: ["error|warning"], except: ["harmless"]}}]\n'
PROBE, PROBES_END = "error: does anybody look?", "error: the last of these"
NOWHERE = LogFilter(text=("no line has this",))


@dataclass(frozen=True)
class Figure:
    """One row of the table; `commit` lines in each transaction, `searched` lines looked at by a reader meanwhile."""

    seconds: float
    cpu: float
    lines: int
    stored: int
    commit: int
    searched: int = 0

    def __str__(self) -> str:
        rate, cpu, size = self.lines / self.seconds, 1e5 * self.cpu / self.lines, self.stored / self.lines
        search = f"  ({self.searched / self.seconds:,.0f} lines/s searched)" if self.searched else ""
        return f"{rate:12,.0f} {cpu:12.2f} {size:10.0f} {self.commit:10,d}{search}"


def text(length: int, count: int) -> Iterator[str]:
    """`count` lines of `length` characters, one in ten of which the rule leaves out."""
    fill = "x" * max(0, length - 24)
    for number in range(count):
        word = "debug" if number % 10 == 9 else "error"
        yield f"{word} {number:016d} {fill}"[:length]


# --- ours -----------------------------------------------------------------------------------------------------------


def ours(root: Path, shared: Path, count: int, length: int, names: tuple[str, ...], search: bool = False) -> Figure:
    """`count` selected lines in all, spread over the nodes; `search`: while somebody searches the log."""
    extra = {name: RULE.format(root / name / "app.log") for name in names}
    with Cluster(root, names=names, interval="1s", logs=False, extra=extra, shared=shared) as cluster:
        cluster.start()
        cluster.await_leader()
        for name in names:
            await_followed(cluster, name)
        with searching(cluster.layout, search) as looked_at:
            figure = timed(cluster, length, (count * 10 // 9) // len(names))
            return replace(figure, searched=looked_at())


def await_followed(cluster: Cluster, name: str) -> None:
    """Until a line of the file arrives: a file that exists before the monitor first looks is followed from its end."""
    before = last(cluster)
    wait_until(f"{name} follows its log", lambda: append(cluster, name, PROBE) or last(cluster) > before, 30, 0.2)
    append(cluster, name, PROBES_END)

    def ended() -> bool:
        lines = cluster.query(lambda connection: views.log_before(connection, None, 100)) or ()
        return any(line.node == name and line.line == PROBES_END for line in lines)

    wait_until(f"the last probe of {name}", ended, 10)


def append(cluster: Cluster, name: str, line: str) -> None:
    with cluster.nodes[name].log.open("a") as log:
        log.write(line + "\n")


def timed(cluster: Cluster, length: int, each: int) -> Figure:
    blocks = "".join(line + "\n" for line in text(length, each))
    wanted = blocks.count("error") * len(cluster.names)
    before, size = last(cluster), stored(cluster.layout)
    cpu, begun = used(cluster), time.perf_counter()
    for node in cluster.nodes.values():
        with node.log.open("a") as log:
            log.write(blocks)
    wait_until(f"{wanted} lines", lambda: last(cluster) - before >= wanted, 600, 0.05)
    seconds, spent = time.perf_counter() - begun, used(cluster) - cpu
    assert last(cluster) - before == wanted
    return Figure(seconds, spent, wanted, stored(cluster.layout) - size, wanted // commits(cluster, before))


def used(cluster: Cluster) -> float:
    """CPU seconds of every process of every daemon, of those that have ended meanwhile too."""
    return sum(map(used_by, cluster.nodes.values()))


def used_by(node: Node) -> float:
    assert node.daemon is not None
    daemon, spent = psutil.Process(node.daemon.pid), 0.0
    for process in [*daemon.children(recursive=True), daemon]:
        with contextlib.suppress(psutil.NoSuchProcess):  # then it counts as its parent's child, which comes later
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def last(cluster: Cluster) -> int:
    bounds = cluster.query(views.log_bounds)
    return bounds.last if bounds else 0


def commits(cluster: Cluster, after: int) -> int:
    """How many turns of the coordinator the lines behind the id `after` took: each turn has one time."""

    def count(connection: Connection) -> int:
        turns = "SELECT count(DISTINCT stored_at) FROM logs WHERE id > ?"
        return int(next(connection.execute(turns, (after,)))[0])

    return cluster.query(count) or 1


def stored(layout: Layout) -> int:
    """Bytes of the database and its log."""
    return sum(file.stat().st_size for file in (layout.database, layout.wal) if file.exists())


# --- what was there before, the bare limit, who searches --------------------------------------------------------------


def identity(name: str) -> Identity:
    return Identity(name, "tcp://127.0.0.1:1", bytes(8), 1)


def source_of(connection: Connection, name: str) -> int:
    return nodes.source_id(connection, nodes.node_id(connection, name), f"/{name}")


def fill_up(layout: Layout, rows: int, length: int) -> None:
    """Bring the log to so many rows."""
    with lead(layout, identity("fill")) as writer:
        missing = rows - writer.read(logs.last_id)
        insert(writer, "fill", text(length, max(0, missing)), PREFILL_COMMIT)
        writer.checkpoint_if_due(True)


def insert(writer: Writer, name: str, lines: Iterable[str], commit: int) -> None:
    """Commit the lines, `commit` at once."""
    source, left = 0, iter(lines)
    while chunk := list(islice(left, commit)):
        at = now_us()
        with writer.transaction() as connection:
            source = source or source_of(connection, name)
            logs.add_lines(connection, [(source, at, at, line) for line in chunk])
        writer.checkpoint_if_due(False)


def bare(count: int, length: int, commit: int) -> Figure:
    """apsw alone: the same rows, the same schema, WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        lines = list(text(length, count))
        with lead(layout, identity("bare")) as writer:
            begun, cpu = time.perf_counter(), time.process_time()
            insert(writer, "bare", lines, commit)
            seconds, spent = time.perf_counter() - begun, time.process_time() - cpu
            return Figure(seconds, spent, count, stored(layout), commit)


@contextlib.contextmanager
def searching(layout: Layout, wanted: bool) -> Iterator[Callable[[], int]]:
    """Another process goes through the log for a text that is nowhere, over and over; how many lines it looked at."""
    looked_at = multiprocessing.Value("q", 0)
    process = multiprocessing.get_context("fork").Process(target=search_on, args=(layout, looked_at), daemon=True)
    if wanted:
        process.start()
    try:
        yield lambda: looked_at.value
    finally:
        if wanted:
            process.kill()
            process.join()


def search_on(layout: Layout, looked_at: Synchronized[int]) -> None:
    queries = Queries(layout, SharedReader(layout))
    while True:
        for step in queries.scan_log(NOWHERE, None, backward=True):
            looked_at.value += step.scanned


# --- the table ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def prepared(prefill: int, length: int, keep: Path | None) -> Iterator[tuple[Path, Path]]:
    """A root for the nodes' files, and the shared directory with its rows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shared = keep / f"{prefill}-rows-of-{length}" if keep and prefill else root / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        if prefill:
            fill_up(Layout(shared), prefill, length)
        yield root / "nodes", shared


def rows(length: int, prefill: int, given: argparse.Namespace) -> None:
    commit = 0
    for count in given.nodes:
        names = tuple("abcdefgh"[:count])
        for search in (False, True) if given.search else (False,):
            with prepared(prefill, length, given.keep) as (root, shared):
                figure = ours(root, shared, given.lines, length, names, search)
            commit = commit or figure.commit
            name = f"{count} node(s), {length} characters{', a search runs' if search else ''}"
            print(f"{name:44} {figure}", flush=True)
    print(f"{f'  bare apsw, {length} characters':44} {bare(given.lines, length, commit)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--length", type=int, nargs="+", default=[60, 120, 400])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--prefill", type=int, nargs="+", default=[0])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--search", action="store_true")
    given = parser.parse_args()
    if not given.build:
        print(f"{'':44} {'lines/s':>12} {'CPU s/100k':>12} {'bytes/line':>10} {'commit':>10}")
    for prefill in given.prefill:
        for length in given.length:
            if given.build:
                with prepared(prefill, length, given.keep):
                    pass
                continue
            print(f"{prefill:,} rows there before", flush=True)
            rows(length, prefill, given)


if __name__ == "__main__":
    assert measuring
    main()
