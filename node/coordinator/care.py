"""What the coordinator does for its database beside the turns: a check after the take-over, backups, retention.

Rules: check and backups are made by a helper process that reads as any reader does (store/care.py); here it is started,
and asked once a cycle whether it has ended. Damage that it found ends this coordinator. While a backup is being made
there is no checkpoint, up to a bound, or the copy would have to begin anew.
Retention runs between turns in transactions of its own, each of some milliseconds, with pauses that leave it a small
share of the time; the further the size is passed the larger, so that no intake outruns it. By age nothing goes for the
first minutes: the clock of a node that has just started may be wrong.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from noroshi.node.coordinator.desk import Noticed, Term
from noroshi.node.coordinator.watchdog import Watchdog
from noroshi.store.backup import backups
from noroshi.store.retention import Limits, Retention
from noroshi.store.writer import Writer
from noroshi.store.writer_checkpoint import WAL_LIMIT

if TYPE_CHECKING:
    from noroshi.store.config import Retention as RetentionConfig

log = logging.getLogger(__name__)

SETTLE = 5.0
"""Seconds after the take-over for what waited for it."""
AGE_GRACE = 300.0
"""Seconds after the take-over in which nothing goes for its age."""
LOOK = 5.0
"""Seconds between two looks for what may go."""
REWIND = 3600.0
"""Seconds after which what had to stay is looked at again."""
TARGET, TARGET_MOST = 0.01, 0.05
"""Seconds that one batch of retention should take, and should when the size is passed by much."""
ROWS_LEAST, ROWS_FIRST, ROWS_MOST = 50, 500, 20_000
SHARE, SHARE_MOST, MOST = 0.1, 0.9, 1.25
"""Of the time, what retention takes up to the size, and what it takes from so many times the size on."""
HOLD_MOST = 600.0
"""Seconds for which a backup may put checkpoints off."""
ENDS = 1.0
"""Seconds that a helper gets to end."""
AGAIN = 600.0
"""Seconds after which a backup that failed is tried again, at most."""


class Care:
    """`step` once a cycle; `holding` while checkpoints are to wait; `close` ends the helper."""

    def __init__(self, term: Term, writer: Writer, watchdog: Watchdog) -> None:
        self._term, self._writer = term, writer
        self._helper = Helper(term, watchdog)
        self._purge = Purge(writer, watchdog, term.cluster.retention)

    @property
    def holding(self) -> bool:
        return self._helper.holding

    def step(self, now: float, at: int) -> list[Noticed]:
        """`now` monotonic seconds, `at` microseconds UTC; what is to be told. Raises as `Writer.transaction`."""
        found = self._helper.step(now)
        if found is not None and found.damage:
            self._writer.suspect(found.damage)
        self._purge.step(now, at)
        return [] if found is None or found.told is None else [found.told]

    def next_at(self) -> float:
        """When `step` has something to do, monotonic seconds; what the helper found waits for the next cycle."""
        return self._purge.next_at

    def close(self) -> None:
        self._helper.close()


class Found:
    """What a helper that ended leaves: damage, or something to tell."""

    def __init__(self, damage: str = "", told: Noticed | None = None) -> None:
        self.damage, self.told = damage, told


class Helper:
    """One process at a time: the check first, then backups when they are due."""

    def __init__(self, term: Term, watchdog: Watchdog) -> None:
        self._layout, self._plan, self._watchdog = term.layout, term.cluster.backup, watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._what, self._begun = "check", 0.0
        self._due: float | None = time.monotonic() + SETTLE

    @property
    def holding(self) -> bool:
        backing = self._process is not None and self._what == "backup"
        return backing and time.monotonic() - self._begun < HOLD_MOST

    def step(self, now: float) -> Found | None:
        """Start what is due, or see to what has ended."""
        if self._process is not None:
            return self._ended(self._process, now) if self._process.poll() is not None else None
        if self._due is not None and now >= self._due:
            return self._start(now)
        return None

    def close(self) -> None:
        """Its input ends with us as well; one that a disk holds up is not waited for."""
        if self._process is None:
            return
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=ENDS)

    def _start(self, now: float) -> Found | None:
        command = [sys.executable, "-P", "-m", "noroshi.store.care", self._what, str(self._layout.shared)]
        if self._plan is not None:
            command.append(str(self._plan.keep))
        self._begun = now
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            return self._failed(f"cannot start a process: {error}", now)
        return None

    def _ended(self, process: subprocess.Popen[bytes], now: float) -> Found | None:
        said = process.communicate()[0]
        self._process = None
        result: dict[str, str] = {}
        with suppress(ValueError):
            result = json.loads(said)
        if damage := result.get("damage"):
            return Found(damage=damage)
        if not (done := result.get("done")):
            return self._failed(result.get("failed") or f"the helper ended with status {process.returncode}", now)
        log.info("%s: %s", self._what, done)
        told = Noticed("coordinator/backup", "OK", "") if self._what == "backup" else None
        self._plan_next(now)
        return Found(told=told)

    def _failed(self, why: str, now: float) -> Found:
        log.error("%s: %s", self._what, why)
        told = Noticed("coordinator/backup", "ERROR", why) if self._what == "backup" else None
        self._what = "backup"
        self._due = None if self._plan is None else now + min(self._plan.every, AGAIN)
        return Found(told=told)

    def _plan_next(self, now: float) -> None:
        """The next backup, so long after the newest one there is, whoever made it."""
        self._what = "backup"
        self._due = None
        if self._plan is not None:
            with self._watchdog.watch("looking at the backups"):
                newest = next((path.stat().st_mtime for path in backups(self._layout)), 0.0)
            age = max(time.time() - newest, 0.0)
            self._due = now + max(self._plan.every - age, 0.0)


class Purge:
    """Retention between the turns."""

    def __init__(self, writer: Writer, watchdog: Watchdog, config: RetentionConfig) -> None:
        self._writer, self._watchdog = writer, watchdog
        self._retention = Retention(
            Limits(config.size, round(config.logs * 1_000_000), round(config.history * 1_000_000))
        )
        self._rows = ROWS_FIRST
        begun = time.monotonic()
        self._ages_from, self._rewind_at = begun + AGE_GRACE, begun + REWIND
        self.next_at = begun + SETTLE

    def step(self, now: float, at: int) -> None:
        """A batch, where one is due. Not while the log is long: a batch makes it longer."""
        if now < self.next_at:
            return
        self.next_at = now + LOOK  # also after a disk that was full
        if self._writer.wal_size > 2 * WAL_LIMIT:
            self.next_at = now + 1.0
            return
        if now >= self._rewind_at:
            self._rewind_at = now + REWIND
            self._retention.rewind()
        with self._watchdog.watch("retention"), self._writer.transaction() as connection:
            over = self._retention.over(connection)
            batch = self._retention.batch(connection, at if now >= self._ages_from else 0, self._rows)
        took = time.monotonic() - now
        if batch.done:
            return
        wanted = self._rows * between(over, TARGET, TARGET_MOST) / max(took, 1e-4)
        self._rows = round(min(max(wanted, self._rows / 2), self._rows * 2))
        self._rows = min(max(self._rows, ROWS_LEAST), ROWS_MOST)
        self.next_at = now + took / between(over, SHARE, SHARE_MOST)


def between(over: float, least: float, most: float) -> float:
    """From `least` to `most` as the use goes from the size itself to MOST times it."""
    pressed = min(max((over - 1) / (MOST - 1), 0.0), 1.0)
    return least + pressed * (most - least)
