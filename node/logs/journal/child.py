"""One `journalctl`: started without a shell in a process group of its own, read without blocking, ended with its group.

Rules: it dies with its parent, also with one that was killed. What it says on standard error is kept, the last of it.
A line longer than MOST is dropped and counted, for an entry may have hundreds of megabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Sequence

from noroshi.node.monitors.program import ENVIRONMENT

CHUNK = 256 * 1024
"""Bytes read at once."""

MOST = 8 * 1024 * 1024
"""Bytes of one entry as it is printed."""

SAID = 1000
"""Bytes kept of standard error."""

END_WITHIN = 5.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Child:
    """Raises OSError where it cannot be started."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._popen = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        assert self._popen.stdout is not None and self._popen.stderr is not None  # noqa: S101 (for the type checker)
        self._output, self._complaint = self._popen.stdout.fileno(), self._popen.stderr.fileno()
        os.set_blocking(self._output, False)
        os.set_blocking(self._complaint, False)
        self._rest, self._said, self._open = bytearray(), b"", True
        self._skipping = False
        self.dropped = 0
        """Lines that were too long."""

    def fileno(self) -> int:
        return self._output

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def said(self) -> str:
        """What it has said on standard error."""
        with contextlib.suppress(BlockingIOError):
            while self._open and (data := os.read(self._complaint, CHUNK)):
                self._said = (self._said + data)[-SAID:]
        return self._said.decode("utf-8", "replace").strip()

    def lines(self) -> list[bytes] | None:
        """The lines that a read completes; None at the end."""
        try:
            data = os.read(self._output, CHUNK)
        except BlockingIOError:
            return []
        if not data:
            return None
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        if lines and self._skipping:
            self._skipping = False
            lines.pop(0)
        if len(self._rest) > MOST:
            self.dropped += not self._skipping
            self._skipping = True
        if self._skipping:
            self._rest.clear()
        return [bytes(line) for line in lines]

    def end(self, within: float = 0.0) -> int:
        """Let it end by itself within so many seconds, then kill what still runs; its status, negative for a signal."""
        if within:
            self._wait(within)
        said = self.said
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)  # not reaped yet, so the group is nobody else's
        self._close(said)
        try:
            return self._popen.wait(END_WITHIN)
        except subprocess.TimeoutExpired:  # stuck in the kernel, as on a disk that hangs
            return -signal.SIGKILL

    def _wait(self, seconds: float) -> None:
        """For its end; it is not reaped."""
        descriptor = os.pidfd_open(self._popen.pid)
        try:
            select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)

    def _close(self, said: str) -> None:
        self._said, self._open = said.encode(), False
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
