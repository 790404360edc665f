"""What the tests of the local event path share: a short-named directory, an agent in a thread, items made easy."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.core import raising
from noroshi.node.daemon.agent import Agent
from noroshi.node.daemon.dropbox import DropBox
from noroshi.node.daemon.intake import Intake
from noroshi.node.daemon.spool import Batch, Limits, Spool
from noroshi.node.wire.raising import Raise

DEFERRED_MOST = 3000
AT = 1_700_000_000_000_000


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A socket's path has at most 107 bytes; pytest's own directories may be longer."""
    directory = Path(tempfile.mkdtemp(prefix="nrs"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@dataclass
class Node:
    """The raising half of a node daemon."""

    directory: Path
    events: Spool
    deferred: Spool
    intake: Intake
    agent: Agent

    @property
    def socket(self) -> str:
        return str(self.directory / "run" / "agent.sock")


@contextlib.asynccontextmanager
async def raising_node(
    directory: Path, wanted: Callable[[str], bool] = lambda name: True, limits: Limits | None = None
) -> AsyncIterator[Node]:
    events = await Spool.open(directory / "state" / "spool" / "events", limits=limits, urgent=True)
    deferred = await Spool.open(directory / "state" / "spool" / "deferred", limits=limits)
    intake = Intake(events, deferred, wanted=wanted, deferred_most=DEFERRED_MOST)
    agent = await Agent.open(directory / "run", intake)
    try:
        yield Node(directory, events, deferred, intake, agent)
    finally:
        await agent.close()
        await events.close()
        await deferred.close()


class NodeThread:
    """The same in a thread with a loop of its own, for clients that block. `call` runs a function in that loop."""

    def __init__(self, directory: Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
        self.directory, self._wanted = directory, wanted
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> NodeThread:
        self._thread.start()
        assert self._started.wait(30), "the agent did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the agent did not end"

    @property
    def socket(self) -> str:
        return self.node.socket

    def stored(self, deferred: bool = False) -> list[raising.Observed]:
        """Everything safe in a spool, in order."""
        spool = self.node.deferred if deferred else self.node.events

        async def read() -> list[raising.Observed]:
            return [raising.observed(body) for _, body in await all_items(spool)]

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result(30)

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with raising_node(self.directory, self._wanted) as self.node:
            drops = asyncio.create_task(DropBox(self.directory / "state" / "drop", self.node.intake).run())
            self._started.set()
            await self._ending.wait()
            drops.cancel()
            await asyncio.gather(drops, return_exceptions=True)


async def next_batch(spool: Spool, **limits: int) -> Batch | None:
    """`batch`, waiting until what it needs was read from the disk; None when nothing is pending."""
    while spool.pending:
        batch = spool.batch(**limits)
        if batch is not None:
            return batch
        await asyncio.sleep(0.002)
    return None


async def all_items(spool: Spool) -> list[tuple[int, bytes]]:
    """Every pending item of the newest stream."""
    source, items = spool.source(spool.stream), []
    while True:
        after = items[-1][0] if items else 0
        more = source.pending(after, 1 << 20)
        if not more and spool.pending == len(items):
            return items
        if not more:
            await asyncio.sleep(0.002)
        items += more


def body(event: str = "app/x", state: str = "OK", supplement: str = "") -> bytes:
    return raising.body(Raise(event, state, supplement), AT)
