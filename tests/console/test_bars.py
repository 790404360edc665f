"""What is said in passing is read whole, and leaves no wrong keys behind; a cut line says that it is cut."""

from __future__ import annotations

import asyncio
from pathlib import Path

from filling import HOSTILE, event, fill, layout_of, leading
from pilots import console
from textual.widgets import TextArea

from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.app.widgets.bars import KeyBar
from noroshi.store.tables import silences

LONG = "the coordinator refused it because somebody else was faster; " * 3 + "THE END"


def test_a_long_message_takes_the_lines_it_needs(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            shown.app.say(LONG)
            await shown.shows("the coordinator refused it", "THE END")
            assert "? help" not in shown.text
            bar = shown.app.screen.query_one(KeyBar)
            await shown.until("three lines", lambda: bar.size.height == 3)
            bar.restore()
            await shown.shows(" ? help  q quit")
            await shown.until("one line", lambda: bar.size.height == 1)

    asyncio.run(run())


def test_the_keys_of_a_prompt_come_back_after_what_was_said_in_it(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            assert shown.table.go_to("state app/orders")
            await shown.press("a", "enter", "5", "enter")
            await shown.shows("'5' is no duration")
            bar = shown.app.screen.query_one(KeyBar)
            bar._show_keys()  # as its timer does
            await shown.shows(" Enter done  Esc cancel")
            await shown.press("escape")
            await shown.shows(" ? help  q quit")

    with leading(layout_of(filled)):
        asyncio.run(run())


def test_a_message_does_not_take_the_keys_of_a_prompt_that_opens_after_it(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            shown.app.say("something")
            await shown.press("slash")
            await shown.shows(" Enter done  Esc cancel")
            assert shown.app.screen.query_one(KeyBar)._told is None, "nothing is due that would put other keys there"

    asyncio.run(run())


def test_ctrl_c_ends_nothing_and_says_what_does(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            await shown.press("ctrl+c")
            await shown.shows("nothing was ended: q quits, and Ctrl+Q does so from anywhere")
            assert shown.app.is_running

    asyncio.run(run())


def test_a_line_that_does_not_fit_ends_in_an_ellipsis(file: Path) -> None:
    fill(layout_of(file), lambda connection: event(connection, "a" * 200, "ERROR", HOSTILE[0]))

    async def run() -> None:
        async with console(file) as shown:
            await shown.shows("aaaa")
            assert shown.table.go_to(f"state {'a' * 200}")
            await shown.press("enter")
            await shown.until("the title is cut", lambda: shown.rows[0].endswith("…"))

    asyncio.run(run())


def test_a_small_terminal_keeps_room_for_the_text_and_the_rows(defined: Path) -> None:
    def silenced(connection: object) -> None:
        silences.add(connection, "app/*", "", "ann", "", 1, 1 << 60)  # type: ignore[arg-type]

    fill(layout_of(defined), silenced)

    async def run() -> None:
        async with console(defined, (40, 10)) as shown:
            await shown.shows("1 silence")
            await shown.press("4")
            await shown.shows("disk-trouble")
            await shown.press("e")
            await shown.until("the editor", lambda: isinstance(shown.app.screen, EditorScreen))
            area = shown.app.screen.query_one(TextArea)
            await shown.until("the text has most of it", lambda: area.size.height >= 3)
            await shown.press("escape", "q", "1")
            await shown.pilot.resize_terminal(20, 5)
            await shown.until("rows, not bars", lambda: "1 silence" not in shown.text and shown.table.size.height >= 3)

    asyncio.run(run())
