"""What keeps notifications back is seen where an operator looks: a line, a note beside the rows, all of it at a key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from filling import NOW, SECOND, Run, event, fill, layout_of, leading
from pilots import Console, console

from noroshi.console.app.detail import Fields
from noroshi.console.app.holding_detail import holding_detail
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.holding import node_note, state_note, summary
from noroshi.console.times import Clockface
from noroshi.store.clock import now_us
from noroshi.store.silences import Silence
from noroshi.store.tables import holds, notifications, silences, troubles
from noroshi.store.tables.holds import HoldRow
from noroshi.store.tables.notifications import NotificationRow
from noroshi.store.views import Held, Holding, NodeState, State, WholeHolding, WholeSilence

HOUR = 3600 * SECOND
FACE = Clockface()


def silence(number: int, pattern: str = "", node: str = "", begins: int = -HOUR, ends: int = HOUR) -> Silence:
    return Silence(number, pattern, node, "ann", "disk swap", NOW + begins, NOW + ends)


@pytest.mark.parametrize(
    ("holding", "said"),
    [
        (Holding(), ""),
        (Holding((silence(1, "app/*"),)), "1 silence"),
        (
            Holding((silence(1, "app/*"), silence(2, "raid/**"), silence(3, node="db2"), silence(4, node="db2"))),
            "2 silences, 1 node in maintenance",
        ),
        (Holding((silence(1, "app/*", begins=HOUR, ends=2 * HOUR),)), "1 planned"),
        (Holding((silence(1, "app/*", ends=-SECOND),)), ""),
        (
            Holding((), (HoldRow(1, "flap", "d", "app/x", NOW, None), HoldRow(2, "overall", "", "", NOW, NOW + HOUR))),
            "1 flapping, 1 limit reached",
        ),
    ],
)
def test_the_line_counts_what_stands_and_what_is_to_come(holding: Holding, said: str) -> None:
    assert summary(holding, NOW) == said


def test_a_row_says_who_has_taken_it_on_and_that_it_is_silenced() -> None:
    row = State("user", "app/orders", "ERROR", "", "db3", 1, NOW, NOW, NOW, owner="bob")
    assert state_note(row, ()) == "ack bob"
    assert state_note(row, (silence(1, "app/*"),)) == "ack bob, silenced"
    assert state_note(row, (silence(1, node="db3"),)) == "ack bob, maintenance"
    assert state_note(row, (silence(1, "raid/*"),)) == "ack bob"
    good = State("user", "app/orders", "OK", "", "db3", 1, NOW, NOW, NOW)
    assert state_note(good, (silence(1, "app/*"),)) == "", "nobody wants to be told of it"
    node = NodeState("db3", "UP", NOW)
    assert node_note(node, (silence(1, node="db3"),), NOW, FACE) == "maintenance until 04:04:05Z, ann: disk swap"
    coming = silence(1, node="db3", begins=HOUR, ends=2 * HOUR)
    assert node_note(node, (coming,), NOW, FACE) == "maintenance from 04:04:05Z, ann: disk swap"
    assert node_note(node, (silence(1, node="db1"),), NOW, FACE) == ""


def test_nothing_held_back_says_how_it_is_done() -> None:
    text = _text(holding_detail(WholeHolding((), (), ()), NOW, FACE))
    assert "nothing is held back, and nothing is planned" in text
    assert "noroshi silence add PATTERN" in text


def test_a_silence_that_covers_nothing_and_one_that_held_much_back() -> None:
    nothing, much = Held((), False), Held((("orders", "app/orders", 10_001),), True)
    found = WholeHolding(
        (WholeSilence(silence(1, "ap/*"), (), (), nothing), WholeSilence(silence(2, node="db3"), (), (), much)), (), ()
    )
    text = _text(holding_detail(found, NOW, FACE))
    assert "covers no state and no source there is; is it spelt right?" in text
    assert "has held nothing back so far" in text
    assert "has held back 10,001 and more: app/orders 10001 (orders)" in text
    assert "to end it: noroshi maintenance db3 --end" in text


def _text(fields: Fields) -> str:
    return "\n".join(f"{name}|{text}" for name, text in fields)


@pytest.fixture
def held_back(filled: Path) -> Path:
    """A silence with two things held back, maintenance, one planned, a flapping event, an acknowledgement."""

    def begin(connection: apsw.Connection) -> None:
        silences.add(connection, "app/**", "", "ann", "[b]upgrade\x1b[2J", NOW - HOUR, NOW + HOUR)
        silences.add(connection, "", "db2", "bob", "disk swap", NOW - HOUR, NOW + 2 * HOUR)
        silences.add(connection, "raid/**", "", "eve", "", NOW + HOUR, NOW + 2 * HOUR)
        for name in ("app/orders", "app/orders", "app/billing"):
            about = event(connection, f"{name}", "ERROR", "again", "db3", NOW - 60 * SECOND)
            number = notifications.last_id(connection) + 1
            row = NotificationRow(number, "orders", 1, about, None, None, "held")
            notifications.hold_notification(connection, row, "silence 1", "silenced: ...", NOW - 60 * SECOND)
        holds.begin(connection, "flap", "links", "link/db1/eth0", NOW - 90 * SECOND, None)
        troubles.acknowledge(connection, "raid/db1/md0", "DEGRADED", "ann", "on it", NOW - HOUR, None)

    fill(layout_of(filled), begin)
    return filled


@pytest.mark.usefixtures("frozen")
def test_the_status_says_so_in_a_line_and_beside_each_row(held_back: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noroshi.console.queries.now_us", lambda: NOW)

    async def run() -> None:
        async with console(held_back, (120, 30)) as shown:
            await shown.shows("○ 1 silence, 1 node in maintenance, 1 flapping, 1 planned; s shows what is held back")
            assert "[silenced] again" in _row(shown.rows, "app/orders")
            assert "[maintenance] 4 packets" in _row(shown.rows, "server/db2")
            assert "[ack ann] sdb1 removed" in _row(shown.rows, "raid/db1/md0")
            node = next(row for row in shown.rows if "maintenance until" in row)
            assert node.startswith("✖ DOWN")
            assert "maintenance until 05:04" in node
            await shown.press("enter")
            await shown.shows("silenced        maintenance of db2, bob: disk swap, from 2025-11-22 02:04:05Z until")
            await shown.press("escape")
            assert shown.table.go_to("state raid/db1/md0")
            await shown.press("enter")
            await shown.shows("acknowledged    by ann, while that lasts: on it")
            await shown.press("escape")
            await shown.press("slash", *"ack ann", "enter")
            await shown.shows("1 of 14")

    asyncio.run(run())


def _row(rows: list[str], event: str) -> str:
    return next(row for row in rows if f"  {event} " in row)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("key", ["1", "3"])
def test_all_of_it_is_one_key_away(held_back: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noroshi.console.queries.now_us", lambda: NOW)

    async def run() -> None:
        async with console(held_back, (80, 45)) as shown:
            await shown.press(key)
            await shown.shows("1 silence, 1 node in maintenance, 1 flapping, 1 planned")
            await shown.press("s")
            await shown.until("the detail", lambda: isinstance(shown.app.screen, DetailScreen))
            await shown.shows("IN FORCE", "app/**  by ann: [b]upgrade␛[2J", "another 1h00")
            await shown.shows("covers app/billing ERROR, app/orders ERROR")
            await shown.shows("has held back 3: app/orders 2 (orders), app/billing 1 (orders)")
            await shown.shows("db2  by bob: disk swap", "covers server/db2 DOWN", "has held nothing back so far")
            await shown.shows("flapping        link/db1/eth0, for links", "until it is calm")
            await shown.shows("PLANNED", "raid/**  by eve", "(in 1h00)")
            await shown.shows("ACKNOWLEDGED", "raid/db1/md0 DEGRADED  by ann: on it", "while that lasts")
            await shown.press("escape")
            await shown.shows("1 planned")

    asyncio.run(run())


def test_a_silence_that_begins_is_seen_without_a_change_of_the_database(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written when a planned silence begins: time alone brings it."""
    at = {"now": NOW}
    for module in ("app.app", "app.reading", "queries"):
        monkeypatch.setattr(f"noroshi.console.{module}.now_us", lambda: at["now"])

    def begin(connection: apsw.Connection) -> None:
        silences.add(connection, "app/**", "", "ann", "", NOW + 60 * SECOND, NOW + HOUR)

    fill(layout_of(filled), begin)

    async def run() -> None:
        async with console(filled, (120, 24)) as shown:
            await shown.shows("○ 1 planned; s shows")
            assert "[silenced]" not in shown.text
            at["now"] = NOW + 61 * SECOND
            await shown.shows("○ 1 silence; s shows", "[silenced]")
            at["now"] = NOW + 2 * HOUR
            await shown.until("it is over", lambda: "silence" not in shown.text)

    asyncio.run(run())


def test_the_status_command_says_so_too(held_back: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("commands.status", "queries"):
        monkeypatch.setattr(f"noroshi.console.{module}.now_us", lambda: NOW)
    _, out, _ = run(held_back, "status")
    assert "1 silence, 1 node in maintenance, 1 flapping, 1 planned: `noroshi silence list` shows them" in out
    assert "maintenance until 05:04:05Z, bob: disk swap" in out
    orders = next(line for line in out.splitlines() if "  app/orders  " in line)
    assert "silenced until 04:04:05Z by silence 1" in orders


async def _rehearsed(shown: Console, name: str) -> None:
    """Open the editor on a definition."""
    await shown.press("4")
    await shown.shows(name)
    shown.app.definitions_screen.stand_on(name)
    await shown.press("e")
    await shown.shows("WHO WOULD BE TOLD NOW")


def test_the_rehearsal_of_an_edit_says_what_would_hold_it_back(defined: Path) -> None:
    layout = layout_of(defined)
    now = now_us()

    def acknowledged(connection: apsw.Connection) -> None:
        troubles.acknowledge(connection, "raid/db1/md0", "DEGRADED", "ann", "on it", now, None)

    silenced = "INSERT INTO silences (pattern, node, author, comment, begun_at, until) VALUES"
    silenced += f" ('raid/*/*', '', 'bob', 'upgrade', {now - HOUR}, {now + HOUR})"
    told = f"INSERT INTO notifications (definition, version, status, created_at) VALUES ('x', 1, 'delivered', {now})"

    async def run() -> None:
        async with console(defined, (160, 30)) as shown:
            await _rehearsed(shown, "disk-trouble")
            await shown.shows("told, all of a group is enough", "repeats held back: DEGRADED acknowledged by ann")
            order(f"sql {silenced}")
            await shown.shows("NOT told: silenced: silence 1 of bob: upgrade, until", "otherwise priority 1, now")
            await shown.shows("told when the silence ends, if it is still so")
            layout.cluster.write_text(layout.cluster.read_text() + "limit: {count: 1, within: 1h}\n")
            order(f"sql UPDATE silences SET ended_at = {now}")
            order(f"sql {told}")
            await shown.shows("NOT told: the overall limit is reached: 1 within 3600s", "one summary tells how much")

    fill(layout, acknowledged)
    with leading(layout) as order:  # in a process of its own: the console reads while it writes
        asyncio.run(run())
