"""The daemon's side of leading: starts the coordinator when nobody leads, feeds it, and ends it when it is silent.

Rules: this loop never touches the shared disk; the coordinator, a process of its own, does (design section 2). With
`coordinator: external` a cluster manager starts it and this only serves the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.core.backoff import Backoff
from noroshi.node.core.claims import STAND_BACK
from noroshi.node.exits import EXIT_ROLE_TAKEN, EXIT_YIELDED
from noroshi.node.wire.codec import BadMessage, encode, to_daemon
from noroshi.node.wire.frames import Splitter, frame
from noroshi.node.wire.messages import (
    Beat,
    Busy,
    Carry,
    Hello,
    Leading,
    Positions,
    ToCoordinator,
    ToDaemon,
    Views,
    Withdraw,
)
from noroshi.store.errors import NoroshiError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Callbacks:
    """What the daemon does when its coordinator begins and ceases to lead, with acknowledged positions, and with what
    is to ride in its packets."""

    leading: Callable[[Leading], None]
    ended: Callable[[], None]
    positions: Callable[[dict[bytes, int]], None]
    carry: Callable[[Carry | Withdraw], None]


class CoordinatorLink:
    """Serves run/coordinator.sock for one coordinator at a time."""

    def __init__(self, path: Path, hello: Hello, callbacks: Callbacks) -> None:
        self._path, self._hello, self._callbacks = path, hello, callbacks
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._sent = self._answered = 0
        self._answered_at = self._busy_until = 0.0

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)  # the state lock has shown that no other daemon of this node runs
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    @property
    def connected(self) -> bool:
        return self._writer is not None

    @property
    def silence(self) -> float:
        """Seconds without a word beyond what the coordinator has asked for; meant while `connected`."""
        return asyncio.get_running_loop().time() - max(self._answered_at, self._busy_until)

    def drop(self) -> None:
        """Be done with this coordinator, whether or not it can end: nothing it says counts any more."""
        if self._writer is not None:
            self._writer.transport.abort()

    def send(self, message: ToCoordinator) -> None:
        """Hand a message over; without a coordinator it is dropped, for whoever leads next hears it himself."""
        if self._writer is not None:
            self._writer.write(frame(encode(message)))

    def beat(self) -> None:
        self._sent += 1
        self.send(Beat(self._sent))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._writer is not None:
            log.error("a second coordinator came to %s and is turned away", self._path)
            writer.close()
            return
        self._writer = writer
        self._answered_at, self._busy_until = asyncio.get_running_loop().time(), 0.0
        self.send(self._hello)
        try:
            await self._listen(reader)
        except (OSError, BadMessage) as error:
            log.warning("the link to the coordinator broke: %s", error)
        finally:
            self._writer = None
            writer.close()
            self._callbacks.ended()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        splitter = Splitter()
        while data := await reader.read(262144):
            for message in splitter.feed(data):
                self._take(to_daemon.decode(message))

    def _take(self, message: ToDaemon) -> None:
        self._answered_at, self._busy_until = asyncio.get_running_loop().time(), 0.0
        match message:
            case Leading():
                self._callbacks.leading(message)
            case Positions():
                self._callbacks.positions(message.positions)
            case Carry() | Withdraw():
                self._callbacks.carry(message)
            case Beat():
                self._answered = message.number
            case Busy():
                self._busy_until = self._answered_at + message.seconds


class Leadership:
    """Starts `noroshi coordinator` when asked to try, one at a time, and watches it."""

    def __init__(self, link: CoordinatorLink, config: Path, answer_limit: float, down_time: float) -> None:
        self._link, self._config, self._limit, self._down_time = link, config, answer_limit, down_time
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff(0.2, 5.0)
        self._not_before = 0.0
        self._stand_back = 0.0

    @property
    def running(self) -> bool:
        return self._process is not None

    def try_to_lead(self) -> None:
        """Start a coordinator that tries the lock, unless one runs or the last one failed a moment ago."""
        if self._task is None and asyncio.get_running_loop().time() >= self._not_before:
            self._task = asyncio.create_task(self._run())

    def heartbeat(self, views: Views) -> None:
        """Each period: tell the coordinator what is heard, and end it when it has stopped answering."""
        self._link.send(views)
        self._link.beat()
        if self._link.connected and self._process is not None and self._link.silence > self._limit:
            log.error("the coordinator has not answered for %.1f s and is ended", self._link.silence)
            self._kill(signal.SIGKILL)
            self._link.drop()

    async def stop(self) -> None:
        """End the coordinator and wait for it; it closes the database on SIGTERM."""
        task = self._task
        if task is None:
            return
        self._kill(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(task), 5.0)
        except TimeoutError:
            self._kill(signal.SIGKILL)
            await asyncio.wait({task}, timeout=5.0)
        if not task.done():
            log.error("the coordinator does not end: a call to the shared disk does not return")
            task.cancel()

    def _kill(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> None:
        try:
            status = await self._one_life()
        except OSError as error:
            log.error("cannot start the coordinator: %s", NoroshiError("starting a process failed", why=str(error)))
            status = 1
        finally:
            self._process = self._task = None
        self._stand_back = STAND_BACK * self._down_time if status == EXIT_YIELDED else 0.0
        pause = self._backoff.reset() if status in (0, EXIT_ROLE_TAKEN, EXIT_YIELDED) else self._backoff.next()
        self._not_before = asyncio.get_running_loop().time() + pause

    async def _one_life(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "noroshi.node",
            "coordinator",
            "--config",
            str(self._config),
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, "NOROSHI_STAND_BACK": f"{self._stand_back:g}"},
        )
        status = await self._process.wait()
        if status not in (0, EXIT_ROLE_TAKEN, EXIT_YIELDED, -signal.SIGTERM):
            log.error("the coordinator ended with status %d; what it said stands above", status)
        return status
