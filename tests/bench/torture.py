"""Readers against a writer that is killed and taken over, on one disk or on two mounts of one.

    torture.py --seconds 60 --kill
    torture.py --seconds 60 --writer-dir /mnt/a/x --reader-dir /mnt/b/x --readers 4 --kill

The writer is the project's own, under random inserts, updates and deletes in several tables that must agree; each
reader checks that they do, that nothing acknowledged before it began is missing, and every few readings that the whole
database passes SQLite's integrity check. With --kill the writer gets SIGKILL at random moments and another takes over.

Prints how many readings there were, how many attempts were thrown away, how many of those would have been wrong (which
the validation caught), how many wrong ones were let through, commits lost in take-overs, and the time a reading took.
Exit status 1 if any was let through or lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import TypeVar

import apsw

from noroshi.store.errors import DiskFull, NoDatabase, ReadFailed, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.writer import Identity, Writer, lead

T = TypeVar("T")

ACCOUNTS = 50
ROWS = 3000
TABLES = """
CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY, account INTEGER, amount INTEGER, text BLOB, crc INTEGER);
CREATE INDEX IF NOT EXISTS ledger_account ON ledger (account);
CREATE TABLE IF NOT EXISTS totals (account INTEGER PRIMARY KEY, amount INTEGER, entries INTEGER);
CREATE TABLE IF NOT EXISTS progress (serial INTEGER, entries INTEGER, amount INTEGER);
"""


# ---- the writer


class Progress:
    """What all processes share in memory: the last acknowledged serial, and what take-overs found missing."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)

    def _get(self, slot: int) -> int:
        return int.from_bytes(self._memory[slot * 8 : slot * 8 + 8], "little")

    def _set(self, slot: int, value: int) -> None:
        self._memory[slot * 8 : slot * 8 + 8] = value.to_bytes(8, "little")

    acknowledged = property(lambda self: self._get(0), lambda self, value: self._set(0, value))
    lost = property(lambda self: self._get(1), lambda self, value: self._set(1, value))
    checkpoints = property(lambda self: self._get(2), lambda self, value: self._set(2, value))
    over = property(lambda self: self._get(3), lambda self, value: self._set(3, value))


def write_for_ever(layout: Layout, progress: Progress) -> None:
    """Lead, check what was found, then commit until killed."""
    leader = take_role(layout)
    serial = leader_begins(leader)
    progress.lost += max(0, progress.acknowledged - serial)
    while True:
        with contextlib.suppress(DiskFull):
            with leader.transaction() as connection:
                serial = change(connection)
            progress.acknowledged = serial
            progress.checkpoints += leader.checkpoint_if_due(idle=random.random() < 0.05)


def take_role(layout: Layout) -> Writer:
    """The lock of a killed leader may take a moment to come free on a network disk."""
    while True:
        try:
            return lead(layout, Identity("torture", "tcp://127.0.0.1:1", os.urandom(8), os.getpid()))
        except RoleTaken:
            time.sleep(0.05)


def leader_begins(leader: Writer) -> int:
    """Make the tables where there are none; the serial found."""
    with leader.transaction() as connection:
        connection.execute(TABLES).fetchall()
        if connection.execute("SELECT count(*) FROM progress").get == 0:
            connection.execute("INSERT INTO progress VALUES (0, 0, 0)")
            connection.executemany("INSERT INTO totals VALUES (?, 0, 0)", [(n,) for n in range(ACCOUNTS)])
        return int(connection.execute("SELECT serial FROM progress").get)


def change(connection: apsw.Connection) -> int:
    """A few random changes that keep the tables in agreement; the new serial."""
    for _ in range(random.randint(1, 12)):
        random.choices((insert, update, delete), (5, 2, 4))[0](connection)
    connection.execute("UPDATE progress SET serial = serial + 1")
    return int(connection.execute("SELECT serial FROM progress").get)


def account_for(connection: apsw.Connection, account: int, amount: int, entries: int) -> None:
    change = (amount, entries)
    connection.execute(
        "UPDATE totals SET amount = amount + ?, entries = entries + ? WHERE account = ?", (*change, account)
    )
    connection.execute("UPDATE progress SET amount = amount + ?, entries = entries + ?", change)


def insert(connection: apsw.Connection) -> None:
    account, amount, text = (
        random.randrange(ACCOUNTS),
        random.randint(-999, 999),
        os.urandom(random.choice((20, 300, 9000))),
    )
    row = (account, amount, text, zlib.crc32(text))
    connection.execute("INSERT INTO ledger (account, amount, text, crc) VALUES (?, ?, ?, ?)", row)
    account_for(connection, account, amount, 1)


def some_row(connection: apsw.Connection) -> tuple[int, int, int] | None:
    entries = connection.execute("SELECT entries FROM progress").get
    offset = random.randrange(max(1, entries))
    rows = connection.execute("SELECT id, account, amount FROM ledger LIMIT 1 OFFSET ?", (offset,))
    return next(rows, None)


def update(connection: apsw.Connection) -> None:
    if row := some_row(connection):
        identifier, account, amount = row
        text = os.urandom(random.choice((20, 300, 3000)))
        new = random.randint(-999, 999)
        values = (new, text, zlib.crc32(text), identifier)
        connection.execute("UPDATE ledger SET amount = ?, text = ?, crc = ? WHERE id = ?", values)
        account_for(connection, account, new - amount, 0)


def delete(connection: apsw.Connection) -> None:
    full = connection.execute("SELECT entries FROM progress").get > ROWS
    for _ in range(3 if full else 1):
        if row := some_row(connection):
            connection.execute("DELETE FROM ledger WHERE id = ?", (row[0],))
            account_for(connection, row[1], -row[2], -1)


# ---- the readers


@dataclass(frozen=True)
class Reading:
    """One reading: the serial it saw, and what is wrong with it, empty if nothing is."""

    serial: int
    complaint: str


@dataclass
class Tally:
    """What one reader saw."""

    reads: int = 0
    whole_checks: int = 0
    thrown_away: int = 0
    wrong_caught: int = 0
    wrong_let_through: int = 0
    gave_up: int = 0
    milliseconds: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def took(self, reading: Reading, acknowledged: int, whole: bool, milliseconds: float) -> None:
        """A reading that was let through; `acknowledged` was, before it began."""
        self.reads += 1
        self.whole_checks += whole
        if not whole:
            self.milliseconds.append(milliseconds)
        if reading.complaint:
            self.wrong(reading.complaint)
        elif reading.serial < acknowledged:
            self.wrong(f"serial {reading.serial} is older than {acknowledged}, acknowledged before")

    def wrong(self, complaint: str) -> None:
        self.wrong_let_through += 1
        self.complaints.append(complaint)


class CountingReader(SharedReader):
    """A shared reader that tells of the attempts it throws away, and whether they would have been wrong."""

    def __init__(self, layout: Layout, tally: Tally) -> None:
        super().__init__(layout)
        self._tally = tally

    def _attempt(self, function: Callable[[apsw.Connection], T]) -> T:
        seen: list[T] = []

        def kept(connection: apsw.Connection) -> T:
            seen.append(function(connection))
            return seen[-1]

        try:
            return super()._attempt(kept)
        except Exception:
            self._tally.thrown_away += 1
            self._tally.wrong_caught += not seen or bool(getattr(seen[-1], "complaint", ""))
            raise


def check(connection: apsw.Connection, whole: bool) -> Reading:
    """Do the tables agree; with `whole`, is the database sound page by page."""
    serial, entries, amount = next(connection.execute("SELECT serial, entries, amount FROM progress"))
    found = next(connection.execute("SELECT count(*), coalesce(sum(amount), 0) FROM ledger"))
    if found != (entries, amount):
        return Reading(serial, f"ledger {found} against progress {(entries, amount)}")
    if found != next(connection.execute("SELECT sum(entries), sum(amount) FROM totals")):
        return Reading(serial, "totals do not add up")
    account = random.randrange(ACCOUNTS)
    by_index = "SELECT count(*), coalesce(sum(amount), 0) FROM ledger INDEXED BY ledger_account WHERE account = ?"
    by_total = "SELECT entries, amount FROM totals WHERE account = ?"
    if next(connection.execute(by_index, (account,))) != next(connection.execute(by_total, (account,))):
        return Reading(serial, f"account {account} does not agree with its total")
    return Reading(serial, check_whole(connection) if whole else "")


def check_whole(connection: apsw.Connection) -> str:
    for text, crc in connection.execute("SELECT text, crc FROM ledger"):
        if zlib.crc32(text) != crc:
            return "a row is not as it was written"
    sound = connection.pragma("integrity_check")
    return "" if sound == "ok" else f"integrity check: {sound}"


def read_for_ever(layout: Layout, progress: Progress, until: float, first: bool, pipe: Pipe) -> None:
    tally = Tally()
    reader = CountingReader(layout, tally)
    while time.monotonic() < until and not progress.over:
        read_once(reader, progress, tally, whole=random.random() < 0.05)
        if first and tally.wrong_let_through:
            progress.over = 1
    pipe.send(tally)


def read_once(reader: CountingReader, progress: Progress, tally: Tally, whole: bool) -> None:
    acknowledged = progress.acknowledged
    if not acknowledged:
        time.sleep(0.01)  # no tables yet
        return
    began = time.perf_counter()
    try:
        reading = reader.query(lambda connection: check(connection, whole))
    except (ReadFailed, NoDatabase) as error:
        tally.gave_up += 1
        tally.complaints.append(str(error))
    except apsw.Error as error:
        tally.wrong(f"{type(error).__name__}: {error}")
    else:
        tally.took(reading, acknowledged, whole, (time.perf_counter() - began) * 1000)


# ---- the run


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Start all, kill as wished, add up."""
    processes = multiprocessing.get_context("fork")
    progress, until = Progress(), time.monotonic() + arguments.seconds
    readers, pipes = [], []
    for _ in range(arguments.readers):
        ours, theirs = processes.Pipe(duplex=False)
        target = (Layout(arguments.reader_dir), progress, until, arguments.first, theirs)
        readers.append(processes.Process(target=read_for_ever, args=target, daemon=True))
        pipes.append(ours)
    for reader in readers:
        reader.start()
    kills = write_and_kill(processes, Layout(arguments.writer_dir), progress, until, arguments.kill)
    tallies = [pipe.recv() for pipe in pipes if pipe.poll(60)]
    for reader in readers:
        reader.join()
    if len(tallies) < arguments.readers:
        raise SystemExit("a reader ended by itself")
    added = {"commits": progress.acknowledged, "checkpoints": progress.checkpoints, "writers killed": kills}
    return added | summary(tallies) | {"acknowledged and lost": progress.lost}


def write_and_kill(
    processes: multiprocessing.context.ForkContext, layout: Layout, progress: Progress, until: float, kill: bool
) -> int:
    """Keep a writer running until the end; with `kill`, for a random while each."""
    kills = 0
    while (left := until - time.monotonic()) > 0 and not progress.over:
        writer = processes.Process(target=write_for_ever, args=(layout, progress), daemon=True)
        writer.start()
        writer.join(min(left, random.uniform(0.02, 0.6)) if kill else left)
        if writer.exitcode is not None:
            raise SystemExit(f"the writer ended by itself with {writer.exitcode}")
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        kills += 1
    return kills


def summary(tallies: list[Tally]) -> dict[str, object]:
    """The readers' counts added up, and how long their readings took."""
    added: dict[str, object] = {}
    for name in ("reads", "whole_checks", "thrown_away", "wrong_caught", "wrong_let_through", "gave_up"):
        added[name.replace("_", " ")] = sum(getattr(tally, name) for tally in tallies)
    times = sorted(taken for tally in tallies for taken in tally.milliseconds)
    for name, part in (("median ms", 0.5), ("99 % ms", 0.99), ("longest ms", 1.0)):
        added[name] = round(times[min(len(times) - 1, int(len(times) * part))], 2) if times else None
    return added | {"complaints": [complaint for tally in tallies for complaint in tally.complaints][:10]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--writer-dir", type=Path, help="left out: a directory of its own, removed at the end")
    parser.add_argument("--reader-dir", type=Path, help="another mount of it; left out: the same directory")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="kill the writer again and again")
    parser.add_argument("--first", action="store_true", help="end at the first wrong reading that is let through")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torture-") as own:
        arguments.writer_dir = arguments.writer_dir or Path(own)
        arguments.reader_dir = arguments.reader_dir or arguments.writer_dir
        result = run(arguments)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>22}  {value}")
    return 1 if result["wrong let through"] or result["acknowledged and lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
