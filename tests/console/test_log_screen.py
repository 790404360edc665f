"""The log screen: a million lines at once, live, paused, filtered, searched, jumped about in."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from filling import fill, layout_of, leading, lines, many_lines
from pilots import Console, console, same_as_snapshot
from waiting import Stopwatch

from noroshi.console.app.app import TYPING
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.widgets.paged_view import GONE

START = 1_763_700_000_000_000


def with_lines(file: Path, count: int) -> None:
    fill(layout_of(file), lambda connection: many_lines(connection, count, START))


def last_row(shown: Console) -> str:
    """The lowest line of the log that is on the screen."""
    bottom = shown.view.region.bottom - 1
    return next(row for row in reversed(shown.rows[: bottom + 1]) if row)


def current_line(shown: Console) -> str:
    """The line under the cursor; empty until it has been read."""
    return shown.view.current.line if shown.view.current is not None else ""


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("size", [(80, 24), (160, 30), (20, 5)])
def test_how_it_looks(filled: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with console(filled, size) as shown:
            await shown.open_log()
            await shown.shows("FOLLOWING")
            same_as_snapshot(f"log-{size[0]}x{size[1]}", shown.text)

    asyncio.run(run())


def test_a_million_lines_open_at_once_and_every_place_is_near(file: Path) -> None:
    with_lines(file, 1_000_000)

    async def opened() -> float:
        with Stopwatch() as watch:
            async with console(file) as shown:
                await shown.open_log()
                await shown.shows("request 999999 failed", "1,000,000 lines")
                return watch.seconds

    async def run() -> None:
        # start, test harness included; the best of some, for the machine may be busy
        wait = [await opened()]
        while min(wait) >= 3.0 and len(wait) < 5:
            wait.append(await opened())
        assert min(wait) < 3.0, wait
        async with console(file) as shown:
            await shown.open_log()
            await shown.shows("request 999999 failed", "1,000,000 lines")
            await shown.press("g")
            await shown.shows("request 0 failed", "row 1 of 1,000,000")
            shown.view.go_to(500_001)
            await shown.shows("request 500000 failed", "row 500,001")
            await shown.press("pagedown")
            await shown.shows("request 500019 failed")

    asyncio.run(run())


def test_it_follows_pauses_counts_what_came_and_follows_again(filled: Path) -> None:
    async def run() -> None:
        with leading(layout_of(filled)) as order:
            async with console(filled) as shown:
                await shown.open_log()
                await shown.shows("FOLLOWING", "giving up on db2")
                order("line first that came")
                await shown.until("the new line at the end", lambda: "first that came" in last_row(shown))
                await shown.press("up", "up")
                await shown.shows("PAUSED")
                top, cursor = shown.rows[2], shown.view.current_id
                order("lines 312")
                await shown.shows("▼ 312 new")
                assert shown.rows[2] == top
                assert shown.view.current_id == cursor
                await shown.press("G")
                await shown.until("at the end", lambda: "line 311 of a burst" in last_row(shown))
                assert "new" not in shown.text
                await shown.press("space")
                await shown.shows("PAUSED")
                await shown.press("space")
                await shown.shows("FOLLOWING")

    asyncio.run(run())


def test_the_wheel_up_pauses_and_down_to_the_end_follows(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.shows("FOLLOWING")
            shown.view.scroll_up(animate=False)
            await shown.shows("PAUSED")
            for _ in range(3):
                shown.view.scroll_down(animate=False)
            await shown.shows("FOLLOWING")

    asyncio.run(run())


def test_walking_down_past_the_last_line_follows(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.press("k", "k")
            await shown.shows("PAUSED")
            await shown.press("j")
            await shown.shows("row 63 of 63")
            await shown.press("j")
            await shown.shows("FOLLOWING")

    asyncio.run(run())


def test_a_filter_searches_all_lines_and_goes_on_with_what_comes(file: Path) -> None:
    with_lines(file, 50_000)

    async def run() -> None:
        with leading(layout_of(file)) as order:
            async with console(file) as shown:
                await shown.open_log()
                await shown.press("slash", *"peer 976 reset", "enter")
                await shown.shows("/peer 976 reset: 51 found")
                assert "FOLLOWING" in shown.text
                order("line and peer 976 reset again")
                await shown.shows("52 found", "and peer 976 reset again")
                order("line something else")
                await shown.press("k", "k")
                order("line a third: peer 976 reset")
                await shown.shows("53 found", "▼ 1 new")
                await shown.press("g")
                await shown.shows("request 976 failed", "row 1 of 53")
                await shown.press("escape")
                await shown.shows("50,003")
                await shown.until("still on it", lambda: "request 976 failed" in current_line(shown))

    asyncio.run(run())


def test_escape_right_behind_a_letter_leaves_no_filter(filled: Path) -> None:
    """The search that begins a moment after the last letter must not begin after the prompt was left."""

    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.press("slash", *"giving", "escape")
            await shown.shows("63 lines")
            left = time.monotonic()
            await shown.until("the moment has passed", lambda: time.monotonic() > left + 2 * TYPING)
            assert "63 lines" in shown.text

    asyncio.run(run())


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("giving", "1 found"),
        ("GIVING", "0 found"),
        ("!request", "3 found"),
        ("node:db3", "2 found"),
        ("source:/var/log/*.log", "3 found"),
        ("node:db* source:**/kern.log disk", "1 found"),
        ("node:db3 !giving", "1 found"),
        ("node:db9", "0 found"),
        ("[red]", "0 found"),
    ],
)
def test_what_a_filter_can_say(filled: Path, typed: str, found: str) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            shown.app.log_screen.show_only(typed)
            await shown.until(found, lambda: f": {found}" in shown.text and "searched" not in shown.text)

    asyncio.run(run())


def test_matches_in_their_context_one_after_the_other(file: Path) -> None:
    with_lines(file, 5000)

    async def run() -> None:
        async with console(file) as shown:
            await shown.open_log()
            await shown.press("slash", *"peer 100 ", "enter")
            await shown.shows("6 found")
            await shown.press("c")
            await shown.shows("in context", "request 4985 failed", "request 4986 failed")
            await shown.press("N")
            await shown.shows("request 4008 failed", "request 4007 failed")
            await shown.press("N", "n")
            await shown.until("the match before", lambda: shown.view.current_id == 4009)
            await shown.press("c")
            await shown.shows("request 100 failed", "request 1077 failed")
            assert shown.view.current_id == 4009
            await shown.press("n", "n")
            await shown.shows("no further match")

    asyncio.run(run())


def test_from_error_to_error(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.press("E")
            await shown.shows("PAUSED")
            await shown.until("on the error", lambda: "Disk failure" in current_line(shown))
            await shown.press("e")
            await shown.shows("no further line that tells of an error")

    asyncio.run(run())


@pytest.mark.parametrize("key", ["e", "E"])
def test_the_newest_error_is_one_key_away_while_following(filled: Path, key: str) -> None:
    """At the end of the log there is nothing further, and 'no error' would not be true."""
    fill(layout_of(filled), lambda connection: lines(connection, ["it failed", "all is well", "the newest error"]))

    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.shows("FOLLOWING", "the newest error")
            await shown.press(key)
            await shown.shows("PAUSED")
            assert shown.view.current is not None and shown.view.current.line == "the newest error"
            await shown.press("E")
            await shown.until("the one before", lambda: shown.view.current.line == "it failed")
            await shown.press("e", "e")
            await shown.shows("no further line that tells of an error")

    asyncio.run(run())


def test_to_a_time(file: Path) -> None:
    with_lines(file, 100_000)

    async def run() -> None:
        async with console(file) as shown:
            await shown.open_log()
            await shown.press("at", *"2025-11-21T04:45:00", "enter")
            await shown.shows("request 30000 failed")
            await shown.until("the cursor is there", lambda: shown.view.current_id == 30_001)
            await shown.press("at", *"soon", "enter")
            await shown.shows("'soon' is no time")
            await shown.press("at", *"now", "enter")
            await shown.shows("no line at or after now")

    asyncio.run(run())


def test_a_long_line_is_cut_and_opens_whole(file: Path) -> None:
    text = "begin " + "日本" * 200_000 + " the end"
    fill(layout_of(file), lambda connection: lines(connection, [text, "short"]))

    async def run() -> None:
        async with console(file) as shown:
            await shown.open_log()
            await shown.press("g", "enter")
            await shown.until("the detail", lambda: isinstance(shown.app.screen, DetailScreen))
            await shown.shows("bytes           1,200,014", "begin 日本")
            await shown.press("G")
            await shown.shows("the end")
            await shown.press("escape")
            await shown.shows("[1,200,014 bytes] begin 日本")

    asyncio.run(run())


def test_the_origin_stays_while_the_line_moves_sideways(filled: Path) -> None:
    fill(layout_of(filled), lambda connection: lines(connection, ["0123456789" * 20]))

    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.shows("0123456789")
            await shown.press("l")
            await shown.until("moved", lambda: "…r/log/app.log 6789" in last_row(shown))
            await shown.press("o")
            await shown.until("no origin", lambda: "app.log" not in last_row(shown))

    asyncio.run(run())


def test_lines_that_retention_removes_leave_the_screen_where_it_is(file: Path) -> None:
    with_lines(file, 2000)

    async def run() -> None:
        with leading(layout_of(file)) as order:
            async with console(file) as shown:
                await shown.open_log()
                await shown.until("no warning", lambda: "GONE" not in shown.text)
                shown.view.go_to(1500)
                await shown.shows("request 1499 failed")
                row = next(at for at, text in enumerate(shown.rows) if "request 1499 failed" in text)
                order("sql DELETE FROM logs WHERE id <= 1000 OR id = 1501")
                await shown.shows("of 1,000")
                assert "request 1499 failed" in shown.rows[row]
                assert shown.view.current_id == 1500
                shown.view.forget()
                shown.view.refresh()
                await shown.shows(GONE)

    asyncio.run(run())


@pytest.mark.parametrize("filtered", [False, True])
def test_another_database_in_its_place_is_shown_from_its_own_beginning(filled: Path, filtered: bool) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.shows("giving up on db2")
            if filtered:
                shown.app.log_screen.show_only("ing")
                await shown.shows("/ing: 3 found")
            layout = layout_of(filled)
            for old in (layout.database, layout.wal, layout.mark):
                old.unlink(missing_ok=True)
            with leading(layout) as order:
                order("line a new beginning")
                await shown.shows("a new beginning", "/ing: 1 found" if filtered else "  1 line  ")
                assert "giving up" not in shown.text

    asyncio.run(run())


def test_the_filtered_lines_are_saved_for_their_owner_alone(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "saved.jsonl"

    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            shown.app.log_screen.show_only("node:db3")
            await shown.shows("2 found")
            for _ in range(2):
                await shown.press("w")
                shown.app.screen.query_one("Input").value = str(target)  # type: ignore[attr-defined]
                await shown.press("enter")
                await shown.until("an answer", lambda: "lines saved" in shown.text or "not saved" in shown.text)
            await shown.shows("not saved")

    asyncio.run(run())
    saved = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["line"] for line in saved] == ["connection to db2 lost, retrying", "giving up on db2: timeout"]
    assert target.stat().st_mode & 0o777 == 0o600
