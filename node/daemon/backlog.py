"""Items on their way out of a spool: the newest from memory, older ones read back from the disk.

Rules: asking never waits. What is not in memory is read by a thread, one segment at a time, and `on_change` is called
when it has come; what cannot be read is a loss, after a few tries.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from noroshi.node.core.kept import Kept, Place, Segment
from noroshi.node.core.spool import Item, Loss, Name, Scan

MEMORY_MOST = 2 * 1024 * 1024
"""Bytes of the newest items kept in memory."""

_TRIES, _PAUSE = 3, 1.0
_PACKED_MOST = 4096

_log = logging.getLogger(__name__)


class Backlog:
    """The items of one spool's `kept`."""

    def __init__(
        self,
        kept: Kept,
        read: Callable[[Name], Scan],
        on_change: Callable[[], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        self._kept, self._read, self._on_change, self._on_loss = kept, read, on_change, on_loss
        self._recent: deque[Item] = deque()  # of the newest stream, without a hole, up to its last item
        self._size = 0
        self._page: tuple[Segment, list[Item]] | None = None
        self._loading: asyncio.Task[None] | None = None
        self.unwritten: int | None = None
        """Items of the newest stream from this sequence on may not be on the disk yet."""
        self._missed = False  # one of these was asked for

    @property
    def recent(self) -> Sequence[Item]:
        """The newest items, as many as memory is meant to hold."""
        return self._recent

    def add(self, items: list[Item]) -> None:
        """These were written, the newest there are."""
        self._recent.extend(items)
        self._size += sum(len(item.body) for item in items)
        while self._size > MEMORY_MOST:
            self._size -= len(self._recent.popleft().body)

    def written(self, first: int) -> None:
        """What was `unwritten` from `first` on is on the disk, or was withdrawn."""
        if self.unwritten == first:
            self.unwritten = None
            if self._missed:
                self._missed = False
                self._on_change()

    def withdraw(self, sequence: int) -> None:
        """Items of the newest stream from this sequence on are kept no more."""
        while self._recent and self._recent[-1].sequence >= sequence:
            self._size -= len(self._recent.pop().body)

    def leave(self) -> None:
        """Another stream is the newest from now on; of this one what is in memory is not read back from the disk."""
        place = self._kept.place(self._kept.active.stream)
        if place is not None and self._recent and self._recent[0].sequence <= place.sequence:
            self._page = place.segment, [*self._recent]
        self._recent.clear()
        self._size = 0

    def forget(self, sequence: int) -> None:
        """Items of the newest stream up to this sequence were acknowledged."""
        while self._recent and self._recent[0].sequence <= sequence:
            self._size -= len(self._recent.popleft().body)

    def items(self, place: Place, limit_bytes: int, limit_items: int) -> list[Item]:
        """Items from a place on, without a hole, within the limits but at least one; none while they are read."""
        newest = place.segment.stream == self._kept.active.stream
        if newest and self._recent and self._recent[0].sequence <= place.sequence:
            start = place.sequence - self._recent[0].sequence
            return _limited(list(islice(self._recent, start, start + limit_items)), limit_bytes)
        page = self._page[1] if self._page is not None and self._page[0] is place.segment else []
        start = bisect_left(page, place.sequence, key=lambda item: item.sequence)
        if start == len(page):
            if place.sequence <= self._written_last(place.segment):
                self._load(place.segment)
            else:
                self._missed = True
        return _limited(page[start : start + limit_items], limit_bytes)

    async def close(self) -> None:
        """Stop reading."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})

    def _load(self, segment: Segment) -> None:
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._turn_to(segment))

    async def _turn_to(self, segment: Segment) -> None:
        last = self._written_last(segment)  # it may grow meanwhile
        scanned = await self._try_to_read(segment)
        last = min(last, segment.last)  # of a group that did not become safe
        items = [item for item in scanned if item.sequence <= last]
        self._page = segment, items
        for loss in self._kept.found(segment, last, items):
            self._on_loss(loss)
        self._loading = None
        self._on_change()

    def _written_last(self, segment: Segment) -> int:
        if self.unwritten is None or segment.stream != self._kept.active.stream:
            return segment.last
        return min(segment.last, self.unwritten - 1)

    async def _try_to_read(self, segment: Segment) -> list[Item]:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE)
            try:
                return (await asyncio.to_thread(self._read, segment.name)).items
            except FileNotFoundError as error:
                _log.error("spool segment %s is gone: %s", segment.name, error)
                break
            except OSError as error:
                _log.error("cannot read spool segment %s: %s", segment.name, error)
        return []


def _limited(items: list[Item], limit_bytes: int) -> list[Item]:
    """The first items up to a hole or the limit, whichever comes first."""
    for index, item in enumerate(items):
        limit_bytes -= len(item.body)
        if index and (limit_bytes < 0 or item.sequence != items[0].sequence + index):
            return items[:index]
    return items


class StreamSource:
    """One stream as the packer of periodic packets reads it (core.deferred.Source)."""

    def __init__(self, stream: bytes, kept: Kept, backlog: Backlog) -> None:
        self.stream = stream
        self._kept, self._backlog = kept, backlog

    @property
    def oldest(self) -> int:
        """The oldest sequence kept, past what could not be read; the next one to come where nothing is left."""
        place = self._kept.place(self.stream)
        return self._kept.oldest(self.stream, place.sequence if place else self._kept.last(self.stream) + 1)

    def pending(self, after_sequence: int, room_bytes: int) -> list[tuple[int, bytes]]:
        """Items after that sequence within `room_bytes`, but at least one; none while they are read from the disk."""
        place = self._kept.place(self.stream, after_sequence)
        return [*self._backlog.items(place, room_bytes, _PACKED_MOST)] if place else []
