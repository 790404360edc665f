"""Group commit: many bodies, one write, one fdatasync, in a thread of its own.

Rules: while one group is being written the next gathers; a group is decided as a whole, safe or failed, and its
waiters are called in the event loop. It is told of there too before it is safe, once it is written or, where it can be
foreseen where that will be, at once: what sends it on need not wait for the disk, only who is promised that it is safe.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from noroshi.node.daemon.segments import SEGMENT_SIZE, Written
from noroshi.node.worker import Done, Worker
from noroshi.store.errors import NoroshiError

GROUP_SIZE = SEGMENT_SIZE // 4
"""Bytes of bodies that share one fdatasync, at most; a larger body has a group of its own."""

ALONE = 0.005
"""Seconds after the last group at which what comes is on its own."""

WAITING_MOST = 16 * 1024 * 1024
"""Bytes of bodies that may wait for a disk that does not answer; more is refused."""

_log = logging.getLogger(__name__)


class SpoolFailed(NoroshiError):
    """The item is not safe: the local disk did not take it."""


class Group:
    """Bodies that become safe, or fail, together. Decided: `safe`, or `error` is set; `written` comes before.

    `recalled`: a next life must know what was told of, by its token; so it is not foreseen.
    """

    __slots__ = ("bodies", "error", "recalled", "safe", "size", "waiters", "written")

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.size = 0
        self.written: Written | None = None
        self.recalled = self.safe = False
        self.error: SpoolFailed | None = None
        self.waiters: dict[Callable[[], None], None] = {}
        """Called once each when it is decided; a dict, so that a waiter for many tickets registers once."""

    @property
    def decided(self) -> bool:
        return self.safe or self.error is not None


@dataclass(frozen=True, slots=True)
class Ticket:
    """One body's place in its group."""

    group: Group
    index: int

    @property
    def sequence(self) -> int:
        """The body's sequence in its stream. Raises SpoolFailed; ask only when the group is decided."""
        return self._written().first + self.index

    @property
    def id(self) -> str:
        """Stream and sequence, for people: `0f…c3-17`. Raises SpoolFailed; ask only when the group is decided."""
        written = self._written()
        return f"{written.name.stream.hex()}-{written.first + self.index}"

    @classmethod
    def settled(cls, written: Written) -> Ticket:
        """The ticket of an item found safe at the start."""
        group = Group()
        group.written, group.safe = written, True
        return cls(group, 0)

    async def safe(self) -> str:
        """Wait until it is on the disk; the id. Raises SpoolFailed."""
        await _decision(self.group)
        return self.id

    def _written(self) -> Written:
        if self.group.written is None or not self.group.safe:
            raise self.group.error or RuntimeError("asked before the group was decided")
        return self.group.written


class GroupCommit:
    """Takes bodies, writes them in groups with `write` in `worker`.

    `foresee` may say where a group will be that is about to be written. `on_written` is told of a group that was
    foreseen or written, `on_unsafe` of one that was told and did not become safe. `urgent`: what comes alone waits for
    no others.
    """

    def __init__(
        self,
        write: Callable[[list[bytes], Written | None, Callable[[Written], object]], None],
        worker: Worker,
        foresee: Callable[[Group], Written | None],
        on_written: Callable[[Group], None],
        on_unsafe: Callable[[Group], None],
        failed: Callable[[OSError], SpoolFailed],
        urgent: bool,
    ) -> None:
        self._write, self._worker, self._foresee, self._failed = write, worker, foresee, failed
        self._urgent = urgent
        self._on_written, self._on_unsafe = on_written, on_unsafe
        self._loop = asyncio.get_running_loop()
        self._gathering: deque[Group] = deque()
        self._writing: Group | None = None
        self._scheduled = False
        self._decided_at = -math.inf
        self.waiting = 0
        """Bytes of bodies not decided yet."""

    def append(self, body: bytes, recalled: bool) -> Ticket:
        """The ticket of a body that will be written with the next group."""
        group = self._gathering[-1] if self._gathering else None
        if group is None or group.size + len(body) > GROUP_SIZE:
            group = Group()
            self._gathering.append(group)
        group.bodies.append(body)
        group.size += len(body)
        group.recalled |= recalled
        self.waiting += len(body)
        self._schedule()
        return Ticket(group, len(group.bodies) - 1)

    async def finish(self) -> None:
        """Wait until everything appended is decided."""
        while group := self._gathering[-1] if self._gathering else self._writing:
            await _decision(group)

    def _schedule(self) -> None:
        """Start what comes alone at once, else a little later: what arrives in the same turn of the loop rides along.

        Raisers in lock-step all come when the group before is decided; that they share the next is worth more.
        """
        if self._writing is None and self._gathering and not self._scheduled:
            if self._urgent and self._loop.time() - self._decided_at > ALONE:
                self._start()
            else:
                self._scheduled = True
                self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._scheduled = False
        group = self._writing = self._gathering.popleft()
        foreseen = self._foresee(group)
        if foreseen is not None:  # before the thread is called: from then on it is waited for
            self._tell_at_once(group, foreseen)
        write = partial(self._write, group.bodies, foreseen, partial(self._tell, group))
        self._worker.call(write, partial(self._decide, group))

    def _tell_at_once(self, group: Group, written: Written) -> None:
        """A fault of who is told is not the raiser's, who is in this call, and keeps nothing from being written."""
        try:
            self._told(group, written)
        except Exception as error:
            self._loop.call_exception_handler({"message": "a fault in sending on what is written", "exception": error})

    def _tell(self, group: Group, written: Written) -> None:
        """In the thread that wrote it."""
        self._loop.call_soon_threadsafe(self._told, group, written)

    def _told(self, group: Group, written: Written) -> None:
        group.written = written
        self._on_written(group)

    def _decide(self, group: Group, writing: Done[None]) -> None:
        self._writing, self._decided_at = None, self._loop.time()
        self.waiting -= group.size
        error = writing.error
        if error is None:
            group.safe = True
        else:
            group.error = self._failed(error) if isinstance(error, OSError) else SpoolFailed("a fault", why=repr(error))
            _log.error("%s", group.error)
            if group.written is not None:
                self._on_unsafe(group)
        self._schedule()  # before the waiters: the disk works while they answer
        for waiter in group.waiters:
            waiter()


async def _decision(group: Group) -> None:
    if not group.decided:
        decided = asyncio.Event()
        group.waiters[decided.set] = None
        await decided.wait()
