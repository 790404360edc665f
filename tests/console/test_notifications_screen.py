"""The notifications screen: who was told, by which attempts; live, filtered, opened."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import apsw
import pytest
from filling import (
    HOSTILE,
    NOW,
    SECOND,
    Try,
    event,
    fill,
    layout_of,
    leading,
    lines,
    many_notifications,
    told,
)
from night import open_history, row
from pilots import Console, console, same_as_snapshot
from test_hostile import check, open_and_close

from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.app.screens.notifications import NotificationsScreen
from noroshi.console.app.screens.status import StatusScreen
from noroshi.console.app.widgets.notification_view import fit_columns


def aligned(shown: Console) -> bool:
    """Whether the title of the last column stands over the last cell of the newest row."""
    if shown.app.size.width < 50:
        return "◐ pending" in shown.text
    title, newest = shown.rows[2], shown.rows[2 + shown.notifications.row_count]
    return "◐ops2" in newest and title.index("TOLD") == newest.index("✖ops1")


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("size", [(80, 24), (160, 30), (20, 5)])
def test_how_it_looks(told_file: Path, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with console(told_file, size) as shown:
            await open_history(shown)
            await shown.until("titles and rows agree", lambda: aligned(shown))
            same_as_snapshot(f"notifications-{size[0]}x{size[1]}", shown.text)
            assert all(len(text) <= size[0] for text in shown.rows)

    asyncio.run(run())


@pytest.mark.parametrize("width", [10, 20, 30, 49, 50, 80, 119, 120, 160, 300])
def test_the_columns_fill_the_width_and_no_more(width: int) -> None:
    columns = fit_columns(width, (60, 60, 20, 90, 90))
    used = [columns.time, columns.status, columns.subject, columns.definition, columns.node, columns.owner]
    used += [columns.chain]
    assert sum(used) + sum(map(bool, used)) - 1 <= max(width, 12)
    assert width < 20 or sum(used) + sum(map(bool, used)) - 1 == width


@pytest.mark.usefixtures("frozen")
def test_enter_shows_the_chain_with_reasons_and_output(told_file: Path) -> None:
    async def run() -> None:
        async with console(told_file, (80, 40)) as shown:
            await open_history(shown)
            shown.notifications.go_to(2)
            await shown.press("enter")
            await shown.shows(
                "NOTIFICATION 2  app/orders ERROR: queue is full",
                "✖ failed: no group left",
                "2025-11-22 02:52:35.000Z (11m ago), took 3.0 s",
                "orders, version 2",
                "was told by notification 3: delivered",
                "1. db2          ✖ failed: exit status 7",
                "process /usr/local/bin/page --team storage",
                "2025-11-22 02:52:36.000Z to 02:52:36.200, 0.20 s",
                "printed         connecting",
                "␛[31mno line to the pager␛[0m",
                "2. db3          ▲ timeout: no answer within the time limit: 10s",
            )
            await shown.press("escape")
            assert isinstance(shown.app.screen, NotificationsScreen)
            for number, words in (
                (3, "the failure of notification 2"),
                (4, "silenced: ann, work on the switch"),
                (5, "Out of memory: killed process 4242"),
                (6, "told again, nobody had acknowledged it (repeat)"),
            ):
                shown.notifications.go_to(number)
                await shown.press("enter")
                await shown.shows(words)
                await shown.press("escape")

    asyncio.run(run())


def test_what_is_under_way_changes_in_place_in_list_and_detail(told_file: Path) -> None:
    async def run() -> None:
        with leading(layout_of(told_file)) as order:
            async with console(told_file) as shown:
                await open_history(shown)
                await shown.shows("◐ pending", "✖ops1 ◐ops2", "◐ 1 pending")
                order("sql UPDATE attempts SET outcome = 'delivered', ended_at = started_at WHERE outcome IS NULL")
                order(f"sql UPDATE notifications SET status = 'delivered', ended_at = {NOW} WHERE status = 'pending'")
                await shown.until("ended", lambda: "pending" not in shown.text and "✖ops1 ●ops2 42 s" in shown.text)
                await shown.press("enter")
                await shown.shows("● delivered")
                order("sql UPDATE attempts SET late = 'delivered: exit status 0' WHERE node = 'ops1'")
                await shown.shows("later           delivered: exit status 0")

    asyncio.run(run())


def test_a_definition_tells_who_comes_next_while_it_is_pending(told_file: Path) -> None:
    destinations = [
        {"priority": n, "node": f"ops{n}", "procedure": "process", "application": ["/p"]} for n in (1, 2, 3)
    ]
    body = json.dumps({"name": "orders", "kind": "event", "notify": destinations})

    def define(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO definitions VALUES ('orders', 2, ?, 'ann', ?, '')", (body, NOW))

    fill(layout_of(told_file), define)

    async def run() -> None:
        async with console(told_file, (80, 40)) as shown:
            await open_history(shown)
            await shown.press("enter")
            await shown.shows("◐ under way", "3. ops3         to come: process")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("orders", 4),
        ("ORDERS", 0),
        ("!orders", 3),
        ("ops2", 1),
        ("exit status 7", 1),
        ("work on the switch", 1),
        ("status:failed", 1),
        ("status:failed,held", 2),
        ("status:delivered node:db3", 4),
        ("node:db*", 7),
        ("event:app/*", 3),
        ("event:app/orders definition:orders repeat", 1),
        ("definition:links", 1),
        ("[red]", 0),
    ],
)
def test_what_a_filter_can_say(told_file: Path, typed: str, found: int) -> None:
    async def run() -> None:
        async with console(told_file) as shown:
            await open_history(shown)
            shown.app.notifications_screen.show_only(typed)
            await shown.until(f"{found}", lambda: f": {found} found" in shown.text and "searched" not in shown.text)

    asyncio.run(run())


def test_the_status_keys_turn_a_filter_on_and_off_and_keep_the_text(told_file: Path) -> None:
    async def run() -> None:
        async with console(told_file) as shown:
            await open_history(shown)
            for key, count in (("p", 1), ("f", 1), ("d", 4), ("H", 1)):
                await shown.press(key)
                await shown.shows(f": {count} found")
            await shown.press("H")
            await shown.shows("7 notifications")
            await shown.press("slash", *"orders", "enter")
            await shown.shows("/orders: 4 found")
            await shown.press("d")
            await shown.shows("/status:delivered orders: 2 found")
            await shown.press("n", "N", "c")
            await shown.shows("in context")
            await shown.press("escape")
            await shown.shows("row 3 of 7")

    asyncio.run(run())


def test_a_filter_drops_what_no_longer_matches_and_finds_what_came_to(told_file: Path) -> None:
    async def run() -> None:
        with leading(layout_of(told_file)) as order:
            async with console(told_file) as shown:
                await open_history(shown)
                await shown.press("f")
                await shown.shows(": 1 found")
                order("sql UPDATE attempts SET outcome = 'failed', ended_at = started_at WHERE outcome IS NULL")
                order(f"sql UPDATE notifications SET status = 'failed', ended_at = {NOW} WHERE status = 'pending'")
                await shown.shows(": 2 found", "escalation: app/orders")
                await shown.press("p")
                await shown.shows(": 0 found")
                order(
                    "sql INSERT INTO notifications (definition, version, event_id, status, created_at)"
                    " VALUES ('new', 1, 1, 'pending', 1)"
                )
                await shown.shows(": 1 found", "◐ pending")
                order("sql UPDATE notifications SET status = 'delivered', ended_at = 2 WHERE status = 'pending'")
                await shown.shows(": 0 found")

    asyncio.run(run())


def test_from_failure_to_failure_and_to_a_time(file: Path) -> None:
    fill(layout_of(file), lambda connection: many_notifications(connection, 3000, NOW - 3000 * 10 * SECOND))

    async def run() -> None:
        async with console(file) as shown:
            await open_history(shown)
            await shown.shows("3,000 notifications")
            await shown.press("E")
            await shown.until("the last failure", lambda: shown.notifications.current_id == 2901)
            await shown.press("E", "e")
            await shown.until("and back", lambda: shown.notifications.current_id == 2901)
            await shown.press("at", *"2025-11-21T19:04:05", "enter")
            await shown.until("there", lambda: shown.notifications.current_id == 121)
            await shown.press("g")
            await shown.shows("row 1 of 3,000", "app/service0 ERROR")

    asyncio.run(run())


def test_v_leads_to_the_event_or_the_line_and_back_from_the_status(told_file: Path) -> None:
    async def run() -> None:
        async with console(told_file) as shown:
            await open_history(shown)
            shown.notifications.go_to(5)
            await shown.press("v")
            await shown.until("the log", lambda: isinstance(shown.app.screen, LogScreen))
            await shown.until("the line", lambda: shown.view.current and "Out of memory" in shown.view.current.line)
            await shown.press("3")
            shown.notifications.go_to(4)
            await shown.press("enter", "v")
            await shown.until("the status", lambda: isinstance(shown.app.screen, StatusScreen))
            await shown.until(
                "its row", lambda: shown.table.current and shown.table.current.key == "state link/db2/eth1"
            )
            await shown.press("v")
            await shown.shows("/event:link/db2/eth1: 1 found", "○ held")

    asyncio.run(run())


def test_a_capital_d_leads_to_the_definition(told_file: Path) -> None:
    def define(connection: apsw.Connection) -> None:
        for name in ("links", "orders"):
            body = json.dumps({"name": name, "kind": "event", "event": name, "notify": []})
            connection.execute("INSERT INTO definitions VALUES (?, 2, ?, 'ann', ?, '')", (name, body, NOW))

    fill(layout_of(told_file), define)

    async def run() -> None:
        async with console(told_file) as shown:
            await open_history(shown)
            await shown.press("enter", "D")
            await shown.until("the definitions", lambda: isinstance(shown.app.screen, DefinitionsScreen))
            table = shown.app.definitions_screen.table
            await shown.until("its row", lambda: table.current_name == "orders")
            await shown.press("3")
            shown.notifications.go_to(4)
            await shown.press("D")
            await shown.until("the other", lambda: table.current_name == "links")

    asyncio.run(run())


def test_copied_and_saved(told_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    target = tmp_path / "saved.jsonl"

    async def run() -> None:
        async with console(told_file) as shown:
            await open_history(shown)
            shown.notifications.go_to(2)
            await shown.press("y")
            await shown.until(
                "sent", lambda: "failed orders v2  app/orders ERROR: queue is full" in shown.app.clipboard
            )
            await shown.press("Y")
            await shown.until("as JSON", lambda: shown.app.clipboard.startswith("{"))
            assert json.loads(shown.app.clipboard)["attempts"][0]["reason"] == "exit status 7"
            await shown.press("d", "w")
            shown.app.screen.query_one("Input").value = str(target)  # type: ignore[attr-defined]
            await shown.press("enter")
            await shown.shows("4 notifications saved")

    asyncio.run(run())
    assert [json.loads(line)["status"] for line in target.read_text().splitlines()] == ["delivered"] * 4


def test_every_text_from_outside_is_shown_and_none_obeyed(file: Path) -> None:
    def write(connection: apsw.Connection) -> None:
        for at, text in enumerate(HOSTILE):
            short = text[:2000]
            about = event(connection, f"{short}{at}", short or "ERROR", text, node=f"{short}{at}")
            lines(connection, [text], node=f"{short}{at}", source=f"{short}{at}")
            tries = [Try(f"{short}{at}", "failed", short, short, application=short), Try("x", None)]
            told(connection, row(about, "pending", short, notice=short or "change"), tries, NOW, short)
            told(connection, row(None, "failed", short, log=at + 1), tries, NOW, short)
            told(connection, row(about, "held", short), [], NOW, short)
            connection.execute(
                "INSERT INTO acknowledgements (event, state, author, comment, created_at) VALUES (?, ?, ?, ?, 1)",
                (f"{short}{at}", short or "ERROR", short, short),
            )

    fill(layout_of(file), write)

    async def run() -> None:
        for size in ((80, 24), (200, 24), (20, 5)):
            async with console(file, size) as shown:
                await open_history(shown)
                for number in range(1, 3 * len(HOSTILE) + 1):
                    shown.notifications.go_to(number)
                    await shown.until("read", lambda: shown.notifications.current is not None)
                    check(shown)
                    if size == (80, 24):
                        await open_and_close(shown, NotificationsScreen)

    asyncio.run(run())
