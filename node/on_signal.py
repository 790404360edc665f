"""Signals of the user's own program that raise events (spec 2.2); called through `client.raise_on_signal`.

Rules: the standard library alone. The handler only puts the event into a queue, which may be done in the middle of
anything (queue.SimpleQueue.put is reentrant); one thread raises what is in it, in the order of the signals. A forked
child has a queue and a thread of its own. At the program's normal end what is queued is raised first.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

from noroshi.node.client import RaiseError, Raiser

END_WITHIN = 5.0
"""Seconds the end of the program waits for what is queued."""

Failed = Callable[[RaiseError], object]
Handler = Callable[[int, FrameType | None], object] | int | None

_Waiting = tuple[bytes, str | None, float, Failed | None]


class _Raising:
    """The queue of this process and the thread behind it."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="noroshi-signals", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Raise what is there and end."""
        self.waiting.put(None)
        self._thread.join(END_WITHIN)

    def _work(self) -> None:
        while (item := self.waiting.get()) is not None:
            line, socket, timeout, failed = item
            try:
                with Raiser(socket, timeout=timeout) as raiser:
                    raiser.ask(line)
            except RaiseError as error:
                (failed or _complain)(error)


_raising: _Raising | None = None


def install(number: int, line: bytes, socket: str | None, timeout: float, failed: Failed | None) -> Handler:
    """Have the signal raise the request `line`; the handler it had before. For the main thread, as signal.signal."""
    if _raising is None:
        _begin()
        os.register_at_fork(after_in_child=_begin)
        atexit.register(_finish)

    def heard(number: int, frame: FrameType | None) -> None:
        if _raising is not None:
            _raising.waiting.put((line, socket, timeout, failed))

    return signal.signal(number, heard)


def _begin() -> None:
    global _raising
    _raising = _Raising()


def _finish() -> None:
    if _raising is not None:
        _raising.finish()


def _complain(error: RaiseError) -> None:
    print(f"noroshi: an event raised by a signal is not stored: {error}", file=sys.stderr)
