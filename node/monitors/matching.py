"""The user's patterns on what commands print, in a process that can be given up (design section 2).

Role: one helper for all commands, started when the first pattern is used; lines of JSON in, one character out.
Rules: a pattern that takes longer than LIMIT costs the helper its life; the next one gets a new helper.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

LIMIT = 2.0
"""Seconds for one search."""

START_LIMIT = 20.0
"""Seconds for the start of the helper, on a machine that is very busy."""

LONGEST = 64 * 1024
"""Characters of output that are searched."""

Found = Callable[[str, str], bool]
"""(pattern, text) -> whether re.search finds it. Raises TimeoutError."""


class Matcher:
    """One search at a time, from any thread."""

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._ended = False

    def found(self, pattern: str, text: str) -> bool:
        """See `Found`."""
        with self._lock:
            answer = self._ask(json.dumps([pattern, text[:LONGEST]]).encode() + b"\n")
            if answer not in (b"1", b"0"):
                self._give_up()
                raise TimeoutError(f"the pattern {pattern!r} takes too long")
            return answer == b"1"

    def end(self) -> None:
        """End the helper, for good. A search under way comes to nothing."""
        self._ended = True
        helper = self._helper
        if helper is not None:
            helper.kill()
        with self._lock:
            self._give_up()

    def _ask(self, line: bytes) -> bytes:
        """The helper's answer; nothing where none comes in time."""
        if self._ended:
            return b""
        try:
            connection = self._line or self._start()
            connection.sendall(line)
            return connection.recv(1)
        except (TimeoutError, ConnectionError):
            return b""

    def _start(self) -> socket.socket:
        """The line to a helper that has said it is ready."""
        self._line, theirs = socket.socketpair()
        with theirs:
            arguments = [sys.executable, "-P", "-m", "noroshi.node.monitors.matching"]
            self._helper = subprocess.Popen(arguments, stdin=theirs.fileno(), stdout=theirs.fileno())
        self._line.settimeout(START_LIMIT)
        self._line.recv(1)
        self._line.settimeout(self._limit)
        return self._line

    def _give_up(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
        self._helper = self._line = None


def main() -> None:
    """The helper, until its input ends. A search holds the interpreter; the alarm ends it all the same."""
    _answer("r")
    for line in sys.stdin.buffer:
        pattern, text = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, 2 * LIMIT)
        answer = "1" if re.search(pattern, text) else "0"
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answer)


def _answer(character: str) -> None:
    sys.stdout.write(character)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
