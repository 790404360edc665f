"""Sends a spool's events to whoever leads, one batch in flight, and tells the spool what was taken.

Role: from the spool to the coordinator's acknowledgement (design section 2, Streams).
Rules: an event leaves the spool only when the coordinator said it is committed; it says where it stands, and sending
goes on from there, also backwards. A time-out or a new leader closes the socket and sends the same again over a new
one. `node.core.sending` decides pauses, splitting and setting aside. What comes while nothing is under way leaves in
the call that brings it, not when the task has its turn: somebody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import msgspec
import zmq
import zmq.asyncio

from noroshi.node.core import raising
from noroshi.node.core.sending import Next, Sending
from noroshi.node.core.spool import Item
from noroshi.node.daemon.groups import SpoolFailed
from noroshi.node.daemon.spool import Batch, Spool
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL, Acknowledged, EventBatch, Refused, Reply, Report, Request
from noroshi.store.clock import now_us

BATCH_BYTES = 512 * 1024
TIMEOUT = 5.0
"""Seconds; a coordinator that dies is noticed by its packets long before."""

_log = logging.getLogger(__name__)


class Sender:
    """`run` as a task; tell it of the leader with `leader_changed`."""

    def __init__(
        self,
        spool: Spool,
        context: zmq.asyncio.Context,
        *,
        cluster: str,
        node: str,
        incarnation: bytes,
        timeout: float = TIMEOUT,
        keys: Keyring | None = None,
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        """`forgotten` is called, once a leader, where it lacks what one before it took: its database was lost."""
        self._forgotten, self._forgetful = forgotten, 0
        self.acknowledged = 0
        """Events taken by a coordinator since the start."""
        self._spool, self._timeout, self._keys = spool, timeout, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.shadow(context.underlying)
        self._cluster, self._node, self._incarnation = cluster, node, incarnation
        self._sending = Sending()
        self._leader: tuple[str, int] | None = None
        self._connected: tuple[str, int] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._receiving: asyncio.Future[bytes] | None = None
        self._news, self._leader_news = asyncio.Event(), asyncio.Event()
        self._idle = False
        self._sent: _Sent | None = None
        self._instead: dict[tuple[bytes, int], Report] = {}
        self._trouble = ""
        spool.subscribe(self._changed)

    def leader_changed(self, endpoint: str | None, term: int = 0) -> None:
        """The coordinator to send to from now on; None: nobody leads. The same endpoint and term change nothing."""
        leader = None if endpoint is None else (endpoint, term)
        if leader == self._leader:
            return
        self._leader = leader
        self._leader_news.set()
        self._news.set()
        if self._receiving is not None:
            self._receiving.cancel()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                self._news.clear()
                self._leader_news.clear()
                sent = self._sent or self._send()
                self._sent = None
                if sent is None:
                    await self._await_news()
                else:
                    await self._pause((await self._settle(sent)).pause)
        finally:
            self._close()

    async def _await_news(self) -> None:
        self._idle = True
        try:
            await self._news.wait()
        finally:
            self._idle = False

    def _changed(self) -> None:
        self._news.set()
        if self._idle and self._sent is None:
            self._sent = self._send()

    def _send(self) -> _Sent | None:
        """Send the next batch; None where there is none, or nobody to send it to."""
        batch = self._spool.batch(BATCH_BYTES, self._sending.limit)
        if batch is None or self._leader is None:
            return None
        try:
            request = self._request(batch)
        except _Unreadable as error:
            return _Sent(self._leader, batch, error)
        self._receiving = asyncio.get_running_loop().create_future()
        self._open(self._leader).send(request, zmq.NOBLOCK)
        self._read()  # the descriptor tells of a change once, and sending may have taken that
        return _Sent(self._leader, batch)

    async def _settle(self, sent: _Sent) -> Next:
        """What follows from the reply, or from none."""
        leader, batch = sent.leader, sent.batch
        if sent.unreadable is not None:
            return await self._set_aside(batch.stream, sent.unreadable.item, str(sent.unreadable))
        try:
            reply = await self._reply()
        except BadMessage as error:
            return self._retry(f"an answer that cannot be read: {error}")
        if isinstance(reply, Acknowledged):
            return self._took(batch, reply)
        if isinstance(reply, Refused):
            return await self._refused(batch, reply)
        if leader != self._leader:
            return Next(0.0)
        return self._retry("no answer" if reply is None else f"an answer to something else: {type(reply).__name__}")

    def _took(self, batch: Batch, reply: Acknowledged) -> Next:
        position = reply.positions.get(batch.stream)
        if position is None:
            return self._retry("an acknowledgement of another stream")
        self._spool.acknowledge(batch.stream, position)
        if position < batch.first:
            self._forgot()
            return self._retry(f"it stands at {position}, this node sends from {batch.first}")
        self.acknowledged += min(position, batch.last) - batch.first + 1
        self._instead = {at: report for at, report in self._instead.items() if at[1] > position}
        self._note("")
        return self._sending.advanced()

    def _forgot(self) -> None:
        term = self._leader[1] if self._leader else 0
        if term != self._forgetful:
            self._forgetful = term
            self._forgotten()

    async def _refused(self, batch: Batch, reply: Refused) -> Next:
        if reply.code != "bad-message":
            return self._retry(f"refused ({reply.code}): {reply.message}", hint=reply.hint)
        at = (batch.stream, batch.first)
        step = self._sending.bad(len(batch.items), substitute=at in self._instead)
        self._note(f"refused as bad: {reply.message}")
        if step.give_back:
            del self._instead[at]
        return await self._set_aside(batch.stream, batch.items[0], reply.message) if step.set_aside else step

    async def _set_aside(self, stream: bytes, item: Item, why: str) -> Next:
        """Keep a copy and send a notice in its place; the item itself goes only when that was taken."""
        try:
            path = await self._spool.set_aside(stream, item)
        except SpoolFailed as error:
            return self._retry(str(error))
        _log.error("an event that the coordinator cannot take is set aside in %s: %s", path, why)
        supplement = msgspec.json.encode({"set_aside": str(path), "reason": why[:500]}).decode()
        notice = Report(item.sequence, f"monitor/{self._node}/spool", "ERROR", supplement, now_us())
        self._instead[stream, item.sequence] = notice
        return Next(0.0)

    def _request(self, batch: Batch) -> bytes:
        reports = [self._report(batch.stream, item) for item in batch.items]
        body = EventBatch(batch.stream, batch.first, batch.oldest, reports)
        return codec.encode(Request(PROTOCOL, self._cluster, self._node, self._incarnation, body))

    def _report(self, stream: bytes, item: Item) -> Report:
        if instead := self._instead.get((stream, item.sequence)):
            return instead
        try:
            return raising.report(item)
        except ValueError as error:
            raise _Unreadable(item, f"not readable here: {error}") from error

    async def _reply(self) -> Reply | None:
        """The coordinator's reply; None when none came in time or the leader changed meanwhile. Raises BadMessage."""
        receiving, answered = self._receiving, False
        assert receiving is not None  # noqa: S101 - something was sent
        try:
            await asyncio.wait({receiving}, timeout=self._timeout)
            answered = receiving.done() and not receiving.cancelled()
            return codec.replies.decode(receiving.result()) if answered else None
        finally:
            if not answered:
                self._close()
            self._receiving = None

    def _read(self) -> None:
        """The reply, where it has come; asking for the events is also what makes the descriptor quiet again."""
        if self._socket is None:
            return
        readable = sockets.readable(self._socket)
        if readable and self._receiving is not None and not self._receiving.done():
            self._receiving.set_result(self._socket.recv(zmq.NOBLOCK))

    def _open(self, leader: tuple[str, int]) -> zmq.Socket[bytes]:
        if self._socket is None or self._connected != leader:
            self._close_socket()
            self._socket = sockets.requester(self._context, leader[0], self._keys)
            self._connected = leader
            asyncio.get_running_loop().add_reader(cast("int", self._socket.getsockopt(zmq.FD)), self._read)
        return self._socket

    async def _pause(self, seconds: float) -> None:
        """Let the pause pass, or a new leader come."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leader_news.wait(), seconds)

    def _retry(self, trouble: str, hint: str = "") -> Next:
        self._note(trouble, hint)
        return self._sending.failed()

    def _note(self, trouble: str, hint: str = "") -> None:
        """Log a trouble when it begins, changes and ends, not at each try."""
        if trouble != self._trouble:
            leader = self._leader[0] if self._leader else "nobody"
            if trouble:
                _log.warning("events for %s wait: %s%s", leader, trouble, f" ({hint})" if hint else "")
            else:
                _log.info("events go to %s again", leader)
            self._trouble = trouble

    def _close(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
        self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(cast("int", self._socket.getsockopt(zmq.FD)))
            self._socket.close(linger=0)
            self._socket = None


@dataclass(frozen=True)
class _Sent:
    """A batch under way to this leader; `unreadable`: it is not, one of its items cannot be."""

    leader: tuple[str, int]
    batch: Batch
    unreadable: _Unreadable | None = None


class _Unreadable(Exception):
    """An item whose body is no event as this version writes them."""

    def __init__(self, item: Item, why: str) -> None:
        super().__init__(why)
        self.item = item
