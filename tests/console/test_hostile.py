"""Nothing that comes from outside breaks the console, is taken for markup, or gives orders to the terminal."""

from __future__ import annotations

import asyncio
import unicodedata
from pathlib import Path

import apsw
import pytest
from filling import HOSTILE, event, fill, layout_of, lines, make_cluster, nodes
from pilots import Console, console

from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.app.screens.status import StatusScreen


@pytest.fixture
def hostile(file: Path) -> Path:
    """Every text of the corpus as line, source, event name, state, supplement and node."""

    def write(connection: apsw.Connection) -> None:
        for at, text in enumerate(HOSTILE):
            short = text[:2000]
            lines(connection, [text], node=f"{short}{at}", source=f"{short}{at}")
            event(connection, f"{short}{at}", short or "ERROR", text, node=f"{short}{at}")
            event(connection, f"user{at}", "ERROR", text)
        for name in ("db1", "db2"):
            nodes.set_node_state(connection, name, HOSTILE[1] if name == "db1" else "UP", -(2**60))

    fill(layout_of(file), write)
    return file


def check(shown: Console) -> None:
    """The screen holds nothing a terminal would obey, and is not wider than it is."""
    for row in shown.rows:
        bad = [character for character in row if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
        assert not bad, row
        assert not set("\u202e\u2066\u200f\ufeff") & set(row), row


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (20, 5)])
def test_every_list_shows_every_text_and_stays_whole(hostile: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with console(hostile, size) as shown:
            await page_through(shown, len(shown.table.rows))
            await shown.press("2")
            await shown.until("the log", lambda: isinstance(shown.app.screen, LogScreen))
            await page_through(shown, len(HOSTILE))
            for keys in (["l"] * 3, ["o"], ["t"], ["colon"], ["escape"], ["question_mark"], ["escape"]):
                await shown.press(*keys)
                check(shown)

    asyncio.run(run())


async def page_through(shown: Console, rows: int) -> None:
    """From the first to the last, looking at each screenful."""
    await shown.press("g")
    for _ in range(rows // max(1, shown.app.size.height - 6) + 1):
        check(shown)
        await shown.press("pagedown")


def test_every_detail_shows_every_text_and_stays_whole(hostile: Path) -> None:
    async def run() -> None:
        async with console(hostile) as shown:
            for at in range(len(HOSTILE)):
                assert shown.table.go_to(f"state user{at}")
                await open_and_close(shown, StatusScreen)
            await shown.open_log()
            for number in range(1, len(HOSTILE) + 1):
                shown.view.go_to(number)
                await shown.until("the line is there", lambda: shown.view.current is not None)
                await open_and_close(shown, LogScreen)

    asyncio.run(run())


async def open_and_close(shown: Console, screen: type) -> None:
    await shown.press("enter")
    assert isinstance(shown.app.screen, DetailScreen)
    check(shown)
    await shown.press("G")
    check(shown)
    await shown.press("escape")
    assert isinstance(shown.app.screen, screen)


@pytest.mark.parametrize("text", HOSTILE[:9])
def test_a_filter_by_any_text_finds_the_line_that_holds_it(hostile: Path, text: str) -> None:
    async def run() -> None:
        async with console(hostile) as shown:
            await shown.open_log()
            shown.app.log_screen.show_only(text)
            await shown.until("found", lambda: ": 1 found" in shown.text)
            check(shown)

    asyncio.run(run())


def test_markup_is_shown_as_it_is(hostile: Path) -> None:
    async def run() -> None:
        async with console(hostile, (160, 50)) as shown:
            await shown.open_log()
            await shown.shows("[red]markup[/red] [/dev/sda1] [@click=app.quit]x[/]")

    asyncio.run(run())


def test_pasted_text_is_made_visible_too(filled: Path) -> None:
    from textual import events

    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("slash")
            shown.app.post_message(events.Paste("\x1b[31mgiving\x07\nsecond"))
            await shown.until("pasted", lambda: "␛[31mgiving␇" in shown.text)
            check(shown)

    asyncio.run(run())


def test_names_in_the_palette_are_no_markup(tmp_path: Path) -> None:
    file = make_cluster(tmp_path / "odd", ["db1", "db-2"])

    def declare(connection: apsw.Connection) -> None:
        nodes.set_node_state(connection, "db-2", "[red]", 1)

    fill(layout_of(file), declare)

    async def run() -> None:
        async with console(file) as shown:
            await shown.press("colon", *"db-2")
            await shown.shows("Go to node db-2", "Log of node db-2")
            await shown.press("enter")
            await shown.until("there", lambda: isinstance(shown.app.screen, StatusScreen))
            assert shown.table.current and shown.table.current.key == "node db-2"
            check(shown)

    asyncio.run(run())
