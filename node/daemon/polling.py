"""Calls the monitors when they are due, in a few threads; one that hangs keeps its thread, the others get another.

Rules: what a monitor said is handed over only when it differs from what it said last, so that a quiet monitor never
wakes the event loop. Nothing here waits for a monitor: `tick`, called every second or so, wakes or adds a thread where
work is overdue, and says who hangs. Threads beyond CORE end when they find nothing to do; all are daemons, for a stuck
one must not keep the process from ending.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from noroshi.node.monitors.observation import Monitor, Observation

CORE = 4
"""Threads that stay."""

OVERDUE = 1.0
"""Seconds a monitor may be late before another thread is started for it."""

_log = logging.getLogger(__name__)

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Outcome:
    """What one look gave; `failed` is "" or why it gave nothing."""

    observations: tuple[Observation, ...] = ()
    failed: str = ""


Deliver = Callable[[str, Outcome], None]
"""(monitor's name, what it said); called from any thread."""


@dataclass(order=True)
class _Turn:
    """One monitor and when it is looked at next. `started` while it is, monotonic."""

    due: float
    place: int
    name: str = field(compare=False)
    monitor: Monitor = field(compare=False)
    started: float | None = field(default=None, compare=False)
    first: bool = field(default=True, compare=False)
    hangs: bool = field(default=False, compare=False)
    said: Outcome | None = field(default=None, compare=False)


class Pool:
    """`start`, `tick` again and again, `stop`."""

    def __init__(
        self, monitors: Mapping[str, Monitor], deliver: Deliver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._deliver, self._clock = deliver, clock
        self._turns = {name: _Turn(0.0, place, name, each) for place, (name, each) in enumerate(monitors.items())}
        self._queue = list(self._turns.values())
        self._changed = threading.Condition()
        self._threads = self._busy = 0
        self._watched = self._ending = False

    def start(self) -> None:
        """Look at all of them for the first time."""
        with self._changed:
            for turn in self._queue:
                turn.due = self._clock()
            for _ in range(min(CORE, len(self._queue))):
                self._add_thread()

    def stop(self) -> None:
        """Begin no other look, and hand nothing over any more."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def again(self, name: str) -> None:
        """Hand over what this monitor says next even if it is the same."""
        self._turns[name].said = None

    @property
    def threads(self) -> int:
        """How many there are now, stuck ones included."""
        return self._threads

    def tick(self) -> list[str]:
        """Give overdue work another thread; the names of the monitors found hanging, each once a look."""
        now = self._clock()
        with self._changed:
            if self._queue and self._queue[0].due < now - OVERDUE:
                self._help()
            hanging = [turn for turn in self._turns.values() if _hangs(turn, now)]
            for turn in hanging:
                turn.hangs, turn.said = True, None
        return [turn.name for turn in hanging]

    def _help(self) -> None:
        """The threads at work are too slow: wake another, or add one."""
        if self._busy < self._threads:
            self._changed.notify()
        else:
            self._add_thread()

    # --- in the threads -------------------------------------------------------------------------------------------

    def _add_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name="monitors", daemon=True).start()

    def _work(self) -> None:
        while (turn := self._take()) is not None:
            outcome = _look(turn, self._clock())
            with self._changed:
                self._put_back(turn)
                news = outcome != turn.said and not self._ending
                turn.said = outcome
            if news:
                self._deliver(turn.name, outcome)

    def _take(self) -> _Turn | None:
        """The next monitor that is due, waiting for it; None: this thread is to end.

        One thread at a time waits for the time to come, and looks by itself; the others sleep until there is more to
        do than it can, so that a thousand quick looks cost no change of threads.
        """
        with self._changed:
            while not self._ending and self._threads - self._busy <= CORE:
                now = self._clock()
                wait = self._queue[0].due - now if self._queue else None
                if wait is not None and wait <= 0:
                    return self._begin(heapq.heappop(self._queue), now)
                if self._watched:
                    self._changed.wait()
                else:
                    self._watched = True
                    self._changed.wait(wait)
                    self._watched = False
            self._threads -= 1
            return None

    def _begin(self, turn: _Turn, now: float) -> _Turn:
        self._busy += 1
        turn.started, turn.hangs = now, False
        if self._queue and self._queue[0].due <= now:
            self._changed.notify()
        return turn

    def _put_back(self, turn: _Turn) -> None:
        # after the first look the monitors are spread out evenly: those of one interval must not come all at once
        spread = (turn.place + 1) * _GOLDEN % 1.0 if turn.first else 1.0
        turn.first, turn.started = False, None
        turn.due = self._clock() + turn.monitor.interval * spread
        heapq.heappush(self._queue, turn)
        self._busy -= 1
        if self._queue[0] is turn:
            self._changed.notify_all()


def _hangs(turn: _Turn, now: float) -> bool:
    return turn.started is not None and not turn.hangs and now - turn.started > turn.monitor.limit


def _look(turn: _Turn, now: float) -> Outcome:
    """Whatever goes wrong in a monitor concerns it alone."""
    try:
        return Outcome(tuple(turn.monitor.observe(now)))
    except (OSError, ValueError) as error:
        return Outcome(failed=str(error) or type(error).__name__)
    except Exception as error:
        _log.exception("a fault in the monitor %s", turn.name)
        return Outcome(failed=f"a fault of its own: {error!r}")
