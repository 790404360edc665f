"""Deferred deliveries that came for this node: to the notifier, and their outcomes into the spool for the coordinator.

Rules: each is handed over once; one that comes again in a later stream (another coordinator repeats it) is answered
from the notifier's record. A coordinator that has been followed by another is not served: the answer would reach the
next one, who has sent the same delivery himself. An outcome's output is cut to what a packet carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from noroshi.node.core.deferred import Inbox
from noroshi.node.core.packet import Run, decode_item
from noroshi.node.daemon.deferring.outbox import Outbox, Packets
from noroshi.node.daemon.spool import SpoolFailed
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.wire.codec import BadMessage, encode
from noroshi.node.wire.messages import Answer, Deliver

AGAIN = 1.0
"""Seconds until an outcome is spooled again that the disk did not take."""

CUT = "[cut] … "

log = logging.getLogger(__name__)


class Deliveries:
    """`close` once the notifier is closed."""

    def __init__(self, notifier: Notifier, outcomes: Outbox, packets: Packets) -> None:
        self.bad = self.stale = 0
        """Items that could not be read; deliveries of a coordinator that has been followed by another."""
        self._notifier, self._outcomes, self._packets = notifier, outcomes, packets
        self._most = packets.packer.largest_item
        self._inbox = Inbox()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def take(self, run: Run) -> None:
        """A run of deliveries for this node."""
        taken = self._inbox.take(run)
        for item in taken.items:
            self._begin(run, item)
        self._packets.acknowledge({run.stream: taken.position})

    async def close(self) -> None:
        """Spool what the notifier answered last."""
        self._closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, run: Run, item: bytes) -> None:
        try:
            message = decode_item(run.kind, item)
        except BadMessage as error:
            self.bad += 1
            log.error("deferred delivery %d cannot be read: %s", self.bad, error)
            return
        if isinstance(message, Deliver):
            task = asyncio.create_task(self._deliver(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, message: Deliver) -> None:
        if message.term < self._notifier.term:
            self.stale += 1
            return
        body = fitting(await self._notifier.deliver(message), self._most)
        while not await self._spooled(body) and not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), AGAIN)

    async def _spooled(self, body: bytes) -> bool:
        try:
            await self._outcomes.append(body).safe()
        except SpoolFailed as error:
            log.error("the outcome of a deferred delivery waits: %s", error)
            return False
        return True


def fitting(answer: Answer, most: int) -> bytes:
    """The answer in at most `most` bytes: the last of its output is kept, then the beginning of its reason."""
    body = encode(answer)
    if len(body) > most:
        answer = _cut(answer, len(body) - most)
        body = encode(answer)
    return body


def _cut(answer: Answer, surplus: int) -> Answer:
    output = answer.output.encode()
    if len(output) >= surplus + len(CUT.encode()):
        kept = output[surplus + len(CUT.encode()) :].decode(errors="ignore")
        return msgspec.structs.replace(answer, output=CUT + kept)
    reason = answer.reason.encode()[: max(0, len(answer.reason.encode()) - max(0, surplus - len(output)))]
    return msgspec.structs.replace(answer, output="", reason=reason.decode(errors="ignore"))
