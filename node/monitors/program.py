"""Asking a program: started without a shell, in a process group of its own, ended with that group when time is over.

Rules: blocks its thread, never the event loop. What it prints is bounded. It gets a minimal environment in the C
locale, no input, current directory /. Its group is killed while the program itself is not reaped yet, so that a signal
never reaches a stranger who took over the process id; what it left running in the background goes with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

MOST = 1024 * 1024
"""Bytes a program may print."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/"}

_PIECE = 65536


@dataclass(frozen=True)
class Finished:
    """`status` is the exit status, negative for a signal; `output` and `complaint` its two outputs."""

    status: int
    output: str
    complaint: str = ""


Run = Callable[[Sequence[str], float], Finished]
"""(program and arguments, seconds) -> how it ended. Raises OSError: not started, no end in time, printed too much."""


class Ended(OSError):
    """The daemon is stopping: programs are not started any more."""


def command(configured: Sequence[str], name: str) -> tuple[str, ...] | None:
    """The program to ask: the configured one, else the one of this name; None where there is none."""
    if configured:
        return tuple(configured)
    found = shutil.which(name, path=PATH)
    return (found,) if found else None


def output_of(run: Run, arguments: Sequence[str], limit: float) -> str:
    """What a program that must exit with 0 printed. Raises OSError with what it said instead."""
    done = run(arguments, limit)
    if done.status != 0:
        said = (done.complaint or done.output).strip().partition("\n")[0]
        raise OSError(f"{arguments[0]} ended with {ending(done.status)}" + (f": {said}" if said else ""))
    return done.output


def ending(status: int) -> str:
    """A status in words."""
    return f"exit status {status}" if status >= 0 else f"signal {-status}"


class Programs:
    """The programs that run now; `end` kills them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._ended = False

    def run(self, arguments: Sequence[str], limit: float) -> Finished:
        """See `Run`."""
        if self._ended:
            raise Ended("the daemon is stopping")
        with self._start(arguments) as popen:
            try:
                output, complaint = _follow(popen, limit)
            finally:
                with self._lock:
                    _kill(popen.pid)
                    self._running.discard(popen.pid)
            return Finished(popen.wait(), output, complaint)

    def end(self) -> None:
        """Kill what runs, start nothing more."""
        with self._lock:
            self._ended = True
            for pid in self._running:
                _kill(pid)

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Not under the lock: a program on a disk that hangs may take for ever to start, and must stop no other."""
        popen = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        with self._lock:
            self._running.add(popen.pid)
            if self._ended:
                _kill(popen.pid)
        return popen


def _follow(popen: subprocess.Popen[bytes], limit: float) -> tuple[str, str]:
    """Both outputs, up to the end of the program itself: what it left in the background may hold the pipes open."""
    taken = {pipe.fileno(): bytearray() for pipe in (popen.stdout, popen.stderr) if pipe is not None}
    deadline = time.monotonic() + limit
    with selectors.PollSelector() as selector, _end_of(popen.pid) as end:
        selector.register(end, selectors.EVENT_READ)
        for pipe in taken:
            os.set_blocking(pipe, False)
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(max(0.0, deadline - time.monotonic()))}
            if not ready:
                raise TimeoutError(f"no end within {limit:g} s")
            for pipe in taken if end in ready else ready:
                if not _drain(pipe, taken[pipe]) and end not in ready:
                    selector.unregister(pipe)
            if end in ready:
                break
    output, complaint = (bytes(data).decode("utf-8", "replace") for data in taken.values())
    return output, complaint


def _drain(pipe: int, taken: bytearray) -> bool:
    """Take what has been printed; False at its end."""
    while True:
        try:
            piece = os.read(pipe, _PIECE)
        except BlockingIOError:
            return True
        if not piece:
            return False
        taken += piece
        if len(taken) > MOST:
            raise OSError(f"prints more than {MOST} bytes")


@contextlib.contextmanager
def _end_of(pid: int) -> Iterator[int]:
    """A descriptor that is readable once the process has ended; it stays unreaped."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
