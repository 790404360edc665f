"""Ends the process when the shared disk does not answer within a limit (design section 3, Giving up).

Rules: a thread, because the loop is the one that hangs. The end is `os._exit`: nothing of this process may still be
acknowledged, nothing may be written, and its locks go with it. Where the kernel cannot end it either (a call that
cannot be interrupted), nothing more leaves the process all the same; the daemon closes its link.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from noroshi.node.exits import EXIT_DISK_SILENT

log = logging.getLogger(__name__)

DISK_LIMIT = 10.0
"""Seconds that one step on the shared disk may take."""
SLOWEST = 4 * 1024 * 1024
"""Bytes a second; a step that has to move much may take so much longer."""


def limit_for(size: int) -> float:
    """Seconds for a step that moves `size` bytes."""
    return DISK_LIMIT + size / SLOWEST


class Watched:
    """A step, from the call that gave it to the end of the block."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done

    def __enter__(self) -> None:
        """It has begun."""

    def __exit__(self, *raised: object) -> None:
        self._done()


class Watchdog:
    """`with watchdog.watch(what):` around each step on the shared disk; steps do not nest."""

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        self._end = end
        self._step: tuple[float, float, str] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def watch(self, what: str, limit: float | None = None) -> Watched:
        """The block that begins with this call may take `limit` seconds, else DISK_LIMIT."""
        allowed = DISK_LIMIT if limit is None else limit
        now = time.monotonic()
        self._step = (now, now + allowed, what)
        return Watched(self._done)

    def _done(self) -> None:
        self._step = None

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(min(0.5, DISK_LIMIT / 10)):
            step = self._step
            if step is not None and time.monotonic() > step[1]:
                self._give_up(step)
                return

    def _give_up(self, step: tuple[float, float, str]) -> None:
        begun, _, what = step
        seconds = time.monotonic() - begun
        # The loop may hang with the log's lock held, or standard error may be what blocks: say it, but do not wait.
        saying = threading.Thread(target=_say, args=(what, seconds), daemon=True)
        saying.start()
        saying.join(1.0)
        self._end(EXIT_DISK_SILENT)


def _say(what: str, seconds: float) -> None:
    with suppress(Exception):
        hint = "check the shared disk and its mount on this node; the README, Disks, says what it must give"
        log.critical(
            "the shared disk has not answered for %.1f s (%s): this coordinator ends (%s)", seconds, what, hint
        )
