"""Deferred lines that no packet can carry: sent by a request of their own, with all that waits before them (spec 5).

Rules: the same stream and sequences as in packets, so that it does not matter which way an item came, nor how often;
one request at a time. A batch that is refused as bad is sent in halves; an item refused alone twice, or one that cannot
be read, is set aside on the disk, and a line in its place says where.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import msgspec
import zmq
import zmq.asyncio

from noroshi.node.core.sending import Next, Sending
from noroshi.node.core.spool import Item
from noroshi.node.daemon.spool import Batch, Spool, SpoolFailed
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import (
    PROTOCOL,
    Acknowledged,
    LineBatch,
    LogPart,
    Refused,
    Reply,
    Request,
    RequestBody,
)
from noroshi.store.clock import now_us

BATCH_BYTES = 512 * 1024
EVERYTHING = 2**63 - 1
TIMEOUT = 5.0
"""Seconds; a coordinator that dies is noticed by its packets long before."""

Ask = Callable[[str, RequestBody], Awaitable[Reply | None]]
"""Sends a request to the coordinator at an endpoint; its reply, None where none came in time."""

log = logging.getLogger(__name__)

_parts: msgspec.msgpack.Decoder[LogPart] = msgspec.msgpack.Decoder(LogPart)


class AtOnce:
    """`run` as a task. `taken` is told how far the coordinator has committed."""

    def __init__(self, spool: Spool, ask: Ask, taken: Callable[[Mapping[bytes, int]], None]) -> None:
        self.requests = 0
        """Sent since the start."""
        self._spool, self._ask, self._taken = spool, ask, taken
        self._until: dict[bytes, int] = {}
        self._instead: dict[tuple[bytes, int], LogPart] = {}
        self._endpoint: str | None = None
        self._sending = Sending()
        self._news, self._leader_news = asyncio.Event(), asyncio.Event()
        spool.subscribe(self._news.set)

    def leader_changed(self, endpoint: str | None) -> None:
        """The coordinator to send to from now on; None: nobody leads."""
        self._endpoint = endpoint
        self._leader_news.set()
        self._news.set()

    def needed(self, stream: bytes, sequence: int) -> None:
        """Nothing of this stream up to this item waits for a packet any more."""
        if sequence > self._until.get(stream, 0):
            self._until[stream] = sequence
            self._news.set()

    def look(self) -> None:
        """Something was acknowledged: perhaps nothing is needed any more."""
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._news.clear()
            self._leader_news.clear()
            batch = self._batch()
            if batch is None or self._endpoint is None:
                await self._news.wait()
            else:
                await self._pause((await self._send(self._endpoint, batch)).pause)

    def _batch(self) -> Batch | None:
        """The next to send. An older stream than one that is needed goes before it, whole."""
        while self._until:
            batch = self._spool.batch(BATCH_BYTES, self._sending.limit)
            if batch is None:
                if not self._spool.pending:
                    self._until.clear()
                return None
            streams = self._spool.streams[self._spool.streams.index(batch.stream) :]
            self._until = {stream: until for stream, until in self._until.items() if stream in streams}
            until = self._until.get(batch.stream, EVERYTHING)
            if self._until and batch.first <= until:
                return Batch(batch.stream, batch.oldest, [item for item in batch.items if item.sequence <= until])
            self._until.pop(batch.stream, None)
        return None

    async def _send(self, endpoint: str, batch: Batch) -> Next:
        try:
            parts = [self._part(batch.stream, item) for item in batch.items]
        except _Unreadable as error:
            return await self._set_aside(batch.stream, error.item, str(error))
        self.requests += 1
        reply = await self._ask(endpoint, LineBatch(batch.stream, batch.first, batch.oldest, parts))
        match reply:
            case Acknowledged():
                return self._acknowledged(batch, reply.positions.get(batch.stream, 0))
            case Refused(code="bad-message"):
                return await self._bad(batch, reply.message)
            case Refused():
                log.warning("lines too big for a packet wait: refused (%s): %s", reply.code, reply.message)
        return self._sending.failed()

    def _part(self, stream: bytes, item: Item) -> LogPart:
        if instead := self._instead.get((stream, item.sequence)):
            return instead
        try:
            return _parts.decode(item.body)
        except ValueError as error:
            raise _Unreadable(item, f"not readable here: {error}") from error

    def _acknowledged(self, batch: Batch, position: int) -> Next:
        self._taken({batch.stream: position})
        self._instead = {at: part for at, part in self._instead.items() if at[1] > position}
        return self._sending.advanced() if position >= batch.first else self._sending.failed()

    async def _bad(self, batch: Batch, why: str) -> Next:
        at = batch.stream, batch.first
        step = self._sending.bad(len(batch.items), substitute=at in self._instead)
        if step.give_back:
            del self._instead[at]
        return await self._set_aside(batch.stream, batch.items[0], why) if step.set_aside else step

    async def _set_aside(self, stream: bytes, item: Item, why: str) -> Next:
        """Keep a copy and send a line that says so in its place."""
        try:
            path = await self._spool.set_aside(stream, item)
        except SpoolFailed as error:
            log.error("%s", error)
            return self._sending.failed()
        log.error("deferred lines that the coordinator cannot take are set aside in %s: %s", path, why)
        line = f"[noroshi: what stood here is set aside in {path}: {why[:300]}]"
        self._instead[stream, item.sequence] = _saying(line, item)
        return Next(0.0)

    async def _pause(self, seconds: float) -> None:
        """Let the pause pass, or a new leader come."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leader_news.wait(), seconds)


class _Unreadable(Exception):
    """An item whose body is no part as this version writes them."""

    def __init__(self, item: Item, why: str) -> None:
        super().__init__(why)
        self.item = item


def _saying(line: str, item: Item) -> LogPart:
    """This line in the place of those of an item; of one that cannot be read nobody knows the place."""
    try:
        part = _parts.decode(item.body)
    except ValueError:
        return LogPart(os.urandom(16), "deferred-logs", 0, 0, now_us(), [line])
    return msgspec.structs.replace(part, lines=[line], ends=part.ends[-1:], times=[])


def asker(
    context: zmq.asyncio.Context, cluster: str, node: str, incarnation: bytes, keys: Keyring | None = None
) -> Ask:
    """Requests of this node, each over a socket of its own."""

    async def ask(endpoint: str, body: RequestBody) -> Reply | None:
        plain = cast("zmq.Context[zmq.Socket[bytes]]", context)
        socket = cast("zmq.asyncio.Socket", sockets.requester(plain, endpoint, keys))
        try:
            await socket.send(codec.encode(Request(PROTOCOL, cluster, node, incarnation, body)), zmq.NOBLOCK)
            return codec.replies.decode(await asyncio.wait_for(socket.recv(), TIMEOUT))
        except (TimeoutError, zmq.Again):
            return None
        except BadMessage as error:
            log.error("an answer of %s cannot be read: %s", endpoint, error)
            return None
        finally:
            socket.close(linger=0)

    return ask
