"""Hardware errors that rasdaemon has put into its database: PCIe, machine checks, disks, memory pages.

Source: ras-record.c of rasdaemon; the tables that are there, rows with an id above the last, read-only. Corrected
errors count by rate, from the time of each row; an uncorrected one is an ERROR at once. Memory controllers' own errors
(mc_event) are taken from here only where the kernel shows no counters of them (`memory`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from noroshi.node.monitors import memory
from noroshi.node.monitors.observation import ERROR, FINE, WARNING, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.tally import Tally
from noroshi.store.kinds import format_duration

ROWS = 10_000
"""Rows of one table read at a look, the newest ones."""

_UNCORRECTED_BIT = 1 << 61  # UC of MCi_STATUS


@dataclass(frozen=True)
class Table:
    """Where a kind of error is kept, and the columns that say of what thing it is, how many, and how grave."""

    name: str
    thing: str
    """SQL for the last part of the event's name."""
    count: str = "1"
    corrected: str = "0"
    """SQL: true where it was corrected."""
    event: str = "hardware"


TABLES = (
    Table("mc_event", "'mc' || mc || '/' || label", "err_count", "err_type = 'Corrected'", "memory"),
    Table("aer_event", "'pcie-' || dev_name", corrected="err_type = 'Corrected'"),
    Table("mce_record", "'cpu' || cpu", corrected=f"status & {_UNCORRECTED_BIT} = 0"),
    Table("disk_errors", "'disk-' || dev"),
    Table("extlog_event", "'extlog'", "error_count", "severity IN (2, 3)"),
    Table("memory_failure_event", "'page'", event="memory"),
)


@dataclass(frozen=True)
class Row:
    """One row: its age in seconds, the event it concerns."""

    age: float
    event: str
    count: int
    corrected: bool


class RasdaemonMonitor(Monitor):
    """hardware/NODE/PART and memory/NODE/…; none where there is no database."""

    gone = ""

    def __init__(self, node: str, options: Options, utc: Callable[[], float] = time.time) -> None:
        self.interval = options.interval
        self._node, self._utc = node, utc
        self._database = options.path("database")
        self._controllers = options.root / memory.DIRECTORY / "mc0"
        self._most, self._window = int(options.number("corrected")), options.number("window")
        self._corrected, self._uncorrected = Tally(self._window), Tally(self._window)
        self._last: dict[str, int] = {}
        self._events: set[str] = set()

    def observe(self, now: float) -> list[Observation]:
        if not self._database.exists():
            return []
        for row in self._new_rows():
            self._events.add(row.event)
            (self._corrected if row.corrected else self._uncorrected).happened(row.event, row.count, now - row.age)
        return [Observation(event, *self._condition(event, now)) for event in sorted(self._events)]

    def _condition(self, event: str, now: float) -> Condition:
        within = f"within {format_duration(self._window)}"
        if self._uncorrected.within(event, now):
            return ERROR, f"uncorrected error {within}"
        if self._corrected.within(event, now) >= self._most:
            return WARNING, f"{self._most} or more corrected errors {within}"
        return FINE

    def _new_rows(self) -> Iterator[Row]:
        connection = sqlite3.connect(f"file:{_quoted(self._database)}?mode=ro", uri=True, timeout=1.0)
        try:
            present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in TABLES:
                if table.name in present and not (table.name == "mc_event" and self._controllers.exists()):
                    yield from self._rows(connection, table)
        finally:
            connection.close()

    def _rows(self, connection: sqlite3.Connection, table: Table) -> Iterator[Row]:
        """The rows that are new and within the window, oldest first."""
        (newest,) = connection.execute(f"SELECT coalesce(max(id), 0) FROM {table.name}").fetchone()  # noqa: S608
        last = self._last.get(table.name, 0)
        if newest < last:
            last = 0  # another database
        self._last[table.name] = newest
        rows = connection.execute(
            f"SELECT timestamp, {table.thing}, {table.count}, {table.corrected} FROM {table.name} "  # noqa: S608
            "WHERE id > ? AND id <= ? ORDER BY id DESC LIMIT ?",
            (last, newest, ROWS),
        ).fetchall()
        utc = self._utc()
        for timestamp, thing, count, corrected in reversed(rows):
            age = max(0.0, utc - _instant(timestamp, utc))
            if age < self._window:
                yield Row(age, f"{table.event}/{self._node}/{thing or table.name}", int(count or 1), bool(corrected))


def _instant(timestamp: object, otherwise: float) -> float:
    """rasdaemon's `2026-11-22 03:04:05 +0900`, seconds UTC."""
    try:
        return datetime.strptime(str(timestamp), "%Y-%m-%d %H:%M:%S %z").timestamp()
    except ValueError:
        return otherwise


def _quoted(path: Path) -> str:
    """As SQLite reads it in a URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
