"""One started program: its group, its standard input, its output, its end.

Role: thin shell around its process id and a pidfd; one descriptor watched by the event loop instead of a thread a
program. How it is started is in spawn.py.
Rules: the program is reaped only after its group was signalled for the last time, so that a signal can never reach a
stranger that took over the process id.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from noroshi.node.notifier.account import Account
from noroshi.node.notifier.procedure import MAX_OUTPUT, complete_characters
from noroshi.node.notifier.spawn import spawn

GRACE = 2.0
"""Seconds between TERM and KILL."""

LOOK = 0.25
"""Seconds between looks at how much a running program has printed."""

MAX_PRINTED = 1024 * 1024
"""Bytes of output on the disk at which all but the last is thrown away."""


class Output:
    """Where a program prints: a file without a name, so that nothing is left behind and nobody waits for a reader."""

    def __init__(self, folder: Path, account: Account) -> None:
        """Raises OSError."""
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.descriptor = self._file.fileno()
        # Append mode: what follows a truncation lands behind what was kept.
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, os.O_APPEND)
        if account.switch:
            os.fchown(self.descriptor, account.uid, account.gid)  # /dev/stderr is opened anew by many scripts

    def last(self) -> str:
        """The last 4 KiB printed."""
        return complete_characters(self._tail())

    def trim(self) -> None:
        """Keep a program that prints without end from filling the disk."""
        if os.fstat(self.descriptor).st_size > MAX_PRINTED:
            tail = self._tail()
            os.ftruncate(self.descriptor, 0)
            os.write(self.descriptor, tail)

    def close(self) -> None:
        """The file is gone when nobody else has it open."""
        self._file.close()

    def _tail(self) -> bytes:
        size = os.fstat(self.descriptor).st_size
        return os.pread(self.descriptor, MAX_OUTPUT, max(0, size - MAX_OUTPUT))


class Feed:
    """Standard input: the whole payload, then closed. What the pipe does not take at once follows as it is read."""

    def __init__(self, payload: bytes) -> None:
        """Raises OSError."""
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        self._rest = memoryview(payload)
        self._watched = False
        self._write()

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """After the start: close the child's end here, and go on writing."""
        os.close(self.reader)
        self.reader = -1
        if self._writer >= 0:
            loop.add_writer(self._writer, self._write)
            self._watched = True

    def close(self) -> None:
        """A program that has ended reads no more."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1
        if self._writer >= 0:
            if self._watched:
                asyncio.get_running_loop().remove_writer(self._writer)
            os.close(self._writer)
            self._writer = -1

    def _write(self) -> None:
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._writer, self._rest) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._rest = self._rest[:0]  # closed unread: that is the program's own choice
        self._finish()

    def _finish(self) -> None:
        if self._watched:
            asyncio.get_running_loop().remove_writer(self._writer)
        os.close(self._writer)
        self._writer = -1


class Start:
    """A program that is about to be started: `now` in any thread, then `child` in the event loop's; else `close`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, bytes],
        payload: bytes,
        account: Account,
        output: Output | None,
    ) -> None:
        """Without `output` what it prints is thrown away. Raises OSError, the output left open."""
        self._arguments, self._environment, self._account, self._output = arguments, environment, account, output
        self._feed = Feed(payload)
        self._pid: int | None = None
        self._error: Exception | None = None

    def now(self) -> None:
        """Start it. Never raises: `child` does."""
        try:
            printed = None if self._output is None else self._output.descriptor
            self._pid = spawn(self._arguments, self._environment, self._feed.reader, self._account, printed)
        except Exception as error:
            self._error = error

    def child(self) -> Child:
        """What was started. Raises OSError where it was not, and everything is closed."""
        pid = self._pid
        if pid is None:
            self.close()
            raise self._error or RuntimeError("asked before the start")
        try:
            self._feed.follow(asyncio.get_running_loop())
            return Child(pid, self._feed, self._output)
        except OSError:  # no descriptor left to watch it by: then it must not run
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self.close()
            raise

    def close(self) -> None:
        """It is not to be started."""
        self._feed.close()
        if self._output is not None:
            self._output.close()


class Child:
    """A running program. Whoever started it calls `close` when it has ended, or `abandon` when it is left running."""

    def __init__(self, pid: int, feed: Feed, output: Output | None) -> None:
        self.pid, self.output, self._feed = pid, output, feed
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._has_ended)

    async def watch(self, limit: float) -> bool:
        """Wait for its end, at most `limit` seconds; whether it came."""
        deadline = self._loop.time() + limit
        while (left := deadline - self._loop.time()) > 0:
            await asyncio.wait([self.ended], timeout=min(LOOK, left))
            if self.ended.done():
                return True
            if self.output is not None:
                self.output.trim()
        return False

    async def end(self) -> str:
        """TERM to the group, KILL after the grace, also to what the program leaves behind.

        Gives the signal that ended it; empty for one stuck in the kernel (a hung disk), which not even KILL ends now.
        """
        self.signal_group(signal.SIGTERM)
        ended = await self.watch(GRACE)
        self.signal_group(signal.SIGKILL)
        if ended:
            return "TERM"
        return "KILL" if await self.watch(GRACE) else ""

    def signal_group(self, number: int) -> None:
        """Only before `close`: until then the process id, and so the group's, is nobody else's."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def close(self) -> int:
        """Reap the ended program; its return code, negative for a signal."""
        status = os.waitpid(self.pid, 0)[1]
        self._release()
        return os.waitstatus_to_exitcode(status)

    def abandon(self) -> None:
        """Let it run on without us."""
        self._release()

    def _release(self) -> None:
        self._stop_watching()
        self._feed.close()
        if self.output is not None:
            self.output.close()

    def _has_ended(self) -> None:
        self._stop_watching()
        self._feed.close()
        if not self.ended.done():
            self.ended.set_result(None)

    def _stop_watching(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
