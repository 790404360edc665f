"""Acknowledging from the list of notifications: asked, refused, shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
from filling import (
    NOW,
    SECOND,
    fill,
    layout_of,
    leading,
)
from night import open_history
from pilots import console

from noroshi.console.app.screens.notifications import NotificationsScreen


def test_without_a_coordinator_an_acknowledgement_waits_and_says_so(told_file: Path) -> None:
    async def run() -> None:
        async with console(told_file) as shown:
            await open_history(shown)
            await shown.shows("COORDINATOR GONE")
            await shown.press("a")
            await shown.shows("there is no coordinator now: an acknowledgement waits for one")

    asyncio.run(run())


def test_a_line_cannot_be_acknowledged_nor_anything_in_a_read_only_console(told_file: Path) -> None:
    async def run() -> None:
        with leading(layout_of(told_file)):
            async with console(told_file, read_only=True) as shown:
                await open_history(shown)
                await shown.press("a")
                await shown.shows("this console is read-only")
                shown.notifications.go_to(5)
                await shown.press("a")
                await shown.shows("only an event can be acknowledged")

    asyncio.run(run())


def test_a_refusal_stands_until_it_is_closed_and_what_was_typed_is_kept(told_file: Path) -> None:
    """Somebody holds the role and does not answer."""

    async def run() -> None:
        with leading(layout_of(told_file)):
            async with console(told_file) as shown:
                await open_history(shown)
                await shown.until("no warning", lambda: "GONE" not in shown.text)
                await shown.press("a", *"on it", "enter")
                await shown.press(*"2 years", "enter")
                await shown.shows("'2 years' is no duration")
                await shown.press(*["backspace"] * 7, *"2h", "enter")
                await shown.shows("y/N: acknowledge app/orders as ")
                await shown.press("enter")
                await shown.shows("not acknowledged")
                await shown.press("a")
                await shown.shows("comment: on it")
                await shown.press("enter", "enter", "y", "enter")
                await shown.shows("NOT ACKNOWLEDGED", "no answer from the coordinator", "a asks again", within=20)
                await shown.press("escape", "a")
                await shown.shows("comment: on it")
                await shown.press("escape")
                assert isinstance(shown.app.screen, NotificationsScreen)

    asyncio.run(run())


def test_who_has_acknowledged_it_stands_in_the_list_and_in_the_detail(told_file: Path) -> None:
    def acknowledge(connection: apsw.Connection) -> None:
        connection.execute(
            "INSERT INTO acknowledgements (event, state, author, comment, created_at, until)"
            " VALUES ('app/orders', 'ERROR', 'ann', 'on it', ?, ?)",
            (NOW, NOW + 3600 * SECOND),
        )

    fill(layout_of(told_file), acknowledge)

    async def run() -> None:
        async with console(told_file, (100, 40)) as shown:
            await open_history(shown)
            await shown.until("three rows", lambda: shown.text.count(" ann ") == 3)
            await shown.press("enter")
            await shown.shows("acknowledged    by ann at 2025-11-22 03:04:05Z, until 2025-11-22 04:04:05Z: on it")

    asyncio.run(run())
