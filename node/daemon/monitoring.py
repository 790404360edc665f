"""Runs the monitors: changes become events, a monitor that fails or hangs is one too, and stops no other.

Rules: the monitors are looked at in threads (`polling`), everything here runs in the event loop. An event that the
spool does not take is raised again at the next look. What is not OK is remembered on the disk (`told`), so that its end
is said even when it comes while the daemon is down.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from pathlib import Path

from noroshi.node.daemon import told
from noroshi.node.daemon.polling import Outcome, Pool
from noroshi.node.daemon.told import News
from noroshi.node.monitors import registry
from noroshi.node.monitors.observation import ERROR, FINE, Monitor
from noroshi.node.monitors.tools import Tools
from noroshi.node.wire.raising import EVENT_MOST
from noroshi.store.config import NodeConfig
from noroshi.store.errors import NoroshiError

Raise = Callable[[str, str, str], Awaitable[object]]
"""(event, state, supplement); done when it is safe. Raises NoroshiError."""

TICK = 1.0
"""Seconds between looks at the threads."""

HANGS = "hangs: what it looks at does not answer"

_BAD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_log = logging.getLogger(__name__)


class Monitoring:
    """`start` in the event loop, then `stop`. `directory` keeps what was not OK; None: nothing is kept."""

    def __init__(
        self,
        node: str,
        monitors: Mapping[str, Monitor],
        raise_event: Raise,
        *,
        directory: Path | None = None,
        tools: Tools | None = None,
    ) -> None:
        self._node, self._monitors, self._raise, self._tools = node, monitors, raise_event, tools
        self._file = directory and directory / "not-ok.json"
        self._kept: dict[str, list[str]] = {}
        self._told = told.Told()
        self._outcomes: asyncio.Queue[tuple[str, Outcome]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self.pool = Pool(monitors, self._deliver)

    @classmethod
    def of(cls, node: NodeConfig, raise_event: Raise) -> Monitoring:
        """The monitors that the node file names, and those that run by default."""
        directory = node.state / "monitors"
        tools = Tools.of(directory)
        monitors = registry.build(node.node, node.monitors, tools)
        return cls(node.node, monitors, raise_event, directory=directory, tools=tools)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._recall()
        self._tasks = [asyncio.create_task(self._report_all()), asyncio.create_task(self._watch())]
        self.pool.start()

    async def stop(self) -> None:
        """Begin no other look, end the programs that run. A monitor that hangs is left to hang."""
        self.pool.stop()
        if self._tools is not None:
            await asyncio.to_thread(self._tools.close)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def say_again(self) -> None:
        """The coordinator's database was lost: what is now so is said once more, at each monitor's next look."""
        self._told.again()
        for name in self._monitors:
            self.pool.again(name)

    # --- from the threads -----------------------------------------------------------------------------------------

    def _deliver(self, name: str, outcome: Outcome) -> None:
        try:
            self._loop.call_soon_threadsafe(self._outcomes.put_nowait, (name, outcome))
        except RuntimeError:
            return  # the daemon has ended meanwhile

    # --- in the loop ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            for name in self.pool.tick():
                self._outcomes.put_nowait((name, Outcome(failed=HANGS)))
            await asyncio.sleep(TICK)

    async def _report_all(self) -> None:
        await self._say(self._told.unwatched({name: self._own(name) for name in self._monitors}))
        while True:
            name, outcome = await self._outcomes.get()
            if not await self._report(name, outcome):
                self.pool.again(name)

    async def _report(self, name: str, outcome: Outcome) -> bool:
        """Raise what is news; whether all of it was taken."""
        if outcome.failed:
            said = outcome.failed if outcome.failed == HANGS else f"failed: {outcome.failed}"
            return await self._say(self._told.own(self._own(name), (ERROR, said)))
        news = self._told.own(self._own(name), FINE)
        news += self._told.news(name, outcome.observations, self._monitors[name].gone)
        return await self._say(news)

    async def _say(self, news: list[News]) -> bool:
        results = await asyncio.gather(*(self._raise_one(each) for each in news))
        not_ok = self._told.not_ok()
        if not_ok != self._kept and self._file is not None:
            self._kept = not_ok
            await asyncio.to_thread(self._keep, self._file, not_ok)
        return all(results)

    async def _raise_one(self, news: News) -> bool:
        observation = news.observation
        try:
            await self._raise(event_name(observation.name), observation.state, _BAD.sub("?", observation.supplement))
        except (NoroshiError, OSError, ValueError) as error:
            _log.error("%s %s could not be raised: %s", observation.name, observation.state, error)
            return False
        self._told.said(news)
        return True

    def _own(self, name: str) -> str:
        return f"monitor/{self._node}/{name}"

    # --- over a restart -------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        if self._file is None:
            return
        try:
            self._told = told.load(self._file)
        except OSError as error:
            _log.error("what was not OK cannot be read from %s: %s", self._file, error)
        self._kept = self._told.not_ok()
        for name in self._monitors.keys() & self._kept.keys():
            self._monitors[name].recall(self._kept[name])

    def _keep(self, file: Path, not_ok: Mapping[str, list[str]]) -> None:
        try:
            told.save(file, not_ok)
        except OSError as error:
            _log.error("what is not OK cannot be kept in %s: %s", file, error)


def event_name(name: str) -> str:
    """A name that can be raised: what a mount point or a label may hold and a name may not is replaced."""
    fit = _BAD.sub("?", name)
    if fit == name and len(name) <= EVENT_MOST:
        return name
    mark = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()  # still one name for one thing
    return f"{fit[: EVENT_MOST - 10]}~{mark}"
