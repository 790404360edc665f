"""Lines appended to files -> committed in the shared database; beside it apsw inserting the same rows by itself.

    python tests/bench/ingest.py [--lines 500000] [--length 60 120 400] [--nodes 1 3] [--prefill 0]

The lines are written before the daemons look, then everything is timed from the daemons' start of reading to the last
commit seen by a reader: lines a second, CPU seconds of all processes per 100,000 lines, bytes stored a line.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import measuring
import psutil

from cluster import Cluster, Node  # isort: skip
from waiting import wait_until  # isort: skip

from noroshi.store import views
from noroshi.store.layout import Layout
from noroshi.store.tables import logs, nodes
from noroshi.store.writer import Identity, lead

COMMIT = 10_000
"""Rows of one transaction of the bare limit; about what a turn of the coordinator takes."""


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    seconds: float
    cpu: float
    lines: int
    stored: int

    def __str__(self) -> str:
        return (
            f"{self.lines / self.seconds:12,.0f} {1e5 * self.cpu / self.lines:12.2f} {self.stored / self.lines:10.0f}"
        )


def text(length: int, count: int) -> Iterator[str]:
    """`count` lines of `length` characters, one in ten of which the rule leaves out."""
    fill = "x" * max(0, length - 24)
    for number in range(count):
        word = "debug" if number % 10 == 9 else "error"
        yield f"{word} {number:016d} {fill}"[:length]


def ours(count: int, length: int, names: tuple[str, ...], prefill: int) -> Figure:
    """`count` selected lines in all, spread over the nodes."""
    rule = 'logs: [{{path: "{}", select: ["error|warning"], except: ["harmless"]}}]\n'
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "c"
        extra = {name: rule.format(root / name / "app.log") for name in names}
        with Cluster(root, names=names, interval="1s", logs=False, extra=extra) as cluster:
            if prefill:
                fill_up(cluster.layout, prefill, length)
            cluster.start()
            cluster.await_up()
            before, size = last(cluster), stored(cluster)
            wait_until("log monitors run", lambda: all(cluster.log_process(name) for name in names))
            each = (count * 10 // 9) // len(names)
            wanted = sum(line.startswith("error") for line in text(length, each)) * len(names)
            return timed(cluster, length, each, before, wanted, size)


def timed(cluster: Cluster, length: int, each: int, before: int, wanted: int, size: int) -> Figure:
    processes = [process for name in cluster.names for process in tree(cluster.nodes[name])]
    cpu = sum(map(used, processes))
    blocks = "".join(line + "\n" for line in text(length, each))
    begun = time.perf_counter()
    for node in cluster.nodes.values():
        with node.log.open("a") as log:
            log.write(blocks)
    wait_until(f"{wanted} lines", lambda: last(cluster) - before >= wanted, 600, 0.05)
    seconds = time.perf_counter() - begun
    assert last(cluster) - before == wanted
    return Figure(seconds, sum(map(used, processes)) - cpu, wanted, stored(cluster) - size)


def tree(node: Node) -> list[psutil.Process]:
    assert node.daemon is not None
    daemon = psutil.Process(node.daemon.pid)
    return [daemon, *daemon.children(recursive=True)]


def used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def last(cluster: Cluster) -> int:
    bounds = cluster.query(views.log_bounds)
    return bounds.last if bounds else 0


def stored(cluster: Cluster) -> int:
    """Bytes of the database and its log."""
    files = (cluster.layout.database, cluster.layout.wal)
    return sum(file.stat().st_size for file in files if file.exists())


def fill_up(layout: Layout, rows: int, length: int) -> None:
    """Rows that were there before."""
    with lead(layout, Identity("fill", "tcp://127.0.0.1:1", bytes(8), 1)) as writer:
        insert(writer, rows, length)


def insert(writer: object, rows: int, length: int) -> None:
    source = 0
    for first in range(0, rows, COMMIT):
        with writer.transaction() as connection:  # type: ignore[attr-defined]
            if not source:
                source = nodes.source_id(connection, nodes.node_id(connection, "fill"), "/fill")
            chunk = [(source, 1, 1, line) for line in text(length, min(COMMIT, rows - first))]
            logs.add_lines(connection, chunk)
        writer.checkpoint_if_due(False)  # type: ignore[attr-defined]


def bare(count: int, length: int) -> Figure:
    """apsw alone: the same rows, the same schema, WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        with lead(layout, Identity("bare", "tcp://127.0.0.1:1", bytes(8), 1)) as writer:
            connection = writer._connection
            source = 0
            lines = list(text(length, count))
            begun, cpu = time.perf_counter(), time.process_time()
            for first in range(0, count, COMMIT):
                connection.execute("BEGIN")
                source = source or nodes.source_id(connection, nodes.node_id(connection, "bare"), "/bare")
                logs.add_lines(connection, ((source, 1, 1, line) for line in lines[first : first + COMMIT]))
                connection.execute("COMMIT")
                writer.checkpoint_if_due(False)
            seconds, spent = time.perf_counter() - begun, time.process_time() - cpu
            size = layout.database.stat().st_size + layout.wal.stat().st_size
        return Figure(seconds, spent, count, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--length", type=int, nargs="+", default=[60, 120, 400])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--prefill", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{'':40} {'lines/s':>12} {'CPU s/100k':>12} {'bytes/line':>10}")
    for length in arguments.length:
        for nodes_ in arguments.nodes:
            names = tuple("abcdefgh"[:nodes_])
            figure = ours(arguments.lines, length, names, arguments.prefill)
            print(f"{f'{nodes_} node(s), {length} characters':40} {figure}", flush=True)
        print(f"{f'  bare apsw, {length} characters':40} {bare(arguments.lines, length)}", flush=True)


if __name__ == "__main__":
    assert measuring
    main()
