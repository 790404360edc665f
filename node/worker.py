"""One thread that works for an event loop: what blocks goes to it, and comes back as a call in the loop.

Role: the disk's side of the spools and of the record of deliveries. An executor, so that `run_in_executor` takes it;
`call` is the short way, which wakes either side once: every event and every delivery waits for it.
Rules: in order, one at a time. The thread is a daemon: a disk that hangs delays no exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Done(Generic[T]):
    """How a call ended: `result()` gives what it gave or raises what it raised."""

    __slots__ = ("_result", "error")

    def __init__(self, function: Callable[[], T]) -> None:
        """Calls it, now."""
        self.error: Exception | None = None
        try:
            self._result = function()
        except Exception as error:
            self.error = error

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._result


class Worker(Executor):
    """`name` is the thread's; `first` is called in it before all else. Takes nothing more after `shutdown`."""

    def __init__(self, name: str, first: Callable[[], object] | None = None) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._closed = False
        if first is not None:
            self._queue.put(first)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T], then: Callable[[Done[T]], object]) -> None:
        """Call `function` in the thread, and `then` in the running loop. Raises RuntimeError after `shutdown`."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            done = Done(function)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(then, done)

        self._put(work)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As every executor."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                done = Done(lambda: function(*args, **kwargs))
                future.set_result(done.result()) if done.error is None else future.set_exception(done.error)

        self._put(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish what was given; `cancel_futures` is not known here."""
        del cancel_futures
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if wait:
            self._thread.join()

    def _put(self, work: Callable[[], Any]) -> None:
        if self._closed:
            raise RuntimeError(f"{self._thread.name} takes no more")
        self._queue.put(work)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
