"""Deferred lines of logs: from the log monitor into a spool, and from there into packets (spec 5).

Rules: a part is split into items that fit a packet, each with its own bytes of the file. What was not safely taken, the
monitor is told to read again from there; the coordinator, who has the position of each file's stream, leaves out what
it has. How far each file was taken is known also after a kill, from what lies in the spool and the note of what
lay there: what is read again may be cut otherwise, and what a rate limit holds back may be other lines. What did not
become safe may have been taken all the same, up to any of its items, so it is cut there again. A line too big
for any packet is in the same stream and holds up nothing: it and all before it go at once. While too much waits nothing
more is taken, for the files keep it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

import msgspec

from noroshi.node.core.batches import split
from noroshi.node.core.deferred import Source
from noroshi.node.core.packet import Kind
from noroshi.node.core.spool import Item
from noroshi.node.daemon.deferring.at_once import EVERYTHING, AtOnce
from noroshi.node.daemon.deferring.outbox import Outbox, Packets
from noroshi.node.daemon.groups import GROUP_SIZE
from noroshi.node.daemon.spool import Spool, SpoolFailed
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import LogPart

log = logging.getLogger(__name__)

BACKLOG_MOST = 8 * 1024 * 1024
"""Bytes of the spool past which nothing more is taken from the monitor; half of what the spool may have, if less."""

STREAMS_MOST = 10_000
"""Files whose positions are remembered; the coordinator remembers all."""


class Lines:
    """`defer` is what the log monitor calls."""

    def __init__(self, spool: Spool, packets: Packets, at_once: AtOnce) -> None:
        self._spool, self._most, self._at_once = spool, packets.packer.largest_item, at_once
        self._positions: OrderedDict[bytes, int] = OrderedDict()
        self._doubted: dict[bytes, frozenset[int]] = {}
        self._moved = asyncio.Event()
        spool.subscribe(self._moved.set)
        spool.note = lambda: msgspec.msgpack.encode(self._positions)
        self._outbox = Outbox(spool, packets, Kind.LOG, lambda source: _Fitting(source, self._most, at_once.needed))

    @property
    def waiting(self) -> bool:
        """Whether lines wait to be taken by the coordinator."""
        return self._spool.pending > 0

    async def recall(self) -> None:
        """Know again what earlier lives took; before anything is taken or acknowledged."""
        for stream, position in _noted(self._spool.found_note).items():
            self._remember(stream, position)
        async for items in self._spool.kept():
            for piece in filter(None, map(_piece, items)):
                self._remember(piece.stream, piece.end)

    async def defer(self, part: LogPart) -> int:
        """Take a part into the spool, or some of it; up to which offset its stream is there now."""
        position = self._positions.get(part.stream, part.start)
        if part.start < position:
            return position
        position = part.start
        doubted = self._doubted.pop(part.stream, frozenset())
        for bunch in _bunches(split(part, self._most, doubted)):
            if self._full:
                break
            if not await self._store([body for body, _ in bunch]):
                doubted |= {end for _, end in bunch}
                break
            position = bunch[-1][1]
            self._remember(part.stream, position)
        if any(end > position for end in doubted):
            self._doubted[part.stream] = frozenset(end for end in doubted if end > position)
        return position

    async def flush(self) -> None:
        """Send at once whatever waits; returns when the coordinator has it, or it is lost by age or damage."""
        while self.waiting:
            self._moved.clear()
            for stream in self._spool.streams:
                self._at_once.needed(stream, EVERYTHING)
            await self._moved.wait()

    def acknowledged(self, positions: Mapping[bytes, int]) -> None:
        """As `Outbox.acknowledged`."""
        self._outbox.acknowledged(positions)
        self._at_once.look()
        self._moved.set()

    @property
    def _full(self) -> bool:
        return self._spool.size > min(BACKLOG_MOST, self._spool.limit // 2)

    async def _store(self, bodies: list[bytes]) -> bool:
        """Whether they are safe, all of them: they are one group."""
        try:
            tickets = [self._outbox.append(body) for body in bodies]
            await tickets[-1].safe()
        except SpoolFailed:
            return False
        for body, ticket in zip(bodies, tickets, strict=True):
            if len(body) > self._most:
                self._at_once.needed(self._spool.stream, ticket.sequence)
        return True

    def _remember(self, stream: bytes, position: int) -> None:
        self._positions[stream] = position
        self._positions.move_to_end(stream)
        if len(self._positions) > STREAMS_MOST:
            self._positions.popitem(last=False)


def _bunches(pieces: list[LogPart]) -> Iterator[list[tuple[bytes, int]]]:
    """Encoded pieces and their ends, as many at once as become safe together."""
    bunch: list[tuple[bytes, int]] = []
    size = 0
    for piece in pieces:
        body = encode(piece)
        if bunch and size + len(body) > GROUP_SIZE:
            yield bunch
            bunch, size = [], 0
        bunch.append((body, piece.end))
        size += len(body)
    yield bunch


class _Piece(msgspec.Struct, array_like=True):
    """What a piece in the spool begins with."""

    stream: bytes
    source: str
    start: int
    end: int


_pieces: msgspec.msgpack.Decoder[_Piece] = msgspec.msgpack.Decoder(_Piece)
_notes: msgspec.msgpack.Decoder[dict[bytes, int]] = msgspec.msgpack.Decoder(dict[bytes, int])


def _piece(item: Item) -> _Piece | None:
    """None where the body is none that this version can read; it is told where it is sent."""
    try:
        return _pieces.decode(item.body)
    except ValueError:
        return None


def _noted(note: bytes) -> dict[bytes, int]:
    try:
        return _notes.decode(note) if note else {}
    except ValueError as error:
        log.error("what was noted of deferred lines cannot be read, so some may be counted twice: %s", error)
        return {}


class _Fitting:
    """A source up to its first item that no packet can carry, which is told to `found`."""

    def __init__(self, source: Source, most: int, found: Callable[[bytes, int], None]) -> None:
        self._source, self._most, self._found = source, most, found

    @property
    def stream(self) -> bytes:
        return self._source.stream

    @property
    def oldest(self) -> int:
        return self._source.oldest

    def pending(self, after_sequence: int, room_bytes: int) -> list[tuple[int, bytes]]:
        entries = self._source.pending(after_sequence, room_bytes)
        for index, (sequence, body) in enumerate(entries):
            if len(body) > self._most:
                self._found(self.stream, sequence)
                return entries[:index]
        return entries
