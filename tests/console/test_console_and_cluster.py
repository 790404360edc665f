"""The console on a cluster that runs: what is told appears as it happens, and what is decided reaches the leader."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cluster import Cluster
from pilots import Console, console

from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.screens.notifications import NotificationsScreen
from noroshi.console.commands.asking import author
from noroshi.store import views

DEFINITIONS = """events:
  - name: orders
    match: {event: app/orders, state: ERROR}
    notify:
      - {priority: 1, node: a, procedure: process, application: [/nonexistent]}
      - {priority: 2, node: a, procedure: process, application: ["{a}", second]}
"""


async def answer(shown: Console, question: str, words: str) -> None:
    """Type it and Enter, once this is asked."""
    screen = shown.app.screen
    assert isinstance(screen, NoroshiScreen)
    entry = screen.entry
    await shown.until(
        f"asked: {question}", lambda: entry.display and entry.purpose == f"decide {question}" and entry.has_focus_within
    )
    await shown.press(*words, "enter")


@pytest.mark.slow
def test_a_notification_is_seen_and_acknowledged_by_keys(tmp_path: Path) -> None:
    async def run(running: Cluster) -> None:
        async with console(running.nodes["a"].config, (132, 24)) as shown:  # room for whatever this host mounts
            await shown.press("3")
            await shown.until("in front", lambda: isinstance(shown.app.screen, NotificationsScreen))
            await asyncio.to_thread(running.raise_on, "a", "app/orders", "ERROR", "queue is full")
            await shown.shows("● delivered app/orders ERROR: queue is full", "✖a ●a")
            await shown.press("a")
            await answer(shown, "comment", "on it")
            await answer(shown, "for", "90m")
            await shown.shows(f"y/N: acknowledge app/orders as {author()} for 90m")
            await answer(shown, "yes", "y")
            await shown.shows("app/orders ERROR acknowledged by")
            await shown.shows("ACK BY", f" {author()} ")
            await shown.press("enter")
            await shown.shows(f"by {author()} at", "on it", "● delivered: exit status 0")
            await shown.press("escape", "1")
            await shown.shows(f"[ack {author()}]")
            assert shown.table.go_to("state app/orders")
            await shown.press("S")
            await answer(shown, "comment", "upgrade")
            await answer(shown, "for", "")
            await shown.shows("'' is no duration")
            await answer(shown, "for", "2h")
            await shown.shows(f"y/N: silence app/orders as {author()} for 2h")
            await answer(shown, "yes", "y")
            await shown.shows("○ 1 silence; s shows", f"[ack {author()}, silenced]")
            assert shown.table.go_to("node a")
            await shown.press("S")
            for question, words in (("comment", "disk swap"), ("for", "1h"), ("yes", "y")):
                await answer(shown, question, words)
            await shown.shows("1 silence, 1 node in maintenance", "maintenance until")

    with Cluster(tmp_path / "cluster", names=("a",), definitions=DEFINITIONS) as running:
        running.start()
        running.await_up()
        asyncio.run(run(running))
        (state,) = [row for row in running.reader.query(views.states) if row.event == "app/orders"]
        assert (state.owner, state.comment) == (author(), "on it")
        assert state.acknowledged_until is not None
        first, second = running.reader.query(lambda c: views.silences(c, 0))
        assert (first.pattern, first.node, first.comment, first.author) == ("app/orders", "", "upgrade", author())
        assert (second.pattern, second.node, second.comment) == ("", "a", "disk swap")
