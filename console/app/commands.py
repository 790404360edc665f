"""The command palette (`:` or Ctrl+P): every action by its name, and a way to each node."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from noroshi.console.app.filtering import named
from noroshi.console.app.tables import UNTOLD
from noroshi.console.sanitise import visible

if TYPE_CHECKING:
    from noroshi.console.app.app import NoroshiApp

FAILED = f"status:{','.join(UNTOLD)}"

Entry = tuple[str, str, Callable[[], object]]


class ConsoleCommands(Provider):
    """Entries are safe text, never markup."""

    async def discover(self) -> Hits:
        for title, help_text, run in self._entries():
            yield DiscoveryHit(Content(title), run, text=title, help=help_text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, help_text, run in self._entries():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=help_text)

    def _entries(self) -> list[Entry]:
        console = cast("NoroshiApp", self.app)
        entries: list[Entry] = [
            ("Status", "nodes and states", partial(console.action_show, "status")),
            ("Log", "the shared log", partial(console.action_show, "log")),
            ("Terms", "who led, and since when", console.show_terms),
            ("Notifications", "who was told of what", partial(console.action_show, "notifications")),
            ("Notifications: pending", "those under way", partial(console.show_notifications, "status:pending")),
            ("Notifications: failed", "where nobody was told", partial(console.show_notifications, FAILED)),
            ("Silences and maintenance", "what holds notifications back, and how much", console.show_holding),
            ("Definitions", "who is told of what; edit, test, roll back", partial(console.action_show, "definitions")),
            ("Times: UTC or local", "change how times are shown", console.action_local_time),
            ("Theme: dark or light", "change to the other", console.action_theme),
            ("Help", "the keys of this screen", console.action_help),
            ("Quit", "close the console", console.action_quit),
        ]
        for node in console.picture.status.nodes if console.picture else ():
            name = visible(node.node)
            entries.append(
                (f"Go to node {name}", "its row in the status", partial(console.show_row, f"node {node.node}"))
            )
            entries.append(
                (f"Log of node {name}", "its lines alone", partial(console.show_log, named("node", node.node)))
            )
        return entries
