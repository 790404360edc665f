"""The status screen: the table of fig. 4, worst first, in any terminal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from filling import NOW, SECOND, event, fill, layout_of, leading, make_cluster, nodes, story
from pilots import console, same_as_snapshot

from noroshi.console.app.header import header
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.queries import Leader, Leadership, Status
from noroshi.console.times import Clockface

pytestmark = pytest.mark.usefixtures("frozen")


@pytest.mark.parametrize("size", [(80, 24), (160, 30), (50, 24), (20, 5)])
def test_it_is_complete_at_80_by_24_shows_more_when_wide_and_survives_small(
    filled: Path, size: tuple[int, int]
) -> None:
    async def run() -> None:
        async with console(filled, size) as shown:
            await shown.shows("NODES")
            same_as_snapshot(f"status-{size[0]}x{size[1]}", shown.text)
            assert all(len(row) <= size[0] for row in shown.rows)

    asyncio.run(run())


def test_groups_are_in_order_and_the_worst_of_each_stands_first(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            keys = [row.key for row in shown.table.rows]
            assert keys == [
                "heading nodes",
                "node db2",
                "node db1",
                "node db3",
                "heading system",
                "state server/db2",
                "state unit/db3/postfix.service",
                "state filesystem/db1/",
                "state filesystem/db3//var",
                "state path/db1/db3",
                "state server/db1",
                "state server/db3",
                "heading user",
                "state app/orders",
                "state app/billing",
                "heading maintenance",
                "state raid/db1/md0",
                "state memory/db3/mc0",
            ]

    asyncio.run(run())


def test_the_cursor_goes_from_trouble_to_trouble_and_skips_headings(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            table = shown.table
            assert table.current and table.current.key == "node db2"
            seen = []
            for _ in range(6):
                await shown.press("e")
                seen.append(table.current.key)
            assert seen == [
                "state server/db2",
                "state unit/db3/postfix.service",
                "state filesystem/db1/",
                "state app/orders",
                "state raid/db1/md0",
                "node db2",
            ]
            await shown.press("E", "k", "k")
            assert table.current.key == "state app/orders"
            await shown.press("G")
            assert table.current.key == "state memory/db3/mc0"
            await shown.press("g")
            assert table.current.key == "node db2"

    asyncio.run(run())


def test_a_filter_counts_inverts_and_clears(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("slash", *"db3")
            await shown.shows("filter db3: 7 of 14")
            assert "app/billing" not in shown.text
            await shown.press("enter")
            await shown.shows("Esc shows all")
            await shown.press("e")
            assert shown.table.current and shown.table.current.key == "state unit/db3/postfix.service"
            await shown.press("slash", *["backspace"] * 3, *"!DB")
            await shown.shows("filter !DB: 14 of 14")
            await shown.press(*["backspace"] * 2, *"db", "enter")
            await shown.shows("filter !db: 0 of 14")
            await shown.press("escape")
            await shown.until("no filter", lambda: "app/billing" in shown.text and "filter !db" not in shown.text)

    asyncio.run(run())


def test_escape_in_the_prompt_takes_the_filter_back(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("slash", *"q1")
            await shown.shows("0 of 14")
            await shown.press("escape")
            await shown.until("all rows again", lambda: "app/billing" in shown.text)
            await shown.press("j")
            assert shown.table.current and shown.table.current.key == "node db1"

    asyncio.run(run())


def test_enter_shows_everything_about_a_row_and_its_past(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            assert shown.table.go_to("state app/orders")
            await shown.press("enter")
            await shown.until("the detail", lambda: isinstance(shown.app.screen, DetailScreen))
            await shown.shows(
                "app/orders", '{"queue": 10233, "cause": "db2 gone"}', "reports         42", "what this name"
            )
            await shown.shows("2025-11-22 02:52:25Z  ERROR  from db3  42 reports")
            await shown.press("escape")
            await shown.shows("NODES")

    asyncio.run(run())


def test_the_log_of_the_rows_node_is_one_key_away(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            assert shown.table.go_to("node db3")
            await shown.press("L")
            await shown.until("the log", lambda: isinstance(shown.app.screen, LogScreen))
            await shown.shows("/node:db3: 2 found", "giving up on db2")

    asyncio.run(run())


def test_many_healthy_rows_are_folded_and_trouble_stays_in_sight(file: Path) -> None:
    def crowd(connection: object) -> None:
        story(connection, 1_763_780_645_000_000)  # type: ignore[arg-type]
        for at in range(200):
            event(connection, f"link/db1/eth{at}", "OK", at=1_763_780_000_000_000)  # type: ignore[arg-type]

    fill(layout_of(file), crowd)

    async def run() -> None:
        with leading(layout_of(file)):
            async with console(file) as shown:
                await shown.shows("204 healthy rows folded", "app/orders", "raid/db1/md0")
                await shown.press("o")
                await shown.until("unfolded", lambda: len(shown.table.rows) > 200)
                await shown.press("o")
                await shown.shows("204 healthy rows folded")
                await shown.press("slash", *"eth199")
                await shown.shows("link/db1/eth199", "1 of 214")

    asyncio.run(run())


def test_three_hundred_nodes_fit(tmp_path: Path) -> None:
    file = make_cluster(tmp_path / "big", [f"n{at:03}" for at in range(300)])

    def declare(connection: object) -> None:
        for at in range(300):
            state = "DOWN" if at == 250 else "UP"
            nodes.set_node_state(connection, f"n{at:03}", state, 1_763_780_000_000_000)  # type: ignore[arg-type]

    fill(layout_of(file), declare)

    async def run() -> None:
        with leading(layout_of(file)):
            async with console(file) as shown:
                await shown.shows("✖ 1 DOWN  ● 299 UP", "n250", "299 healthy rows folded")
        async with console(file) as shown:
            await shown.shows("✖ 1 DOWN  ? 299 UP", "n250", "… 299 rows that were healthy", "ago folded")

    asyncio.run(run())


def test_what_changes_is_shown_and_the_cursor_stays_on_its_row(filled: Path) -> None:
    async def run() -> None:
        with leading(layout_of(filled)) as order:
            async with console(filled) as shown:
                await shown.shows("coordinator db1 term 2")
                assert "COORDINATOR GONE" not in shown.text
                assert shown.table.go_to("state app/billing")
                order("event app/aaa ERROR first of its group")
                order("node db3 SUSPECT")
                await shown.shows("app/aaa", "◐ 1 SUSPECT", "first of its group")
                assert shown.table.current and shown.table.current.key == "state app/billing"
                assert shown.table.cursor is not None
                row = shown.table.cursor - shown.table.scroll_offset.y + shown.table.region.y
                assert "app/billing" in shown.rows[row]

    asyncio.run(run())


def test_who_led_is_listed_newest_first(filled: Path) -> None:
    async def run() -> None:
        with leading(layout_of(filled)):
            async with console(filled) as shown:
                await shown.shows("coordinator db1 term 2")
                await shown.press("T")
                await shown.shows("who led, newest first", "term 2", "term 1")
                assert shown.text.index("term 2") < shown.text.index("term 1")
                assert all("db1  since 2" in row for row in shown.rows if row.startswith(" term "))
                await shown.press("escape")
                await shown.shows("NODES")

    asyncio.run(run())


def test_only_rows_that_changed_are_painted(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        with leading(layout_of(filled)) as order:
            async with console(filled) as shown:
                await shown.shows("coordinator db1 term 2")
                painted: list[int] = []
                make = shown.table.row
                monkeypatch.setattr(shown.table, "row", lambda y: painted.append(y) or make(y))
                order("event app/orders ERROR another cause")
                await shown.shows("another cause")
                keys = {shown.table.rows[y].key for y in painted}
                assert keys == {"state app/orders"}

    asyncio.run(run())


def test_many_states_open_fast_and_scroll(file: Path) -> None:
    def crowd(connection: object) -> None:
        for at in range(3000):
            event(connection, f"user{at:04}", "ERROR", "x" * 50)  # type: ignore[arg-type]

    fill(layout_of(file), crowd)

    async def run() -> None:
        async with console(file) as shown:
            await shown.shows("user0000")
            await shown.press("G")
            await shown.shows("user2999")
            await shown.press("pageup")
            await shown.until("a page up", lambda: "user2999" not in shown.text or shown.table.cursor != 3001)

    asyncio.run(run())


def test_nothing_is_folded_where_all_of_it_fits(file: Path) -> None:
    def crowd(connection: apsw.Connection) -> None:
        for at in range(30):
            event(connection, f"link/db1/eth{at}", "OK", at=1_763_780_000_000_000)

    fill(layout_of(file), crowd)

    async def run() -> None:
        async with console(file, (80, 50)) as shown:
            await shown.shows("link/db1/eth0 ", "link/db1/eth29")
            await shown.press("o")
            await shown.shows("all rows fit on the screen: none is folded")
            await shown.pilot.resize_terminal(80, 24)
            await shown.shows("30 rows that were healthy")
            await shown.press("o")
            await shown.shows("link/db1/eth0 ")
            await shown.press("o")
            await shown.shows("30 rows that were healthy")
            await shown.pilot.resize_terminal(80, 50)
            await shown.shows("link/db1/eth0 ", "link/db1/eth29")

    asyncio.run(run())


@pytest.mark.parametrize(("width", "says"), [(80, "for 2h30"), (120, "since 00:34:05Z (2h30)"), (50, "term 3")])
def test_who_leads_with_term_and_since_when(width: int, says: str) -> None:
    led = Leadership(True, Leader("db1", 3, NOW - 9_000 * SECOND))
    line = header("STATUS", Status("demo", led, (), (), NOW), led, NOW, Clockface(), width)
    assert "coordinator db1 term 3" in line.plain and says in line.plain
    assert line.cell_len <= width
    early = Leadership(True, Leader("db1", 3, NOW + 9 * SECOND))
    line = header("STATUS", Status("demo", early, (), (), NOW), early, NOW, Clockface(), 80)
    assert "for 0s" in line.plain, "a clock ahead of ours"


def test_what_cannot_be_decided_here_is_said(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            assert shown.table.go_to("state app/orders")
            await shown.press("a")
            await shown.shows("there is no coordinator now: an acknowledgement waits for one")
            await shown.press("S")
            await shown.shows("there is no coordinator now: a silence waits for one")
            assert shown.table.go_to("node db1")
            await shown.press("S")
            await shown.shows("there is no coordinator now: maintenance waits for one")
            await shown.press("a")
            await shown.shows("an event is acknowledged: its row server/")
            assert shown.table.go_to("state path/db1/db3")
            await shown.press("a")
            await shown.shows("it is OK: there is nothing to acknowledge")
        with leading(layout_of(filled)):
            async with console(filled, read_only=True) as shown:
                await shown.shows("coordinator db1")
                assert shown.table.go_to("state app/orders")
                for key in "aS":
                    shown.app.say("")
                    await shown.press(key)
                    await shown.shows("this console is read-only")

    asyncio.run(run())
