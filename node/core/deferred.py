"""Items that wait for a periodic packet, and are packed again until they are acknowledged (spec 5).

Role: the sender's side of one stream (`Outgoing`), a buffer in memory for streams that need no disk (`Buffer`), and
the receiver's side of such streams (`Inbox`). Deferred events have their durable spool elsewhere; all a packer needs
of it is `Source`.
Rules: `now` is monotonic seconds. Sequences count from 1. Resends are go-back-N: a receiver takes what continues its
last sequence and ignores the rest. Behind a hole in the source (dropped or damaged items) nothing is sent before all
in front of it was acknowledged; then the first item behind it is told as the oldest, and the receiver goes on there.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from noroshi.node.core.packet import Kind, Run

ITEM_COST = 3
"""Bytes that an item's length takes in the label, at most."""

RESEND_PERIODS = 4
"""Without an acknowledgement for so long, what was sent is packed again; doubled each time up to the next figure."""

RESEND_PERIODS_MOST = 16

STALLED_PERIODS = 2
"""The same when so late an acknowledgement tells no more than the last one; each is told twice, a period apart."""

WINDOW_ITEMS = 512
"""So many items of one stream may be sent and unacknowledged: some 32 packets of items of 256 bytes."""

COPIES = 3
"""So many packets carry data for all nodes, which nobody acknowledges."""


class Source(Protocol):
    """Where a stream's items wait. `stream` is its random id of 16 bytes."""

    @property
    def stream(self) -> bytes: ...

    @property
    def oldest(self) -> int:
        """The oldest sequence kept; the next one to come where nothing is kept."""

    def pending(self, after_sequence: int, room_bytes: int) -> list[tuple[int, bytes]]:
        """Items after that sequence, in order, of no more bytes together than `room_bytes`; but always the first.

        None at all while they are still being fetched.
        """


class Buffer:
    """A `Source` in memory, for what may be lost with the process. When full the oldest are dropped and counted."""

    def __init__(self, stream: bytes, limit_bytes: int) -> None:
        self.stream = stream
        self.dropped = 0
        self._limit, self._bytes, self._next = limit_bytes, 0, 1
        self._items: deque[bytes] = deque()

    @property
    def oldest(self) -> int:
        return self._next - len(self._items)

    @property
    def size(self) -> int:
        """Bytes of the items kept."""
        return self._bytes

    def append(self, item: bytes) -> int:
        """The item's sequence."""
        self._items.append(item)
        self._bytes += len(item)
        self._next += 1
        while self._bytes > self._limit and len(self._items) > 1:
            self._forget()
            self.dropped += 1
        return self._next - 1

    def pending(self, after_sequence: int, room_bytes: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        for index in range(max(0, after_sequence + 1 - self.oldest), len(self._items)):
            room_bytes -= len(self._items[index])
            if room_bytes < 0 and found:
                break
            found.append((self.oldest + index, self._items[index]))
        return found

    def acknowledged(self, position: int) -> None:
        """Forget everything up to this sequence."""
        while self._items and self.oldest <= position:
            self._forget()

    def _forget(self) -> None:
        self._bytes -= len(self._items.popleft())


@dataclass
class Outgoing:
    """How far one stream was sent and acknowledged. `copies`: nobody acknowledges; so many packets carry each item."""

    source: Source
    kind: Kind
    to: str
    copies: int = 0
    acked: int = 0
    cursor: int = 0  # the last sequence sent
    _moved_at: float = -math.inf  # the last acknowledgement, or the first sending after it
    _patience: int = RESEND_PERIODS
    _repeated_at: float = -math.inf  # the last acknowledgement that told nothing new
    _rides: int = 0

    def waiting(self, room: int) -> list[tuple[int, bytes]]:
        """Items not sent yet, as many as `room` bytes hold and at least one, within the window."""
        self._skip_forgotten()
        window = self.acked + WINDOW_ITEMS - self.cursor
        entries = _consecutive(self.source.pending(self.cursor, room)) if window > 0 else []
        behind_hole = bool(entries) and entries[0][0] > self.cursor + 1
        return [] if behind_hole and self.cursor > self.acked else entries[:window]

    def next_run(self, room: int) -> list[tuple[int, bytes]]:
        """What the next packet carries of this stream; empty where not even the first item fits."""
        self._skip_forgotten()
        if self._rides:
            batch = _consecutive(self.source.pending(self.acked, room))
            return _trimmed([entry for entry in batch if entry[0] <= self.cursor], room)
        return _trimmed(self.waiting(room), room)

    def oldest(self, first: int) -> int:
        """As the receiver is to be told with a run from `first` on."""
        return first if first > self.cursor + 1 else self.source.oldest

    def sent(self, last: int, now: float) -> int:
        """Carried up to `last`. The position that is thereby done with: for `copies` alone, else 0."""
        if self.cursor <= self.acked:
            self._moved_at = now
        self.cursor = last
        if not self.copies:
            return 0
        self._rides = (self._rides + 1) % self.copies
        if self._rides:
            return 0
        self.acked = last
        return last

    def acknowledged(self, position: int, now: float) -> bool:
        """Whether this is news. It may lie beyond what this process sent: the one before it did.

        A lower one than before is believed: the receiver's database was restored, and it is sent again from there.
        The same one again, late, comes from a receiver that got something behind a lost packet: back to there at once.
        """
        if position == self.acked:
            self._repeated_at = now
            return False
        self.cursor = max(position, self.cursor) if position > self.acked else position
        self.acked, self._moved_at, self._patience = position, now, RESEND_PERIODS
        return True

    def resend_if_due(self, now: float, interval: float) -> None:
        """Go back to the last acknowledgement when more was waited for in vain."""
        if self.copies or self.cursor <= self.acked:
            return
        if self._repeated_at - self._moved_at >= STALLED_PERIODS * interval:
            self.cursor = self.acked
        elif now - self._moved_at >= self._patience * interval:
            self.cursor = self.acked
            self._patience = min(2 * self._patience, RESEND_PERIODS_MOST)

    def rewind(self) -> None:
        """Another receiver: everything unacknowledged is for it."""
        if not self.copies:
            self.cursor, self._patience = self.acked, RESEND_PERIODS

    def _skip_forgotten(self) -> None:
        forgotten = self.source.oldest - 1
        if forgotten >= self.cursor:
            self._rides = 0
        self.acked, self.cursor = max(self.acked, forgotten), max(self.cursor, forgotten)


def _consecutive(entries: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Up to the first hole."""
    for index, (sequence, _) in enumerate(entries):
        if sequence != entries[0][0] + index:
            return entries[:index]
    return entries


def _trimmed(entries: list[tuple[int, bytes]], room: int) -> list[tuple[int, bytes]]:
    """As many as fit with their places in the label."""
    for index, (_, item) in enumerate(entries):
        room -= len(item) + ITEM_COST
        if room < 0:
            return entries[:index]
    return entries


class Owed:
    """Acknowledgements that others are still to be told, each in two packets, in the order they came up."""

    def __init__(self) -> None:
        self._new: dict[bytes, int] = {}
        self._again: dict[bytes, int] = {}

    def add(self, positions: Mapping[bytes, int]) -> None:
        for stream, position in positions.items():
            self._again.pop(stream, None)
            self._new[stream] = position

    def take(self, count: int) -> dict[bytes, int]:
        """As many as `count` for the next packet."""
        new = _first(self._new, count)
        again = _first(self._again, count - len(new))
        self._again.update(new)
        return new | again


def _first(owed: dict[bytes, int], count: int) -> dict[bytes, int]:
    """Taken out of `owed`."""
    return {stream: owed.pop(stream) for stream in list(owed)[: max(0, count)]}


@dataclass(frozen=True)
class Taken:
    """What a run brought: the new items, and how many were lost before them."""

    items: tuple[bytes, ...]
    lost: int
    position: int


class Inbox:
    """Takes each item of a stream once, in order; remembers the last sequences of the streams heard latest."""

    def __init__(self, streams: int = 4096) -> None:
        self._last: OrderedDict[bytes, int] = OrderedDict()
        self._streams = streams

    def take(self, run: Run) -> Taken:
        """An unknown stream begins at the oldest its sender keeps."""
        last = self._last.get(run.stream, run.oldest - 1)
        lost = max(0, run.oldest - 1 - last)
        last += lost
        new = run.items[last + 1 - run.first :] if run.first <= last + 1 <= run.last else ()
        self._remember(run.stream, last + len(new))
        return Taken(new, lost, last + len(new))

    def _remember(self, stream: bytes, last: int) -> None:
        self._last[stream] = last
        self._last.move_to_end(stream)
        if len(self._last) > self._streams:
            self._last.popitem(last=False)
