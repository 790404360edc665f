"""The daemon's end of the delivery socket: ROUTER on port+1, called by the coordinator (design section 2).

Role: bytes to `Deliver`, the notifier's `Answer` back to whoever asked; many in flight, answered as they finish. The
steps of a doctor (`Probe`) come in here too and go to the prober.
Rules: what is neither is counted and logged with its sender, and never answered: it has no id. A burst gives way
to the rest of the daemon, its packets above all, after every few messages. Sends never block: an answer to a
coordinator that is gone is dropped, and it asks again. The socket is a plain one, read when its descriptor says so:
zmq.asyncio's own way costs two rounds of the loop more, and a delivery waits for each. That descriptor tells of a
change once (zmq_getsockopt, ZMQ_FD), so after each read and each send it is looked whether more has come.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import zmq
import zmq.asyncio

from noroshi.node.daemon.probing import Prober
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import Answer, Deliver
from noroshi.node.wire.probing import Probe, Probed

BURST = 16
"""Messages taken before the rest of the event loop has its turn."""

LINGER_MS = 2000
"""How long the last answers of a daemon that ends may take to leave."""

PARTING = 0.1
"""Seconds that the connection stands after them: what the coordinator has not read by its end is lost to it, since its
socket must not keep what it sends to nodes that are gone (IMMEDIATE)."""

log = logging.getLogger(__name__)


@dataclass
class DeliveryCounts:
    """Since the daemon's start; `unsent` answers found no way back."""

    received: int = 0
    bad: int = 0
    answered: int = 0
    unsent: int = 0


class DeliveryServer:
    """Serves one endpoint; `serve` runs as a task, `close` ends it after the last answers."""

    def __init__(
        self,
        context: zmq.asyncio.Context,
        endpoint: str,
        notifier: Notifier,
        keys: Keyring | None = None,
        prober: Prober | None = None,
    ) -> None:
        """Binds at once. Raises zmq.ZMQError where the endpoint cannot be bound."""
        plain: zmq.Context[zmq.Socket[bytes]] = zmq.Context.shadow(context.underlying)
        self._socket = sockets.router(plain, endpoint, keys=keys)
        self._notifier, self._prober = notifier, prober
        self._answers: set[asyncio.Task[Any]] = set()
        self._complaints = _Complaints()
        self._failed: asyncio.Future[None] | None = None
        self._scheduled = False
        self.counts = DeliveryCounts()

    @property
    def endpoint(self) -> str:
        """Where it is bound; with the port the system chose, where a wildcard was asked for."""
        return cast("bytes", self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    async def serve(self) -> None:
        """Take deliveries until cancelled."""
        loop = asyncio.get_running_loop()
        descriptor = cast("int", self._socket.getsockopt(zmq.FD))
        self._failed = loop.create_future()
        loop.add_reader(descriptor, self._read_first)
        self._read_soon()
        try:
            await self._failed
        finally:
            self._failed = None
            loop.remove_reader(descriptor)

    async def close(self) -> None:
        """To be called with `serve` cancelled: the notifier ends what runs, the answers leave, the socket closes."""
        before = self.counts.answered
        await self._notifier.close()
        if self._answers:
            await asyncio.wait(self._answers)
        if self.counts.answered > before:
            await asyncio.sleep(PARTING)
        self._socket.close(linger=LINGER_MS)

    def _read_soon(self) -> None:
        if not self._scheduled and self._failed is not None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._read)

    def _read_first(self) -> None:
        """Take what woke us; the rest in another round of the loop: till then its record is being written."""
        self._read(1)

    def _read(self, most: int = BURST) -> None:
        """Take a few of what has come; the rest in another round of the loop."""
        self._scheduled = False
        if self._failed is None or self._failed.done():
            return
        try:
            for _ in range(most):
                if most > 1 and not sockets.readable(self._socket):  # as a rule there is no other
                    return
                self._take(sockets.receive(self._socket))
            self._read_soon()
        except zmq.Again:
            return
        except Exception as error:
            self._failed.set_exception(error)

    def _take(self, frames: Sequence[zmq.Frame]) -> None:
        self.counts.received += 1
        try:
            envelope, message = _opened(frames)
        except BadMessage as error:
            self.counts.bad += 1
            self._complaints.say(f"no delivery, from {_sender(frames)}: {error}")
            return
        if isinstance(message, Deliver):
            what = f"delivery {message.delivery}"
            task = self._notifier.begin(message, lambda answer: self._send(envelope, answer, what))
        else:
            task = asyncio.create_task(self._probe(envelope, message))
        if task is not None:
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _probe(self, envelope: list[bytes], message: Probe) -> None:
        if self._prober is not None:
            self._send(envelope, await self._prober.answer(message), f"doctor's run {message.run}")

    def _send(self, envelope: list[bytes], answer: Answer | Probed, what: str) -> None:
        try:
            self._socket.send_multipart([*envelope, codec.encode(answer)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self.counts.unsent += 1
            self._complaints.say(f"the answer to {what} could not be sent: {error}")
        else:
            self.counts.answered += 1
        self._read_soon()


class _Complaints:
    """Warnings of which a flood makes one line a second, with the number left out."""

    def __init__(self, interval: float = 1.0) -> None:
        self._interval, self._last, self._held = interval, -interval, 0

    def say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last < self._interval:
            self._held += 1
            return
        log.warning("%s%s", text, f" (and {self._held} more before)" if self._held else "")
        self._last, self._held = now, 0


def _opened(frames: Sequence[zmq.Frame]) -> tuple[list[bytes], Deliver | Probe]:
    """The way back, and what came. A REQ socket puts an empty frame between. Raises BadMessage."""
    parts = len(frames)
    if parts not in (2, 3) or (parts == 3 and len(frames[1])):
        raise BadMessage(f"{parts - 1} frames, one is expected")
    return [frame.bytes for frame in frames[:-1]], codec.to_notifier.decode(frames[-1].buffer)


def _sender(frames: Sequence[zmq.Frame]) -> str:
    """Its address where the socket knows it, and its routing id."""
    routing_id = frames[0].bytes.hex() if frames else "?"
    try:
        address = frames[-1].get("Peer-Address")
    except (zmq.ZMQError, IndexError):
        address = "an unknown address"
    return f"{address} ({routing_id})"
