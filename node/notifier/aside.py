"""Blocking calls that may never come back, in threads that can be given up.

Rules: one call at a time for each key, shared by all who want its result, so that a name server or a disk that hangs
costs one thread for each name or file, not one a delivery. The threads are daemons: a stuck one delays no exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Runs calls aside of the event loop."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[T]] = {}

    async def call(self, key: Hashable, function: Callable[[], T], limit: float) -> T:
        """The result or exception of `function`, or of the call with this key that is under way.

        Raises TimeoutError after `limit` seconds; the call itself goes on.
        """
        future = self._under_way.get(key)
        if future is None:
            future = self._start(key, function)
        async with asyncio.timeout(limit):
            return await asyncio.shield(future)

    def _start(self, key: Hashable, function: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._under_way[key] = future
        future.add_done_callback(lambda done: (self._under_way.pop(key), done.exception()))

        def work() -> None:
            settle = _settlement(future, function)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle)

        threading.Thread(target=work, name=f"aside-{key}", daemon=True).start()
        return future


def _settlement(future: asyncio.Future[T], function: Callable[[], T]) -> Callable[[], None]:
    """Run the function; what is then to be done on the loop."""
    try:
        result = function()
    except Exception as error:
        failure = error
        return lambda: future.set_exception(failure)
    return lambda: future.set_result(result)
