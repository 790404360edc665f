"""What keeping to a size costs intake: `python tests/bench/retention.py [--size MiB] [--rate LINES] [--seconds N]`.

One leader commits lines of 200 characters at a steady rate, 250 at a time, each with its checkpoint when due, as the
coordinator's loop does. Prints the milliseconds of such a turn, first below the size, where nothing goes, which is the
bare limit of this run; then at the size, where old lines go between the turns. Then the same as fast as it will, with
the lines a second, and how large the database has become beside its size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from measuring import milliseconds

from noroshi.node.coordinator import care
from noroshi.node.coordinator.care import Purge
from noroshi.node.coordinator.watchdog import Watchdog
from noroshi.store.clock import now_us
from noroshi.store.config import Retention
from noroshi.store.layout import Layout
from noroshi.store.retention import used
from noroshi.store.tables import logs, nodes
from noroshi.store.writer import Identity, Writer, lead

LINES = 250
TEXT = "x" * 200


def turn(writer: Writer, purge: Purge | None) -> float:
    """Lines in, then what is due; the seconds until the commit."""
    begun = time.monotonic()
    at = now_us()
    with writer.transaction() as connection:
        logs.add_lines(connection, [(1, at, at, TEXT)] * LINES)
    took = time.monotonic() - begun
    writer.checkpoint_if_due(idle=False)
    if purge is not None:
        purge.step(time.monotonic(), at)
    return took


def run(writer: Writer, purge: Purge | None, seconds: float, rate: float) -> list[float]:
    """Turns for so long; what each batch of lines waited, the turn before it included."""
    waits, due, end = [], time.monotonic(), time.monotonic() + seconds
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        late = max(0.0, time.monotonic() - due)
        waits.append(late + turn(writer, purge))
        due = due + LINES / rate if rate else time.monotonic()
    return waits


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    care.SETTLE = 0.0
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory() as directory:
        identity = Identity("a", "tcp://127.0.0.1:1", b"1", os.getpid())
        with lead(Layout(Path(directory)), identity) as writer:
            with writer.transaction() as connection:
                nodes.source_id(connection, nodes.node_id(connection, "a"), "/var/log/app")
            purge = Purge(writer, watchdog, Retention(size=options.size * 1024 * 1024))
            print(f"{'lines wait for their commit':44} {'median':>9} {'99 %':>9} {'max':>9}  ms")
            waits = run(writer, None, options.seconds, options.rate)
            print(milliseconds(f"bare: {options.rate:,.0f} a second, nothing goes", waits))
            while writer.read(used) < options.size * 1024 * 1024:
                turn(writer, None)
            waits = run(writer, purge, options.seconds, options.rate)
            print(milliseconds(f"{options.rate:,.0f} a second, at {options.size} MiB", waits))
            bare = len(run(writer, None, options.seconds / 2, 0)) * LINES / (options.seconds / 2)
            while purge._retention.over(writer._connection) > 1:
                purge.step(purge.next_at, now_us())
                writer.checkpoint_if_due(idle=False)
            waits = run(writer, purge, options.seconds, 0)
            print(milliseconds("as fast as it will", waits))
            print(f"lines a second: {len(waits) * LINES / options.seconds:,.0f}, bare: {bare:,.0f}")
            print(f"in use: {writer.read(used) / 2**20:.0f} MiB of {options.size}")
    watchdog.close()


if __name__ == "__main__":
    main()
