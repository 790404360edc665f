"""Procedure message [C11]: send to the System V queue with the given key, where the receiver waits (spec 4.7).

The application is {key, type}: `type` (mtype) is 1 unless given. The message's text is the JSON, without a newline or
a NUL at its end. A queue is never created here: the receiver does that, so that a missing one means a missing receiver.

With `reply: required` the JSON carries two members more, `reply_key` and `reply_type`. The receiver answers by one
message of that mtype to the queue of that key (the queue it came from); its text, at most 4 KiB of UTF-8, goes into the
history. Each delivery has its own reply type, from 2^30 up: the receiver must therefore read its own type (msgrcv with
msgtyp = type, not 0), or it would take answers meant for the notifier. A late answer is taken off the queue at the
next delivery to it, so that answers to nobody do not fill it.

Rules: never blocking. A full queue is tried again for half the time limit, in the order of arrival for each queue; a
missing one, one without permission and too big a message fail at once.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

import msgspec
import sysv_ipc

from noroshi.node.notifier.procedure import MAX_OUTPUT, Job, Outcome, Ready, Refused, Slots, delivered, failed, pauses

MAX_AT_ONCE = 4096
FIRST_REPLY_TYPE = 1 << 30
MAX_LATE = 64
"""Answers given up whose late arrival is looked for, a queue."""

_NOBODY = "nobody has created it: is the receiver running?"


@dataclass(frozen=True)
class Address:
    """Where to send: the key as written, unsigned, and the message's type."""

    key: int
    type: int

    def __str__(self) -> str:
        return f"queue {self.key:#010x}"


class Message:
    """Sends to queues; see the module."""

    def __init__(self) -> None:
        self.slots = Slots(MAX_AT_ONCE)
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._late: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=MAX_LATE))

    def check(self, job: Job) -> None:
        """Raises Refused for what is no address of a queue."""
        _address(job)

    def prepare(self, job: Job) -> Ready:
        return Ready(lambda: self.run(job))

    async def run(self, job: Job) -> Outcome:
        """Send, and wait for the answer where one is required."""
        address = _address(job)
        deadline = asyncio.get_running_loop().time() + job.timeout
        try:
            queue = sysv_ipc.MessageQueue(address.key, max_message_size=_largest_message())
            self._drop_late(queue, address)
            if failure := await self._send(queue, address, job):
                return failure
            if job.reply == "none":
                return delivered(f"sent to {address}")
            return await self._answer(queue, address, job, deadline)
        except sysv_ipc.ExistentialError:
            return failed(f"{address} does not exist: {_NOBODY}")
        except sysv_ipc.PermissionsError:
            return failed(f"{address}: no permission for the node daemon's user")
        except (OSError, sysv_ipc.Error) as error:
            return failed(f"{address}: {error}")

    async def _send(self, queue: sysv_ipc.MessageQueue, address: Address, job: Job) -> Outcome | None:
        text = _text(job, address)
        if reason := _too_big(queue, address, len(text)):
            return failed(reason)
        patience = job.timeout / 2
        try:
            async with asyncio.timeout(patience), self._turns[address.key]:
                for pause in pauses():
                    if _sent(queue, text, address.type):
                        return None
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        return failed(f"{address} stayed full for {patience:g} s: its receiver does not read")

    async def _answer(self, queue: sysv_ipc.MessageQueue, address: Address, job: Job, deadline: float) -> Outcome:
        wanted = reply_type(job.delivery)
        try:
            async with asyncio.timeout_at(deadline):
                for pause in pauses():
                    answer = _received(queue, wanted)
                    if answer is not None:
                        return delivered("answered", answer[:MAX_OUTPUT].decode(errors="replace"))
                    await asyncio.sleep(pause)
        except TimeoutError:
            self._late[address.key].append(wanted)
        return failed(f"{address} took the message, no answer within {job.timeout:g} s")

    def _drop_late(self, queue: sysv_ipc.MessageQueue, address: Address) -> None:
        late = self._late[address.key]
        for wanted in list(late):
            if _received(queue, wanted) is not None:
                late.remove(wanted)


def reply_type(delivery: str) -> int:
    """The mtype of the answer to this delivery; the same for a repeat."""
    return FIRST_REPLY_TYPE + zlib.crc32(delivery.encode()) % FIRST_REPLY_TYPE


def _address(job: Job) -> Address:
    given = job.application
    if not isinstance(given, dict):
        raise Refused(f"the application of a message is {{key: ..., type: ...}}, not {given!r}")
    key, kind = given.get("key"), given.get("type", 1)
    if not isinstance(key, int) or not 0 < key <= 0xFFFFFFFF:
        raise Refused(f"the key of a queue is a number from 1 to 0xffffffff, not {key!r}")
    if not isinstance(kind, int) or not 0 < kind <= 0x7FFFFFFF:
        raise Refused(f"the type of a message is a number from 1 to 2147483647, not {kind!r}")
    return Address(key, kind)


def _text(job: Job, address: Address) -> bytes:
    if job.reply == "none":
        return job.payload
    return msgspec.json.encode({**job.fields, "reply_key": address.key, "reply_type": reply_type(job.delivery)})


def _largest_message() -> int:
    return int(Path("/proc/sys/kernel/msgmax").read_text())


def _too_big(queue: sysv_ipc.MessageQueue, address: Address, size: int) -> str:
    largest = min(_largest_message(), queue.max_size)
    if size <= largest:
        return ""
    return f"{size} bytes are too big for {address}: it takes {largest} (kernel.msgmax, kernel.msgmnb)"


def _sent(queue: sysv_ipc.MessageQueue, text: bytes, kind: int) -> bool:
    try:
        queue.send(text, block=False, type=kind)
    except sysv_ipc.BusyError:
        return False
    return True


def _received(queue: sysv_ipc.MessageQueue, kind: int) -> bytes | None:
    try:
        text, _ = queue.receive(block=False, type=kind)
    except sysv_ipc.BusyError:
        return None
    return bytes(text)
