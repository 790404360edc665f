"""One client of the local socket: lines cut out of what arrives, answered in their order, bounded.

Rules: no more than UNANSWERED requests are taken before their answers are sent, nor any while the client does not
read them; what it then sends waits in its own socket. A line of MAX_LINE bytes or more is answered with an error and
the connection closed. Who has said everything (end of file) still gets its answers; a last line may lack its newline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

MAX_LINE = 1024 * 1024
"""Bytes of one request with its newline."""

UNANSWERED = 512

_ERROR_MOST = 300


class Answer(Protocol):
    """What a request gets: decided now or later."""

    @property
    def decided(self) -> bool: ...

    def call(self, waiter: Callable[[], None]) -> None:
        """Call the waiter once when it is decided; asked only before that, and again with the same one."""

    def line(self) -> bytes:
        """What the client is told, with its newline; asked once, when it is decided."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer decided from the start."""

    text: bytes
    decided: bool = True

    def call(self, waiter: Callable[[], None]) -> None:
        waiter()

    def line(self) -> bytes:
        return self.text


def refusal(error: str, hint: str = "", *, busy: bool = False) -> bytes:
    """The line that says no; `busy`: not for good, the same may be taken later."""
    short = error if len(error) <= _ERROR_MOST else error[:_ERROR_MOST] + "…"
    more = {"busy": True} if busy else {}
    return msgspec.json.encode({"ok": False, "error": short, "hint": hint, **more}) + b"\n"


TOO_LONG = Said(refusal(f"a line of more than {MAX_LINE} bytes", "shorten the supplement"))


class Client(asyncio.Protocol):
    """`handle` gives the answer to a line. `joined` and `left` are told of the connection; `joined` may refuse it."""

    def __init__(
        self,
        handle: Callable[[bytes], Answer],
        joined: Callable[[Client], bytes | None],
        left: Callable[[Client], None],
    ) -> None:
        self.gone = asyncio.Event()
        self._handle, self._joined, self._left = handle, joined, left
        self._arrived = bytearray()
        self._answers: deque[Answer] = deque()
        self._ending = self._choked = self._scheduled = False
        self._waiter = self._work  # one object, so that a group of requests calls it once

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise, for the type checker
        self._transport = transport
        refused = self._joined(self)
        if refused is not None:
            transport.write(refused)
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._answers.clear()
        self._arrived.clear()
        self._left(self)
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        self._work()

    def eof_received(self) -> bool:
        if self._arrived:
            self._arrived += b"\n"
        self.finish()
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        self._work()

    def finish(self) -> None:
        """Take no more than what has arrived, answer it, close."""
        self._ending = True
        self._work()

    def abort(self) -> None:
        """Close now, whatever is unanswered."""
        self._transport.abort()

    def _work(self) -> None:
        """Send what is decided, take a turn's worth of lines, go on in another turn while more may be taken."""
        self._scheduled = False
        if self._transport.is_closing():
            return
        self._send()
        self._take_lines()
        self._send()
        more = b"\n" in self._arrived
        if more and not self._full:
            self._schedule()
        if self._ending and not self._answers and not more:
            self._transport.close()
        elif self._full or self._ending or more:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    @property
    def _full(self) -> bool:
        return self._choked or len(self._answers) >= UNANSWERED

    def _take_lines(self) -> None:
        start, arrived = 0, self._arrived
        for _ in range(UNANSWERED):
            end = -1 if self._full else arrived.find(b"\n", start, start + MAX_LINE)
            if end < 0:
                break
            self._take(bytes(arrived[start:end]))
            start = end + 1
        del arrived[:start]
        if not self._full and arrived.find(b"\n", 0, MAX_LINE) < 0 and len(arrived) >= MAX_LINE:
            arrived.clear()
            self._answers.append(TOO_LONG)
            self._ending = True

    def _take(self, line: bytes) -> None:
        if line and not line.isspace():
            answer = self._handle(line)
            self._answers.append(answer)
            if not answer.decided:
                answer.call(self._waiter)

    def _send(self) -> None:
        lines = []
        while self._answers and self._answers[0].decided:
            lines.append(self._answers.popleft().line())
        if lines:
            self._transport.write(b"".join(lines))
