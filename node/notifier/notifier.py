"""The notifier of one node: takes deliveries, runs each once, answers (spec 4.7, design section 7).

The way of a delivery: refused for another protocol, another cluster, a term that is over; a repeat waits for the run
under way or is answered from the record; else: checked by its procedure, given a slot, recorded as started (on the
disk), run, recorded as ended (on the disk), answered. Up to the record it goes in the call that brings it, where there
is nothing to wait for: somebody waits for it.

Rules: `deliver` never raises for what a coordinator sent or an application did. No delivery blocks another: each is a
task, and each procedure has slots of its own. What waits for a slot for its whole time limit is refused, since the
coordinator waits hardly longer. A slot is given back once by whoever took it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noroshi.node.notifier import account
from noroshi.node.notifier.default import SystemLog
from noroshi.node.notifier.message import Message
from noroshi.node.notifier.procedure import Job, Outcome, Procedure, Ready, Refused, failed, settled, to_job
from noroshi.node.notifier.process import Process
from noroshi.node.notifier.record import Record
from noroshi.node.notifier.spawn import surroundings
from noroshi.node.notifier.stream import Stream
from noroshi.node.wire.messages import PROTOCOL, Answer, Deliver
from noroshi.store import model
from noroshi.store.config import NodeConfig, NotifierConfig

MAX_WAITING = 50_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Deliveries under way, and the bytes of their payloads, past which more are refused."""

MAX_ID = 64
"""Characters of a delivery's id."""

SHUTDOWN = "interrupted by shutdown of this node's daemon"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Begun:
    """A delivery that has its slot and is ready: `recorded` is done when its record is on the disk and it was begun."""

    procedure: Procedure
    delivery: str
    ready: Ready
    recorded: asyncio.Future[None]


@dataclass
class Counts:
    """Since the daemon's start. `refused` were never tried and are among `failed`; `repeats` are in neither."""

    delivered: int = 0
    failed: int = 0
    refused: int = 0
    repeats: int = 0
    stale_terms: int = 0


class Notifier:
    """See the module. `close` must be awaited before the event loop ends."""

    def __init__(self, config: NodeConfig, cluster: str, *, device: Path = Path("/dev/log")) -> None:
        """Opens the record (blocking: at the daemon's start). Raises NoroshiError: unknown user, unusable state."""
        folder = config.state / "deliveries"
        settings = config.notifier
        self.counts = Counts()
        user = account.resolve(settings.user)
        self._record = Record(folder, surroundings)
        self._process = Process(config.node, _programs(settings), user, folder)
        self._procedures: Mapping[model.Procedure, Procedure] = {
            "process": self._process,
            "message": Message(),
            "socket": Stream(),
            "default": SystemLog(device),
        }
        self._node, self._cluster, self._default = config.node, cluster, settings.default
        self._under_way: dict[str, asyncio.Task[Outcome]] = {}
        self._bytes = 0
        self._runs: set[asyncio.Task[Outcome]] = set()
        self._closing = False

    @property
    def term(self) -> int:
        """The highest term heard: deliveries of an earlier one are refused."""
        return self._record.term

    async def deliver(self, message: Deliver) -> Answer:
        """How the delivery went, however often and with whatever gaps it is asked for."""
        try:
            if self._is_newer(message):
                await _recorded(self._record.raise_term(message.term))
            result = await asyncio.shield(self._task(message))
        except Refused as refusal:
            result = self._refused(refusal)
        return _answer(message, result)

    def begin(self, message: Deliver, answered: Callable[[Answer], object]) -> asyncio.Task[Any] | None:
        """As `deliver`, with `answered` called in the end; whom to wait for, None where it was called already.

        In all but the first delivery of a term nothing but the delivery's own task is between the two.
        """
        try:
            if self._is_newer(message):
                asking = asyncio.create_task(self.deliver(message))
                asking.add_done_callback(lambda task: answered(task.result()))
                return asking
            task = self._task(message)
        except Refused as refusal:
            answered(_answer(message, self._refused(refusal)))
            return None
        task.add_done_callback(lambda task: answered(_answer(message, task.result())))
        return task

    def _refused(self, refusal: Refused) -> Outcome:
        self.counts.refused += 1
        self.counts.failed += 1
        return failed(str(refusal))

    async def close(self) -> None:
        """End what runs (TERM, grace, KILL), record it as interrupted, refuse the rest, close the record."""
        self._closing = True
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        self._process.close()
        await self._record.close()

    def _is_newer(self, message: Deliver) -> bool:
        """Whether its term must be recorded first. Raises Refused for what is not for this node now."""
        if message.protocol != PROTOCOL:
            raise Refused(f"protocol {message.protocol}; node {self._node} speaks {PROTOCOL}: install one version")
        if message.cluster != self._cluster:
            raise Refused(f"cluster {message.cluster!r}; node {self._node} belongs to {self._cluster!r}")
        if not 0 < len(message.delivery) <= MAX_ID:
            raise Refused(f"a delivery id has 1 to {MAX_ID} characters, not {len(message.delivery)}")
        if message.term < self._record.term:
            self.counts.stale_terms += 1
            hint = f"a shared directory made anew begins again at 1: then remove {self._node}'s state/deliveries"
            raise Refused(f"term {message.term} is over, term {self._record.term} has been heard ({hint})")
        return message.term > self._record.term

    def _task(self, message: Deliver) -> asyncio.Task[Outcome]:
        if self._closing:
            raise Refused(SHUTDOWN)
        if (task := self._under_way.get(message.delivery)) is not None:
            self.counts.repeats += 1
            return task
        size = len(message.payload)
        if len(self._under_way) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES:
            raise Refused(f"node {self._node} has {len(self._under_way)} deliveries under way already")
        task = asyncio.create_task(self._settle(message, self._begun_at_once(message)))
        self._under_way[message.delivery] = task
        self._bytes += size
        task.add_done_callback(lambda _: self._forget(message.delivery, size))
        return task

    def _forget(self, delivery: str, size: int) -> None:
        del self._under_way[delivery]
        self._bytes -= size

    def _begun_at_once(self, message: Deliver) -> _Begun | None:
        """None where there is something to wait for, or to refuse: the delivery's task sees to that."""
        if self._record.knows(message.delivery):
            return None
        try:
            procedure, job = self._resolve(message)
            waiting = procedure.check(job)
        except Exception:
            return None
        if waiting is not None:
            waiting.close()
            return None
        return self._begin(procedure, job) if procedure.slots.take() else None

    async def _settle(self, message: Deliver, begun: _Begun | None) -> Outcome:
        try:
            known = None if begun else await self._known(message.delivery)
            if known is not None:
                self.counts.repeats += 1
                return known
            result = await self._perform(begun or await self._begun(message))
        except Refused as refusal:
            self.counts.refused += 1
            result = failed(str(refusal))
        except Exception as error:
            result = self._own_fault(message.delivery, error)
        if result.outcome == "delivered":
            self.counts.delivered += 1
        else:
            self.counts.failed += 1
        return result

    async def _known(self, delivery: str) -> Outcome | None:
        try:
            return await self._record.result(delivery)
        except (OSError, ValueError) as error:
            raise Refused(f"it is recorded on node {self._node}, but its record cannot be read: {error}") from error

    async def _begun(self, message: Deliver) -> _Begun:
        procedure, job = self._resolve(message)
        waiting = procedure.check(job)
        if waiting is not None:
            await waiting
        if not procedure.slots.take():
            await self._wait_for_slot(procedure, job)
        if self._closing:
            procedure.slots.release()
            raise Refused(SHUTDOWN)
        return self._begin(procedure, job)

    async def _perform(self, begun: _Begun) -> Outcome:
        try:
            await self._recorded(begun)
            result = await self._run(begun.ready, begun.delivery)
        finally:
            begun.procedure.slots.release()
        await self._note(begun.delivery, result)
        return result

    def _resolve(self, message: Deliver) -> tuple[Procedure, Job]:
        """The procedure and what it is to deliver; `default` is what node.yaml says, else the system log."""
        if message.procedure == "default" and self._default is not None:
            return self._procedures[self._default.procedure], to_job(message, self._default.application)
        return self._procedures[message.procedure], to_job(message, message.application)

    async def _wait_for_slot(self, procedure: Procedure, job: Job) -> None:
        try:
            async with asyncio.timeout(job.timeout):
                await procedure.slots.wait()
        except TimeoutError:
            why = "too many deliveries of this kind run here"
            raise Refused(f"waited {job.timeout:g} s on node {self._node} without being started: {why}") from None

    def _begin(self, procedure: Procedure, job: Job) -> _Begun:
        """With its slot: make it ready and have it recorded, to be begun the moment that is on the disk."""
        ready = self._prepared(procedure, job)
        return _Begun(procedure, job.delivery, ready, self._record.started(job.delivery, ready.begin))

    def _prepared(self, procedure: Procedure, job: Job) -> Ready:
        try:
            return procedure.prepare(job)
        except Exception as error:
            return settled(self._own_fault(job.delivery, error))

    async def _recorded(self, begun: _Begun) -> None:
        """It is recorded, and begun. Raises Refused where it cannot be recorded."""
        try:
            await _recorded(begun.recorded)
        except Exception:  # and not where it is cancelled: then the thread may be at it
            begun.ready.drop()
            raise

    async def _run(self, ready: Ready, delivery: str) -> Outcome:
        """The procedure's outcome; `failed` also at shutdown and for a fault of the procedure itself."""
        run = asyncio.current_task()
        assert run is not None  # noqa: S101 - a delivery is a task
        closing = self._closing
        if not closing:
            self._runs.add(run)  # `close` cancels it while it is in here, and nothing else of it
        try:
            return (await ready.stop() or failed(SHUTDOWN)) if closing else await ready.run()
        except asyncio.CancelledError:
            run.uncancel()
            return failed(SHUTDOWN)
        except Exception as error:
            return self._own_fault(delivery, error)
        finally:
            self._runs.discard(run)

    def _own_fault(self, delivery: str, error: Exception) -> Outcome:
        log.error("delivery %s: an error in Noroshi itself", delivery, exc_info=error)
        return failed(f"an error in Noroshi itself, see the log of node {self._node}: {error!r}")

    async def _note(self, delivery: str, result: Outcome) -> None:
        """The result is true whether or not it can be written down; while this daemon lives it is also remembered."""
        try:
            await self._record.ended(delivery, result)
        except OSError as error:
            log.error(
                "delivery %s: its result could not be recorded: %s (make room in the state directory)", delivery, error
            )


def _answer(message: Deliver, result: Outcome) -> Answer:
    return Answer(message.delivery, result.outcome, result.reason, result.output)


def _programs(settings: NotifierConfig) -> list[str]:
    """What may be started here: the list, and the program that node.yaml itself names as the default."""
    default = settings.default
    if default is None or default.procedure != "process" or not isinstance(default.application, list):
        return list(settings.programs)
    return [*settings.programs, default.application[0]]


async def _recorded(write: Awaitable[None]) -> None:
    try:
        await write
    except OSError as error:
        hint = "make room in the state directory of this node, or look at its disk"
        raise Refused(f"not started, it could not be recorded: {error.strerror or error} ({hint})") from error
