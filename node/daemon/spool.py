"""A durable stream on the local disk: appended by many, safe before it is confirmed, kept until it is acknowledged.

Role: the spool of design section 2. `append` at one end; at the other `batch` (for the sender) or `source` (for the
packer of periodic packets), and `acknowledge`.
Rules: belongs to one event loop, which never waits for the disk. Appends share one fdatasync. What is written gets a
sequence and may be sent (`urgent`: already when it is handed to the disk, if nothing is before it); only what is safe
is confirmed: an event is on its way while the disk still works. A group that cannot be written is refused whole and
leaves nothing behind; of one that was told and did not become safe whoever raised it hears the same, though it may have
been taken. Bounded in size and age: the oldest go first, and each loss is told to `on_loss`.
A spool is one stream until a group did not become safe, its tail was torn or the machine was booted again; then the
older stream is sent to its end first, and what is new has a new id (segments.py says why).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from noroshi.node.core.kept import Kept, Segment
from noroshi.node.core.spool import Item, Loss, Name
from noroshi.node.daemon.backlog import Backlog, StreamSource
from noroshi.node.daemon.groups import WAITING_MOST, Group, GroupCommit, SpoolFailed, Ticket
from noroshi.node.daemon.segments import FULL, SEGMENT_SIZE, Found, SegmentFiles, Written, boot_id
from noroshi.node.worker import Done, Worker

__all__ = ["Batch", "Limits", "Loss", "Spool", "SpoolFailed", "Ticket"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Bounds of one spool: bytes on the disk (in whole segments, at least two), seconds of age."""

    size: int = 64 * SEGMENT_SIZE
    age: float = 7 * 86400.0


@dataclass(frozen=True)
class Batch:
    """Items of one stream, in order, at least one, no hole. `oldest`: the oldest kept, as the receiver is told."""

    stream: bytes
    oldest: int
    items: list[Item]

    @property
    def first(self) -> int:
        return self.items[0].sequence

    @property
    def last(self) -> int:
        return self.items[-1].sequence


class Spool:
    """`await Spool.open(...)`, then everything from that loop, then `await close()`."""

    def __init__(
        self,
        directory: Path,
        files: SegmentFiles,
        worker: Worker,
        found: Found,
        limits: Limits,
        on_loss: Callable[[Loss], None],
        urgent: bool = False,
    ) -> None:
        self.directory, self._urgent = directory, urgent
        self._files, self._worker, self._limits, self._on_loss = files, worker, limits, on_loss
        now = time.monotonic()
        self._kept = Kept([Segment(name, last, now) for name, last in zip(found.names, found.lasts, strict=True)])
        self._backlog = Backlog(self._kept, files.read, self._changed, self._lose)
        self._recovered = [(item, Ticket.settled(Written(found.written_last, item.sequence))) for item in found.items]
        if found.written_last.stream == self.stream:
            self._backlog.add(found.items)
        self._commit = GroupCommit(
            files.write, worker, self._foresee, self._written, self._unsafe, self._failed, urgent
        )
        self._rotating = 0
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self.found_note = found.note
        """The note that an earlier life left, of items that are no longer here."""
        self.note: Callable[[], bytes] | None = None
        """Gives what is to be noted before items go."""

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        limits: Limits | None = None,
        on_loss: Callable[[Loss], None] = lambda loss: None,
        boot: bytes | None = None,
        urgent: bool = False,
    ) -> Spool:
        """The spool in this directory, made where there is none. Raises SpoolFailed.

        `urgent`: what nothing is before may be sent before it is written. Then a next life may not know of it, though
        it was taken; that must double nothing.
        """
        worker = Worker(f"spool-{directory.name}")
        try:
            files = SegmentFiles(directory, boot or boot_id())
            found = await asyncio.get_running_loop().run_in_executor(worker, files.open)
        except OSError as error:
            worker.shutdown()
            raise _failed(directory, error) from error
        return cls(directory, files, worker, found, limits or Limits(), on_loss, urgent)

    @property
    def stream(self) -> bytes:
        """The id that new items get."""
        return self._kept.active.stream

    @property
    def streams(self) -> list[bytes]:
        """The ids of all streams kept, the oldest first; the last is `stream`."""
        return self._kept.streams

    @property
    def current(self) -> bytes:
        """The id of the stream to send now: the oldest that has anything to send, else that of new items."""
        place = self._kept.place()
        return self.stream if place is None else place.segment.stream

    @property
    def pending(self) -> int:
        """How many items wait for their acknowledgement."""
        return self._kept.pending

    @property
    def size(self) -> int:
        """Bytes on the disk, about."""
        return len(self._kept) * SEGMENT_SIZE

    @property
    def limit(self) -> int:
        """Bytes on the disk past which the oldest are dropped."""
        return self._limits.size

    def recovered(self) -> list[tuple[Item, Ticket]]:
        """The items that an earlier life wrote last, with their tickets; once, right after `open`."""
        recovered, self._recovered = self._recovered, []
        return recovered

    async def kept(self) -> AsyncIterator[list[Item]]:
        """All that is on the disk, the oldest first, acknowledged or not. What cannot be read is left out."""
        for name in self._kept.names:
            try:
                scan = await self._run(partial(self._files.read, name))
            except OSError as error:
                _log.error("cannot read spool segment %s: %s", name, error)
                continue
            yield scan.items

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Called whenever there may be more to send, or less: items became safe, were read back from the disk, or went
        by age."""
        self._listeners.append(listener)

    def append(self, body: bytes, *, recalled: bool = False) -> Ticket:
        """Take one body; await `ticket.safe()`. Raises SpoolFailed when too much waits, or when it is closed.

        `recalled`: a next life has to find it among `recovered`, if it was sent.
        """
        if self._closed or self._commit.waiting + len(body) > WAITING_MOST:
            why = "it is closed" if self._closed else f"{self._commit.waiting} bytes wait for the local disk"
            raise SpoolFailed("not taken into", on=str(self.directory), why=why, hint="try again shortly")
        return self._commit.append(body, recalled)

    def batch(self, limit_bytes: int = 256 * 1024, limit_items: int = 2000) -> Batch | None:
        """The next items to send; None while there are none, or while they are being read from the disk."""
        place = self._kept.place()
        items = self._backlog.items(place, limit_bytes, limit_items) if place is not None else []
        if place is None or not items:
            return None
        stream = place.segment.stream
        return Batch(stream, self._kept.oldest(stream, items[0].sequence), items)

    def source(self, stream: bytes) -> StreamSource:
        """One stream, as the packer of periodic packets reads it (core.deferred.Source)."""
        return StreamSource(stream, self._kept, self._backlog)

    def acknowledge(self, stream: bytes, sequence: int) -> None:
        """The receiver has committed everything up to `sequence`, or has gone back to it. Unknown streams: ignored."""
        gone = self._kept.acknowledge(stream, sequence)
        if stream == self.stream:
            self._backlog.forget(sequence)
        self._remove(gone)

    def expire(self, now: float) -> None:
        """Apply the bound on age at this monotonic instant: call it every minute or so.

        A segment's age counts from its last write in this process, so no step of the wall clock empties a spool.
        """
        if self._kept.pending and now - self._kept.active.written > self._limits.age:
            self._rotating += 1
            self._worker.call(self._files.rotate, self._rotated)
        gone, losses = self._kept.expire(now - self._limits.age)
        self._drop(gone, losses)
        if losses:
            self._changed()

    async def set_aside(self, stream: bytes, item: Item) -> Path:
        """Keep a copy of an item that nobody takes, under `aside/`. Raises SpoolFailed."""
        name = f"{stream.hex()}-{item.sequence}"
        try:
            return await self._run(lambda: self._files.set_aside(name, item.body))
        except OSError as error:
            raise self._failed(error) from error

    async def close(self) -> None:
        """Finish what was appended, take no more, close the files."""
        self._closed = True
        await self._commit.finish()
        await self._backlog.close()
        await self._run(self._files.close)
        self._worker.shutdown()

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function)

    def _foresee(self, group: Group) -> Written | None:
        """Where a group will be that is about to be written, if it may be sent before.

        Not while others wait: then it would not leave any sooner, and those may have to be read from the disk.
        """
        if not self._urgent or group.recalled or self._rotating or self._kept.pending:
            return None
        return self._files.foresee(group.bodies)

    def _written(self, group: Group) -> None:
        """A group is kept from now on and may be sent."""
        written = group.written
        assert written is not None  # noqa: S101 - that is when this is called
        if not group.decided:
            self._backlog.unwritten = written.first
            group.waiters[partial(self._backlog.written, written.first)] = None
        self._begin(written.name)
        active = self._kept.active
        active.last = written.first + len(group.bodies) - 1
        active.written = time.monotonic()
        self._backlog.add([Item(sequence, body) for sequence, body in enumerate(group.bodies, written.first)])
        self._changed()

    def _unsafe(self, group: Group) -> None:
        """A group that was kept did not become safe: it is not, and nothing else follows in its stream."""
        written = group.written
        assert written is not None  # noqa: S101 - as above
        self._kept.active.last = written.first - 1
        self._backlog.withdraw(written.first)

    def _begin(self, name: Name) -> None:
        if name.stream != self.stream:
            self._backlog.leave()
        if name != self._kept.active.name:
            self._kept.begin(Segment(name, name.first - 1, time.monotonic()))
            self._remove(self._kept.done())
            self._drop(*self._kept.bound(max(self._limits.size // SEGMENT_SIZE, 2)))

    def _rotated(self, rotating: Done[Name]) -> None:
        self._rotating -= 1
        if rotating.error is None:
            self._begin(rotating.result())
        else:
            _log.error("cannot begin a segment of spool %s: %s", self.directory, rotating.error)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def _drop(self, gone: list[Segment], losses: list[Loss]) -> None:
        self._remove(gone)
        for loss in losses:
            self._lose(loss)

    def _lose(self, loss: Loss) -> None:
        _log.error("spool %s lost %d items by %s: %s", self.directory, loss.count, loss.reason, loss)
        self._on_loss(loss)

    def _remove(self, gone: list[Segment]) -> None:
        if gone:
            names = [segment.name for segment in gone]
            note = self.note() if self.note is not None else None
            self._worker.submit(self._files.remove, names, note).add_done_callback(_log_failure)

    def _failed(self, error: OSError) -> SpoolFailed:
        return _failed(self.directory, error)


def _log_failure(removing: Future[None]) -> None:
    error = removing.exception()
    if error is not None:  # they come back at the next start and are acknowledged again
        _log.error("cannot remove segments of a spool: %s", error)


def _failed(directory: Path, error: OSError) -> SpoolFailed:
    why = error.strerror or str(error)
    full = error.errno in FULL
    hint = "free space on its file system" if full else "look at the disk and the permissions of this directory"
    return SpoolFailed("cannot write to the spool", on=str(directory), why=why, hint=hint)
