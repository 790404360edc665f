"""Each retry that succeeded, with its time, also when nobody is told: prediction is the purpose (spec 2.4).

Role: `state/monitors/retries.jsonl`, one line for each look that found new ones: {"at": microseconds UTC, "what":
"memory/db1/mc0/dimm3 corrected", "new": 2, "total": 17}. At a restart counting goes on from it.
Rules: two files of MOST bytes at most, the older one with `.1`. A disk that does not take a line stops no monitor: the
counts in memory stay right, and the daemon's log says so.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

from noroshi.node.monitors.tally import Count, Tally

MOST = 1024 * 1024
"""Bytes of one file."""

_log = logging.getLogger(__name__)


class Record:
    """Written by the threads of all monitors; without a path nothing is kept."""

    def __init__(self, path: Path | None = None, most: int = MOST) -> None:
        self._path, self._most = path, most
        self._lock = threading.Lock()
        self._past: dict[str, Count] = {}
        self._complained = False
        if path is not None:
            self._read(path)

    def counting(self, window: float) -> Counting:
        """A tally that goes on from this record and writes into it."""
        return Counting(self, window)

    def past(self, what: str) -> Count | None:
        """What the record held of one thing when it was opened; given out once."""
        return self._past.pop(what, None)

    def note(self, what: str, new: int, total: int) -> None:
        if self._path is None:
            return
        line = json.dumps({"at": time.time_ns() // 1000, "what": what, "new": new, "total": total}) + "\n"
        try:
            with self._lock:
                _append(self._path, line.encode(), self._most)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            _log.error("retries cannot be recorded in %s: %s", self._path, error)
        self._complained = True

    def _read(self, path: Path) -> None:
        monotonic, utc = time.monotonic(), time.time_ns() // 1000
        for file in (_older(path), path):
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._complain(error)
                continue
            for line in content.splitlines():
                self._take(line, monotonic, utc)

    def _take(self, line: bytes, monotonic: float, utc: int) -> None:
        """A line that was cut short by a crash is left out."""
        try:
            entry = json.loads(line)
            at, what, new, total = int(entry["at"]), str(entry["what"]), int(entry["new"]), int(entry["total"])
        except (ValueError, KeyError, TypeError):
            return
        count = self._past.setdefault(what, Count(seen=deque()))
        count.total = total
        if new > 0:
            count.seen.append((monotonic - max(0, utc - at) / 1e6, new))


class Counting:
    """A tally whose new counts and first totals are put on record."""

    def __init__(self, record: Record, window: float) -> None:
        self.window = window
        self._record, self._tally = record, Tally(window)

    def knows(self, what: str) -> bool:
        """Whether it was counted before, by this process or an earlier one."""
        if what not in self._tally and (past := self._record.past(what)) is not None:
            self._tally.restore(what, past)
        return what in self._tally

    def take(self, what: str, total: int, now: float) -> int:
        """As `Tally.take`."""
        first = not self.knows(what)
        new = self._tally.take(what, total, now)
        if new or (first and total):
            self._record.note(what, new, total)
        return new

    def within(self, what: str, now: float) -> int:
        """As `Tally.within`."""
        return self._tally.within(what, now)


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _append(path: Path, line: bytes, most: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, line)
        full = os.fstat(file).st_size > most
    finally:
        os.close(file)
    if full:
        path.replace(_older(path))
