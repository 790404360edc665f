"""What a procedure is: it takes a job, and answers with an outcome (spec 4.7).

Role: the values and the one interface that process, message, stream and the system log share.
Rules: `check` refuses what can be refused before anything is recorded; `prepare` makes ready what may be made before
that; from then on nothing raises for the application's faults, it is answered `failed` with the reason.
A reason is one line that an operator reads in the history.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from noroshi.node.wire.messages import Deliver
from noroshi.store.model import Application

MAX_OUTPUT = 4096
"""Bytes of a program's output, or of an application's answer, that the history keeps."""

MAX_REASON = 1000
"""Characters."""


_fields = msgspec.json.Decoder(dict[str, Any])


class Outcome(msgspec.Struct, frozen=True):
    """How a delivery went; `output` is what the application printed or answered."""

    outcome: Literal["delivered", "failed"]
    reason: str
    output: str = ""


def delivered(reason: str, output: str = "") -> Outcome:
    """The application has it."""
    return Outcome("delivered", reason[:MAX_REASON], output)


def failed(reason: str, output: str = "") -> Outcome:
    """The application does not have it, or nobody can tell."""
    return Outcome("failed", reason[:MAX_REASON], output)


class Refused(Exception):
    """The delivery cannot even be tried; str() is the reason. Nothing was started, so nothing is recorded."""


@dataclass(frozen=True)
class Job:
    """One delivery as a procedure sees it: `timeout` in seconds, `fields` the payload's JSON object."""

    delivery: str
    application: Application
    wait: Literal["exited", "started"]
    reply: Literal["none", "required"]
    timeout: float
    payload: bytes
    fields: dict[str, Any]

    def text(self, field: str) -> str:
        """A field of the payload as text; empty where it is absent or null."""
        value = self.fields.get(field)
        if value is None:
            return ""
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def to_job(message: Deliver, application: Application) -> Job:
    """The message, its payload read. Raises Refused."""
    if not (math.isfinite(message.timeout) and message.timeout > 0):
        raise Refused(f"a time limit of {message.timeout} s: it must be positive")
    try:
        fields = _fields.decode(message.payload)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the payload is no JSON object: {error}") from None
    return Job(
        delivery=message.delivery,
        application=application,
        wait=message.wait,
        reply=message.reply,
        timeout=message.timeout,
        payload=message.payload,
        fields=fields,
    )


class Slots:
    """How many deliveries of one kind run at once; who waits for a slot gets one in turn."""

    def __init__(self, most: int) -> None:
        self._semaphore = asyncio.Semaphore(most)

    def take(self) -> bool:
        """A slot, if one is free."""
        if self._semaphore.locked():
            return False
        acquiring = self._semaphore.acquire()
        try:
            acquiring.send(None)  # one is free: this waits for nothing
        except StopIteration:
            return True
        acquiring.close()
        return False

    async def wait(self) -> None:
        """A slot, as soon as one is free."""
        await self._semaphore.acquire()

    def release(self) -> None:
        """Another may have it."""
        self._semaphore.release()


class Procedure(Protocol):
    """One way of delivering. What waits for one of its `slots` longer than its time limit fails."""

    @property
    def slots(self) -> Slots: ...

    def check(self, job: Job) -> Coroutine[Any, Any, None] | None:
        """What is to be awaited before the job may be recorded, if anything. Raises Refused, now or then."""

    def prepare(self, job: Job) -> Ready:
        """For a job that was checked. Whatever is wrong with it, `run` of what this gives says so."""


class Ready:
    """A job about to be delivered: `run`, or `drop` where it could not be recorded as started."""

    def __init__(self, run: Callable[[], Awaitable[Outcome]]) -> None:
        self._run = run

    begin: Callable[[], None] | None = None
    """Called as soon as its record is on the disk, in the thread that wrote it; it must not raise."""

    async def run(self) -> Outcome:
        """Deliver within `job.timeout` seconds, begun already. Cancelled at shutdown, it first ends what it started."""
        return await self._run()

    def drop(self) -> None:
        """Nothing was begun, and nothing will be."""

    async def stop(self) -> Outcome | None:
        """Instead of `run`, at shutdown: end what was begun; the outcome where there is one already."""
        return None


def settled(outcome: Outcome) -> Ready:
    """What is to be answered without delivering anything."""

    async def run() -> Outcome:
        return outcome

    return Ready(run)


def pauses(first: float = 0.001, longest: float = 0.016) -> Iterator[float]:
    """Seconds between tries of what cannot be waited for, doubling; without end, the caller has a time limit."""
    while True:
        yield first
        first = min(2 * first, longest)


def complete_characters(data: bytes) -> str:
    """UTF-8 of which the head may have been cut off within a character; what is no UTF-8 is replaced, visibly."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode(errors="replace")
