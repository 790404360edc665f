"""Procedure process [C10]: start a program on this node (spec 4.7).

Rules: only programs that `notifier.programs` of node.yaml lists by their exact path; no shell; as `notifier.user`.
`wait: exited` is delivered when the program ended with status 0 within the time limit; past it the program's group
gets TERM, after 2 s KILL. `wait: started` is delivered when it started; it then runs without limit, its output unread.
At most 64 programs whose end is awaited run at once. A program starts in the thread that recorded it, as soon as that
is on the disk, so that a burst of them delays no packet; each is followed from its own start on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
from collections.abc import Collection, Coroutine
from pathlib import Path
from typing import Any

from noroshi.node.notifier import child, environment
from noroshi.node.notifier.account import Account
from noroshi.node.notifier.aside import Aside
from noroshi.node.notifier.child import Child, Output
from noroshi.node.notifier.procedure import Job, Outcome, Ready, Refused, Slots, delivered, failed, settled

MAX_RUNNING = 64

FRESH = 1.0
"""Seconds for which a program's file that was read counts as readable."""

SPARE_AFTER = 0.05
"""Seconds after a start at which the next one's output file is made, so that nothing waits for it."""

_HINTS = {
    errno.ENOENT: "the program or the interpreter of its #! line is missing on this node",
    errno.EACCES: "it must be executable, and its directories searchable, by the user it runs as",
    errno.ENOEXEC: "a script needs a #! line, a binary must be made for this machine",
    errno.E2BIG: "the arguments are too long",
    errno.EMFILE: "raise the daemon's limit of open files",
    errno.EAGAIN: "the limit of processes is reached",
    errno.ENOMEM: "the machine is out of memory",
}


class Process:
    """Starts programs; see the module."""

    def __init__(self, node: str, programs: Collection[str], account: Account, folder: Path) -> None:
        """`folder`: where the output of running programs lies, in files without a name."""
        self.slots = Slots(MAX_RUNNING)
        self._node, self._programs = node, frozenset(programs)
        self._account, self._folder = account, folder
        self._base = environment.base(account)
        self._left: set[Child] = set()
        self._files: Aside[None] = Aside()
        self._read_at: dict[str, float] = {}
        self._ready: Output | None = None
        self._closed = False

    def check(self, job: Job) -> Coroutine[Any, Any, None] | None:
        """Raises Refused for anything but a listed program with arguments."""
        program = _arguments(job)[0]
        if program not in self._programs:
            hint = "add it there and restart the node daemon"
            raise Refused(f"program {program} is not in notifier.programs of node {self._node}: {hint}")
        now = asyncio.get_running_loop().time()
        return None if now - self._read_at.get(program, -FRESH) < FRESH else self._reach(program, job.timeout)

    def prepare(self, job: Job) -> Ready:
        """Everything but the start itself."""
        try:
            return _Program(self, job, self._start(job))
        except OSError as error:
            return settled(failed(_cannot_start(error)))

    async def follow(self, job: Job, start: child.Start) -> Outcome:
        """Await the end of what was started, where the job says so; another output is made ready once there is time."""
        asyncio.get_running_loop().call_later(SPARE_AFTER, self._make_ready)
        try:
            running = start.child()
        except OSError as error:
            return failed(_cannot_start(error))
        if job.wait == "started":
            self._leave(running)
            return delivered(f"started as process {running.pid}")
        return await self._await_end(running, job.timeout)

    async def stop(self, job: Job, start: child.Start) -> Outcome | None:
        """End what was started a moment ago; what was only to be started has been, and runs on."""
        if job.wait == "started":
            return await self.follow(job, start)
        try:
            running = start.child()
        except OSError as error:
            return failed(_cannot_start(error))
        await running.end()
        self._let_go(running)
        return None

    def close(self) -> None:
        """Let go of the programs that were only to be started."""
        self._closed = True
        if self._ready is not None:
            self._ready.close()
            self._ready = None
        for running in self._left:
            running.abandon()
        self._left.clear()

    async def _reach(self, program: str, limit: float) -> None:
        """A program on a disk that hangs would stop the whole daemon at exec, so its file is read first, aside."""
        now = asyncio.get_running_loop().time()
        try:
            await self._files.call(program, lambda: _read_first_byte(program), limit)
        except TimeoutError:
            raise Refused(f"the disk that holds {program} does not answer") from None
        except OSError:
            return  # the start itself says what is wrong, and an executable need not be readable
        self._read_at[program] = now

    def _start(self, job: Job) -> child.Start:
        variables = {**self._base, **environment.variables(job)}
        output = self._output() if job.wait == "exited" else None
        try:
            return child.Start(_arguments(job), variables, job.payload, self._account, output)
        except BaseException:
            if output is not None:
                output.close()
            raise

    def _output(self) -> Output:
        """The one kept ready, or a new one. Raises OSError."""
        ready, self._ready = self._ready, None
        return ready or Output(self._folder, self._account)

    def _make_ready(self) -> None:
        if self._ready is None and not self._closed:
            with contextlib.suppress(OSError):  # told when it is wanted
                self._ready = Output(self._folder, self._account)

    async def _await_end(self, running: Child, limit: float) -> Outcome:
        try:
            in_time = await running.watch(limit)
            ended_by = "" if in_time else await running.end()
        except asyncio.CancelledError:
            await running.end()
            self._let_go(running)
            raise
        output = running.output.last() if running.output is not None else ""
        status = self._let_go(running)
        if not in_time:
            return failed(_past_limit(limit, ended_by), output)
        return _outcome(status or 0, output)

    def _let_go(self, running: Child) -> int | None:
        """Reap it where it has ended; its return code."""
        if running.ended.done():
            return running.close()
        self._leave(running)
        return None

    def _leave(self, running: Child) -> None:
        self._left.add(running)
        running.ended.add_done_callback(lambda _: self._reap(running))

    def _reap(self, running: Child) -> None:
        if running in self._left:
            self._left.discard(running)
            running.close()


class _Program(Ready):
    """A program to be started as soon as it is recorded."""

    def __init__(self, process: Process, job: Job, start: child.Start) -> None:
        super().__init__(lambda: process.follow(job, start))
        self._process, self._job, self._start = process, job, start

    def begin(self) -> None:
        self._start.now()

    def drop(self) -> None:
        self._start.close()

    async def stop(self) -> Outcome | None:
        return await self._process.stop(self._job, self._start)


def _arguments(job: Job) -> list[str]:
    arguments = job.application
    if not isinstance(arguments, list) or not arguments:
        raise Refused(f"the application of a process is [program, argument, ...], not {arguments!r}")
    if any("\0" in argument for argument in arguments):
        raise Refused(f"a NUL in the arguments of {arguments[0]!r}")
    return arguments


def _read_first_byte(program: str) -> None:
    with Path(program).open("rb", buffering=0) as file:
        file.read(1)


def _cannot_start(error: OSError) -> str:
    hint = _HINTS.get(error.errno or 0)
    return f"cannot start: {error.strerror or error}" + (f" ({hint})" if hint else "")


def _outcome(status: int, output: str) -> Outcome:
    if status == 0:
        return delivered("exit status 0", output)
    if status > 0:
        return failed(f"exit status {status}", output)
    return failed(f"killed by signal {-status} ({_signal_name(-status)})", output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"


def _past_limit(limit: float, ended_by: str) -> str:
    how = f"ended by {ended_by}" if ended_by else "not even KILL ends it, it is stuck in the kernel"
    return f"time limit of {limit:g} s: {how}"
