"""The console in a real terminal: a process on a pty, and what it wrote there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import wait_until

COMMAND = (sys.executable, "-m", "noroshi.console.main", "console")
PLAIN = ("NO_COLOR", "TMUX", "SSH_CONNECTION", "COLORFGBG", "COLORTERM", "TEXTUAL_FPS", "COLUMNS", "LINES")
"""Not passed on. COLUMNS and LINES stand above what the terminal says: readline, which pytest loads, puts them in the
environment behind Python's back, and pytest's workers inherit them."""


def plain_environment() -> dict[str, str]:
    """Our own without what a plain terminal does not have."""
    return {name: value for name, value in os.environ.items() if name not in PLAIN}


class Terminal:
    """The terminal's side of the pty."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.descriptor, self.process = descriptor, process
        self.written = b""

    def read(self, seconds: float = 0.05) -> bytes:
        """What it wrote meanwhile."""
        before = len(self.written)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.descriptor], [], [], left)[0]:
                try:
                    self.written += os.read(self.descriptor, 65536)
                except OSError:  # the other side is gone
                    break
        return self.written[before:]

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def until(self, text: str) -> None:
        """Wait until this was written."""
        wait_until(f"{text!r} on the terminal", lambda: (self.read() and False) or text.encode() in self.written, 40)


@contextmanager
def terminal(
    file: Path, *words: str, size: tuple[int, int] = (80, 24), environment: dict[str, str] | None = None
) -> Iterator[Terminal]:
    """The console of the cluster of this node file, on a terminal of this size."""
    with on_terminal([*COMMAND, "--config", str(file), *words], size, environment) as running:
        yield running


@contextmanager
def on_terminal(
    command: list[str], size: tuple[int, int] = (80, 24), environment: dict[str, str] | None = None
) -> Iterator[Terminal]:
    """A command on a pty of this size, in an environment of a plain xterm."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=plain_environment() | {"TERM": "xterm-256color"} | (environment or {}),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    running = Terminal(ours, process)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        if running.descriptor >= 0:
            os.close(running.descriptor)
