"""The console under test: run without a terminal, looked at as text, waited for with a bound."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from textual.pilot import Pilot
from waiting import Patience

from noroshi.console.app.app import NoroshiApp
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.app.widgets.log_view import LogView
from noroshi.console.app.widgets.notification_view import NotificationView
from noroshi.console.app.widgets.state_table import StateTable
from noroshi.console.queries import open_queries

T = TypeVar("T")

SNAPSHOTS = Path(__file__).parent / "snapshots"
REWRITE = "NOROSHI_REWRITE_SNAPSHOTS"
"""Set this in the environment to write the snapshots anew instead of comparing."""


class Console:
    """One running console."""

    def __init__(self, app: NoroshiApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def rows(self) -> list[str]:
        """What the terminal would show, a string a row."""
        strips = self.app.screen._compositor.render_strips()
        return [strip.text.rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def table(self) -> StateTable:
        return self.app.screen.query_one(StateTable)

    @property
    def view(self) -> LogView:
        return self.app.screen.query_one(LogView)

    @property
    def notifications(self) -> NotificationView:
        return self.app.screen.query_one(NotificationView)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, describe: str, predicate: Callable[[], T], within: float = 20.0) -> T:
        """Wait for a condition; AssertionError shows the screen."""
        patience = Patience(within)
        while not (seen := predicate()):
            if patience.over:
                raise AssertionError(f"not within {within} s: {describe}; last seen: {seen!r}\n{self.text}")
            await asyncio.sleep(0.02)
        return seen

    async def shows(self, *texts: str, within: float = 20.0) -> None:
        """Wait until all of these stand on the screen."""
        await self.until(f"{texts} on the screen", lambda: all(text in self.text for text in texts), within)

    async def open_log(self) -> None:
        await self.press("2")
        await self.until("the log is in front", lambda: isinstance(self.app.screen, LogScreen))
        await self.until("the log is settled", lambda: self.view.row_count == 0 or "…" not in self.rows[2:3])


@asynccontextmanager
async def console(
    file: Path, size: tuple[int, int] = (80, 24), *, theme: str = "ansi-dark", read_only: bool = False
) -> AsyncIterator[Console]:
    """A console on the cluster of this node file, its first picture read."""
    app = NoroshiApp(*(open_queries(file) for _ in range(3)), theme=theme, read_only=read_only)
    async with app.run_test(size=size) as pilot:
        running = Console(app, pilot)
        await running.until("a first answer", lambda: app.picture is not None or app.watcher.health.trouble)
        await pilot.pause()
        yield running
    for fault in app.faults:
        raise fault


def same_as_snapshot(name: str, text: str) -> None:
    """Compare with tests/console/snapshots/NAME.txt."""
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get(REWRITE):
        SNAPSHOTS.mkdir(exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == file.read_text(encoding="utf-8")
