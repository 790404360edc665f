"""Group commit: many bodies, one write, one fdatasync, in a thread of its own.

Rules: while one group is being written the next gathers; a group is decided as a whole, safe or failed, and its
waiters are called in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from noroshi.node.daemon.segments import SEGMENT_SIZE, Written
from noroshi.node.worker import Done, Worker
from noroshi.store.errors import NoroshiError

GROUP_SIZE = SEGMENT_SIZE // 4
"""Bytes of bodies that share one fdatasync, at most; a larger body has a group of its own."""

WAITING_MOST = 16 * 1024 * 1024
"""Bytes of bodies that may wait for a disk that does not answer; more is refused."""

_log = logging.getLogger(__name__)


class SpoolFailed(NoroshiError):
    """The item is not safe: the local disk did not take it."""


class Group:
    """Bodies that become safe, or fail, together. Decided: one of `written` and `error` is set."""

    __slots__ = ("bodies", "error", "size", "waiters", "written")

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.size = 0
        self.written: Written | None = None
        self.error: SpoolFailed | None = None
        self.waiters: dict[Callable[[], None], None] = {}
        """Called once each when it is decided; a dict, so that a waiter for many tickets registers once."""

    @property
    def decided(self) -> bool:
        return self.written is not None or self.error is not None


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
        group.written = written
        return cls(group, 0)

    async def safe(self) -> str:
        """Wait until it is on the disk; the id. Raises SpoolFailed."""
        await _decision(self.group)
        return self.id

    def _written(self) -> Written:
        if self.group.written is None:
            raise self.group.error or RuntimeError("asked before the group was decided")
        return self.group.written


class GroupCommit:
    """Takes bodies, writes them in groups with `write` in `worker`, tells `on_written` before the waiters."""

    def __init__(
        self,
        write: Callable[[list[bytes]], Written],
        worker: Worker,
        on_written: Callable[[Group], None],
        failed: Callable[[OSError], SpoolFailed],
    ) -> None:
        self._write, self._worker, self._on_written, self._failed = write, worker, on_written, failed
        self._loop = asyncio.get_running_loop()
        self._gathering: deque[Group] = deque()
        self._writing: Group | None = None
        self._scheduled = False
        self.waiting = 0
        """Bytes of bodies not decided yet."""

    def append(self, body: bytes) -> Ticket:
        """The ticket of a body that will be written with the next group."""
        group = self._gathering[-1] if self._gathering else None
        if group is None or group.size + len(body) > GROUP_SIZE:
            group = Group()
            self._gathering.append(group)
        group.bodies.append(body)
        group.size += len(body)
        self.waiting += len(body)
        self._schedule()
        return Ticket(group, len(group.bodies) - 1)

    async def finish(self) -> None:
        """Wait until everything appended is decided."""
        while group := self._gathering[-1] if self._gathering else self._writing:
            await _decision(group)

    def _schedule(self) -> None:
        """Start a little later, so that what arrives in the same turn of the loop rides along."""
        if self._writing is None and self._gathering and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._scheduled = False
        group = self._writing = self._gathering.popleft()
        self._worker.call(partial(self._write, group.bodies), partial(self._decide, group))

    def _decide(self, group: Group, writing: Done[Written]) -> None:
        self._writing = None
        self.waiting -= group.size
        error = writing.error
        if error is None:
            group.written = writing.result()
            self._on_written(group)
        else:
            group.error = self._failed(error) if isinstance(error, OSError) else SpoolFailed("a fault", why=repr(error))
            _log.error("%s", group.error)
        self._schedule()  # before the waiters: the disk works while they answer
        for waiter in group.waiters:
            waiter()


async def _decision(group: Group) -> None:
    if not group.decided:
        decided = asyncio.Event()
        group.waiters[decided.set] = None
        await decided.wait()
