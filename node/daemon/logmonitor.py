"""The daemon's side of the log monitor (20b): starts its process, tells it who leads, watches it, raises its events.

Rules: the process lives as long as its link. One that gives no sign of life is ended with SIGKILL; whatever it ended
of, it is started again after a pause that grows, and an event says so. Nothing is lost by that: the positions are on
the disk, and what was sent and not saved is sent again and ignored by the coordinator.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

from noroshi.node.core.backoff import Backoff
from noroshi.node.logs.messages import (
    Alive,
    Deferred,
    FromMonitor,
    JournalRule,
    Leader,
    Limit,
    Raise,
    Record,
    Rule,
    Settings,
    Taken,
    Timing,
    ToMonitor,
    from_monitor,
)
from noroshi.node.wire.codec import BadMessage, encode
from noroshi.node.wire.frames import Splitter, frame
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import LogPart
from noroshi.store import config
from noroshi.store.config import Cluster, NodeConfig
from noroshi.store.config.logs import RECORD_TIMEOUT, LogRule
from noroshi.store.errors import NoroshiError

log = logging.getLogger(__name__)

RaiseEvent = Callable[[str, str, str], Awaitable[object] | None]
Defer = Callable[[LogPart], Awaitable[int]]
"""Puts the lines of a part into the spool of deferred items; returns up to which offset the stream is there.

A part may come again, also in another life of the monitor: what lies at or below that offset must then be left out.
"""

REPLY_AT_LEAST = 2.0
"""Seconds; a batch is sent again after the down time, but not sooner than this."""

SILENCE = 10
"""Seconds without a sign of life. Counted in ticks, so that a pause of the daemon itself is not held against it."""

TICK = 1.0
"""Seconds."""

STEADY = 60.0
"""A process that lived so long is started again without delay."""

END_WITHIN = 5.0


class LogMonitor:
    """One node's log monitor. `raise_event(event, state, supplement)` may be a coroutine or not.

    `defer` takes the lines of `deferred: true` rules; without it such a rule is refused at the start.
    """

    def __init__(
        self,
        config: NodeConfig,
        cluster: Cluster,
        incarnation: bytes,
        raise_event: RaiseEvent,
        *,
        defer: Defer | None = None,
        timing: Timing | None = None,
        keys: Keyring | None = None,
    ) -> None:
        self._config, self._cluster, self._incarnation, self._keys = config, cluster, incarnation, keys
        self._raise_event, self._defer = raise_event, defer
        self._timing = timing or Timing(reply=max(REPLY_AT_LEAST, cluster.heartbeat.down_time))
        self._endpoint: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = self._heard = self._taking = self._unsure = False
        self.files = 0
        """How many files are followed."""
        self.counts: dict[str, int] = {}
        """What the process counted since it started: bytes, lines, gaps, bytes lost, batches refused and so on."""

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start following, unless there is nothing to follow. Raises NoroshiError for a rule that cannot be served."""
        deferred = [rule.path for rule in self._config.logs if rule.deferred]
        deferred += ["journal" for rule in self._config.journals if rule.deferred]
        if deferred and self._defer is None:
            raise NoroshiError(
                "lines cannot be deferred on this node",
                on=", ".join(deferred),
                why="there is no spool for them",
                hint=f"remove 'deferred' from 'logs' in {self._config.file}",
            )
        if self._config.logs or self._config.journals:
            self._task = asyncio.create_task(self._supervise(), name="log monitor")

    def leader_changed(self, endpoint: str | None) -> None:
        """The coordinator now listens at `endpoint`; None: nobody leads."""
        self._endpoint = endpoint
        self._send(Leader(endpoint))

    async def stop(self) -> None:
        """Let the process save its positions and end."""
        self._stopping = True
        task, self._task = self._task, None
        if task is None:
            return
        if self._writer is None:
            task.cancel()
        else:
            self._writer.close()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    # --- one life after the other ---

    async def _supervise(self) -> None:
        backoff = Backoff(0.5, 30.0)
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started = loop.time()
            how = await self._guarded_life()
            if self._stopping:
                return
            pause = backoff.reset() if loop.time() - started > STEADY else backoff.next()
            self._unsure = True
            await self._raise("ERROR", f"the log monitor {how}; it is started again (its own messages say more)")
            await asyncio.sleep(pause)

    async def _guarded_life(self) -> str:
        """As `_one_life`; a fault on this side costs one life too, not all that would follow."""
        try:
            return await self._one_life()
        except Exception as error:
            log.exception("a fault while listening to the log monitor")
            return f"could not be served: {error!r}"

    async def _one_life(self) -> str:
        """Run the process to its end; how it ended."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "noroshi.node.logs",
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            return f"could not be started: {error}"
        finally:
            theirs.close()
        try:
            return await self._converse(self._process, ours)
        finally:
            self._process = None

    async def _converse(self, process: asyncio.subprocess.Process, connection: socket.socket) -> str:
        reader, self._writer = await asyncio.open_connection(sock=connection)
        self._send(self._settings())
        self._send(Leader(self._endpoint))
        watch = asyncio.create_task(self._watch(process))
        try:
            await self._listen(reader)
        except (OSError, BadMessage) as error:
            log.error("the link to the log monitor broke: %s", error)
        finally:
            watch.cancel()
            writer, self._writer = self._writer, None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            status = await _ended(process)
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(262144):
            self._heard = True
            for message in splitter.feed(data):
                await self._take(from_monitor.decode(message))

    async def _take(self, message: FromMonitor) -> None:
        """While this waits, for a spool on a slow disk for example, nothing more is read: no silence of the process."""
        self._taking = True
        try:
            await self._work(message)
        finally:
            self._taking = False

    async def _work(self, message: FromMonitor) -> None:
        match message:
            case Alive(files, counts):
                self.files, self.counts = files, counts
            case Raise(state, supplement):
                await self._raise(state, supplement)
            case Deferred(part):
                if self._defer is not None:
                    self._send(Taken(part.stream, await self._defer(part)))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """End the process when it has been silent for too long."""
        silent = 0
        while silent < SILENCE:
            await asyncio.sleep(TICK)
            silent = 0 if self._heard or self._taking else silent + 1
            self._heard = False
        log.error("the log monitor has given no sign of life for %d s and is ended", silent)
        _kill(process)

    # --- messages ---

    def _send(self, message: ToMonitor) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(encode(message)))

    def _settings(self) -> Settings:
        return Settings(
            state=str(self._config.state),
            cluster=self._cluster.name,
            node=self._config.node,
            incarnation=self._incarnation,
            rules=[_rule(rule) for rule in self._config.logs],
            journals=[_journal(rule) for rule in self._config.journals],
            timing=self._timing,
            keys=self._keys,
            unsure=self._unsure,
        )

    async def _raise(self, state: str, supplement: str) -> None:
        try:
            raised = self._raise_event(f"monitor/{self._config.node}/logs", state, supplement)
            if inspect.isawaitable(raised):
                await raised
        except (NoroshiError, OSError) as error:
            log.error("the log monitor's %s (%s) could not be raised: %s", state, supplement, error)


def _rule(rule: LogRule) -> Rule:
    """As the process is told it, with every default said."""
    timeout = RECORD_TIMEOUT if rule.record_timeout is None else rule.record_timeout
    rate = rule.rate
    return Rule(
        path=rule.path,
        select=list(rule.select),
        except_=list(rule.except_),
        deferred=rule.deferred,
        encoding=rule.encoding,
        record=Record(rule.record.start, timeout) if rule.record is not None else None,
        limit=Limit(rate.lines, rate.seconds, rule.burst or rate.lines, rate.text) if rate is not None else None,
    )


def _journal(rule: config.JournalRule) -> JournalRule:
    return JournalRule(
        list(rule.command or ()), list(rule.units), rule.priority, list(rule.select), list(rule.except_), rule.deferred
    )


async def _ended(process: asyncio.subprocess.Process) -> int:
    """The exit status, of a process whose link is closed."""
    try:
        return await asyncio.wait_for(process.wait(), END_WITHIN)
    except TimeoutError:
        _kill(process)
        return await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
