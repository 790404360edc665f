"""Runs the monitors: each in a thread of its own, changes become events, a monitor that fails or hangs is one too.

A thread cannot be ended, so a monitor that hangs (a dead network mount) keeps its own and stops no other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from noroshi.node.monitors.observation import ERROR, OK, Monitor, Observation

Raise = Callable[[str, str, str], Awaitable[object]]
HANG_LIMIT = 60.0


class Monitoring:
    """Polls every monitor; `raise_event(event, state, supplement)` gets the changes."""

    def __init__(self, node: str, monitors: dict[str, Monitor], raise_event: Raise) -> None:
        self._node, self._monitors, self._raise = node, monitors, raise_event
        self._told: dict[str, tuple[str, str]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._poll(name, monitor)) for name, monitor in self._monitors.items()]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll(self, name: str, monitor: Monitor) -> None:
        while True:
            look = asyncio.ensure_future(_in_thread(name, monitor.observe))
            done, _ = await asyncio.wait([look], timeout=max(HANG_LIMIT, 2 * monitor.interval))
            if not done:
                await self._tell(Observation(self._own(name), ERROR, "hangs: what it looks at does not answer"))
            await self._report(name, look)
            await asyncio.sleep(monitor.interval)

    async def _report(self, name: str, look: asyncio.Future[list[Observation]]) -> None:
        try:
            observations = await look
        except (OSError, ValueError) as error:
            await self._tell(Observation(self._own(name), ERROR, f"failed: {error}"))
            return
        await self._tell(Observation(self._own(name), OK))
        for observation in observations:
            await self._tell(observation)

    def _own(self, name: str) -> str:
        return f"monitor/{self._node}/{name}"

    async def _tell(self, observation: Observation) -> None:
        """Only changes are sent; OK at the first look is the ground state and not worth an event for a monitor."""
        now = (observation.state, observation.supplement)
        before = self._told.get(observation.name, (OK, "") if observation.name.startswith("monitor/") else None)
        if now != before:
            await self._raise(observation.name, *now)
        self._told[observation.name] = now


async def _in_thread(name: str, function: Callable[[], list[Observation]]) -> list[Observation]:
    """Run in a daemon thread of its own: it must not keep the process from ending while it hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[Observation]] = loop.create_future()

    def settle(result: list[Observation] | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result or [])

    def work() -> None:
        try:
            outcome: tuple[list[Observation] | None, Exception | None] = (function(), None)
        except Exception as error:
            outcome = (None, error)
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:
            return  # the daemon has stopped meanwhile

    threading.Thread(target=work, name=f"monitor-{name}", daemon=True).start()
    return await done
