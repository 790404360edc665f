"""Rows as a bad disk leaves them, in every column of every table: each is still shown, and what is wrong with it named.

SQLite's own check says nothing of what stands in a row, and a leader mends only those it goes by.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from filling import DELIVERED, FAILED, NOW, Run, Try, define, definitions_story, fill, layout_of, told
from pilots import console

from noroshi.console.app.screens.detail import DetailScreen
from noroshi.store.clock import now_us
from noroshi.store.tables.notifications import NotificationRow

HOUR = 3600 * 1_000_000

KEYS = {"id", "key", "value", "event_id", "log_id", "failure_of", "notification", "delivery", "trouble", "incarnation"}
"""Columns that say which row it is, or which other one it belongs to."""

TEXT, WORD, BYTES = "CAST(x'41ff42' AS TEXT)", "'never'", "x'00ff'"

COMMANDS = [
    words.split()
    for words in (
        "status",
        "status --json",
        "status --terms",
        "events --event app/*",
        "events --json",
        "log",
        "log --json --source /var/log/** --by-time",
        "history",
        "history --json --since -2h",
        "ack --list --all",
        "ack --list --json",
        "silence list --all",
        "silence list --json",
        "silence add app/* --for 1h --dry-run",
        "definitions export --versions",
        "definitions log",
        "definitions explain raid/db1/md0 OK",
        "definitions explain --line oops --source /var/log/a",
    )
]


def operated(connection: apsw.Connection) -> None:
    """Something of everything that an operator decides, and of each way a notification goes."""
    definitions_story(connection, NOW)
    now = now_us()
    silences = ((1, "app/*", "", None, ""), (2, "", "db2", None, ""), (3, "old/*", "", now - 9, "bob"))
    for number, pattern, node, ended_at, by in silences:
        row = (number, pattern, node, "ann", "why", now - HOUR, now + HOUR, ended_at, by)
        connection.execute("INSERT INTO silences VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "INSERT INTO acknowledgements VALUES (1, 'app/orders', 'ERROR', 'ann', 'c', ?, NULL, NULL, '')", (now,)
    )
    connection.execute("INSERT INTO acknowledgements VALUES (2, 'app/old', 'ERROR', 'ann', '', 1, 2, 3, 'withdrawn')")
    connection.execute("INSERT INTO holds VALUES (1, 'flap', 'disk-trouble', 'raid/db1/md0', ?, NULL, NULL)", (now,))
    trouble = "INSERT INTO troubles VALUES (1, 'disk-trouble', 'raid/db1/md0', ?, 'open', 0, 1, ?, NULL, NULL)"
    connection.execute(trouble, (now, now))
    ((orders, line),) = connection.execute(
        "SELECT event_id, (SELECT max(id) FROM logs) FROM states WHERE event = 'app/orders'"
    )
    told(connection, NotificationRow(0, "orders", 1, orders, None, None, "held"), [], now, "silenced: why")
    told(connection, NotificationRow(0, "orders", 1, orders, None, None, "pending"), [FAILED, Try("db2", None)], now)
    told(connection, NotificationRow(0, "out-of-memory", 1, None, line, None, "failed"), [FAILED], now, "no group left")
    told(connection, NotificationRow(0, "", 0, orders, None, 3, "delivered"), [DELIVERED], now)


@pytest.fixture
def rich(filled: Path) -> Path:
    fill(layout_of(filled), operated)
    return filled


MOST_COLUMNS = 11
"""Of a table, the keys excepted."""


def spoil(connection: apsw.Connection, at: int, value: str) -> None:
    """The column number `at` of every table that has so many."""
    found: dict[str, list[str]] = {}
    every = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    for table, column in connection.execute(every):
        if column not in KEYS:
            found.setdefault(str(table), []).append(str(column))
    assert max(map(len, found.values())) == MOST_COLUMNS
    for table, names in found.items():
        with suppress(apsw.MismatchError):  # a number of a row cannot be damaged so
            connection.execute(
                f"UPDATE OR REPLACE {table} SET {names[at]} = {value}" if at < len(names) else "SELECT 1"
            )


@pytest.mark.parametrize("value", [TEXT, WORD, BYTES])
def test_no_damaged_column_of_any_table_ends_a_command(rich: Path, tmp_path: Path, run: Run, value: str) -> None:
    for at in range(MOST_COLUMNS):
        copy = tmp_path / f"copy{at}"
        shutil.copytree(rich.parent, copy)
        file = copy / "node.yaml"
        file.write_text(file.read_text().replace(str(rich.parent), str(copy)))
        fill(layout_of(file), lambda connection, at=at: spoil(connection, at, value))  # type: ignore[misc]
        for words in COMMANDS:
            status, _, err = run(file, *words)
            assert status == 0, (words, at, err)


@pytest.mark.parametrize(
    ("statement", "command", "shown"),
    [
        ("UPDATE states SET observed_at = 'never'", "status", ["app/orders", "observed_at is 'never'"]),
        ("UPDATE states SET node = 99", "status", ["✖ ERROR", "app/orders", "node is missing"]),
        (f"UPDATE states SET supplement = {TEXT}", "status", ["app/orders", r"A\xffB", r"supplement is b'A\xffB'"]),
        ("UPDATE nodes SET since = 'never'", "status", ["✖ DOWN", "db2", "since is 'never'"]),
        ("UPDATE terms SET node = x'00ff'", "status --terms", [r"node is b'\x00\xff'"]),
        (f"UPDATE events SET state = {TEXT}", "events", ["app/orders", r"state is b'A\xffB'"]),
        ("UPDATE events SET node = 99", "events", ["app/orders", "node is missing"]),
        ("UPDATE logs SET line = x'00ff'", "log", ["/var/log/kern.log", r"line is b'\x00\xff'"]),
        ("UPDATE logs SET source = 99", "log", ["giving up on db2", "node is missing, source is missing"]),
        (f"UPDATE notifications SET reason = {TEXT}", "history", ["app/orders ERROR", r"reason is b'A\xffB'"]),
        ("UPDATE notifications SET created_at = 'never'", "history", ["app/orders ERROR", "created_at is 'never'"]),
        ("UPDATE attempts SET ended_at = 'never'", "history", ["ops1", "exit status 1", "ended_at is 'never'"]),
        (f"UPDATE attempts SET application = {TEXT}", "history", ["ops1", r"application is b'A\xffB'"]),
        (f"UPDATE acknowledgements SET author = {TEXT}", "ack --list", ["app/orders", r"author is b'A\xffB'"]),
        ("UPDATE acknowledgements SET created_at = 'never'", "ack --list", ["ann", "created_at is 'never'"]),
        (
            "UPDATE silences SET until = 'never'",
            "silence list",
            ["app/*", "ann", "until is 'never'", "next leader ends it"],
        ),
        (f"UPDATE silences SET comment = {TEXT}", "silence list --all", ["old/*", "by bob", r"comment is b'A\xffB'"]),
        (f"UPDATE definitions SET author = {TEXT}", "definitions log", ["orders v1", r"author is b'A\xffB'"]),
    ],
)
def test_a_damaged_row_is_shown_and_says_what_is_wrong_with_it(
    rich: Path, run: Run, statement: str, command: str, shown: list[str]
) -> None:
    fill(layout_of(rich), lambda connection: connection.execute(statement))
    status, out, err = run(rich, *command.split())
    assert (status, err) == (0, "")
    assert not [text for text in shown if text not in out], out


def test_a_program_finds_the_damage_in_a_field_of_its_own(rich: Path, run: Run) -> None:
    sound = [json.loads(line) for line in run(rich, "history", "--json")[1].splitlines()]
    assert not [row for row in sound if "damaged" in row]
    fill(
        layout_of(rich), lambda connection: connection.execute("UPDATE notifications SET created_at = 'x' WHERE id = 2")
    )
    rows = [json.loads(line) for line in run(rich, "history", "--json")[1].splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in sound]
    assert [row["id"] for row in rows if row.get("damaged") == "created_at is 'x'"] == [2]


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("application", "'never'", "never"),
        ("application", "'{'", "{"),
        ("application", "'7.5'", "7.5"),
        ("application", TEXT, r"A\xffB"),
        ("application", "x'00ff'", r"\x00\xff".replace(r"\x00", "\u2400")),
        ("procedure", TEXT, r"A\xffB"),
        ("node", TEXT, r"A\xffB"),
    ],
)
def test_who_heard_of_a_trouble_is_told_also_where_the_row_is_damaged(
    rich: Path, run: Run, column: str, value: str, shown: str
) -> None:
    def spoilt(connection: apsw.Connection) -> None:
        define(
            connection,
            "events:\n  - {name: disk-trouble, match: {event: raid/**, state: ERROR}, recovery: true,"
            " notify: [{priority: 1, node: db1, procedure: process, application: [/bin/page]}]}\n",
        )
        delivered = NotificationRow(0, "disk-trouble", 1, 1, None, None, "delivered")
        number = told(connection, delivered, [DELIVERED], now_us())
        connection.execute("UPDATE notifications SET trouble = 1 WHERE id = ?", (number,))
        connection.execute(f"UPDATE attempts SET {column} = {value} WHERE outcome = 'delivered'")

    fill(layout_of(rich), spoilt)
    status, out, err = run(rich, *["definitions", "explain", "raid/db1/md0", "OK"])
    assert (status, err) == (0, "")
    assert shown in out
    status, out, err = run(rich, *["definitions", "explain", "raid/db1/md0", "OK", "--json"])
    assert status == 0, err
    json.loads(out.splitlines()[0])


def test_the_console_shows_damaged_rows_on_every_screen(rich: Path) -> None:
    def spoil_some(connection: apsw.Connection) -> None:
        connection.execute("UPDATE states SET observed_at = 'never', state = x'00ff' WHERE event = 'app/orders'")
        connection.execute("UPDATE nodes SET since = x'00' WHERE name = 'db2'")
        connection.execute(f"UPDATE logs SET line = {TEXT} WHERE id = (SELECT max(id) FROM logs)")
        connection.execute("UPDATE notifications SET created_at = 'never' WHERE id = 3")
        connection.execute(f"UPDATE attempts SET reason = {TEXT} WHERE notification = 3")
        connection.execute(f"UPDATE silences SET author = {TEXT} WHERE id = 1")
        connection.execute(f"UPDATE definitions SET author = {TEXT} WHERE name = 'orders'")

    fill(layout_of(rich), spoil_some)

    async def run() -> None:
        async with console(rich, (120, 40)) as shown:
            await shown.shows("DOWN", "app/orders", "DAMAGED ROW", "1 damaged row")
            assert shown.table.go_to("state app/orders")
            await shown.press("enter")
            await shown.shows("DAMAGED ROW", r"state is b'\x00\xff'", "observed_at is 'never'")
            await shown.press("escape", "s")
            await shown.shows("silence 1", r"author is b'A\xffB'", "next leader ends it", "maintenance")
            await shown.press("escape")
            await shown.open_log()
            await shown.shows(r"[DAMAGED ROW] A\xffB")
            await shown.press("enter")
            await shown.shows("DAMAGED ROW", r"line is b'A\xffB'")
            await shown.press("escape", "3")
            await shown.shows("[DAMAGED ROW]")
            shown.notifications.go_to(3)
            await shown.until("the row is there", lambda: shown.notifications.current is not None)
            await shown.press("enter")
            await shown.until("a detail", lambda: isinstance(shown.app.screen, DetailScreen))
            await shown.shows("created_at is 'never'", r"reason is b'A\xffB'")
            await shown.press("escape", "4")
            await shown.shows(r"A\xffB", "disk-trouble")

    asyncio.run(run())
