"""What goes with age and size, what never goes, in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from stores import lead

from noroshi.store.layout import Layout
from noroshi.store.retention import Limits, Retention, used
from noroshi.store.tables import events, logs, nodes, notifications
from noroshi.store.tables.notifications import AttemptRow, NotificationRow
from noroshi.store.writer import Writer

DAY = 86_400_000_000
NOW = 1_800_000_000_000_000
LARGE = 1 << 40


@pytest.fixture
def leader(layout: Layout) -> Iterator[Writer]:
    with lead(layout) as writer:
        with writer.transaction() as connection:
            node = nodes.node_id(connection, "db1")
            nodes.source_id(connection, node, "/var/log/app")
        yield writer


def add_lines(leader: Writer, count: int, at: int, length: int = 20) -> None:
    with leader.transaction() as connection:
        logs.add_lines(connection, [(1, at, at, "x" * length)] * count)


def add_event(leader: Writer, name: str, at: int) -> int:
    """One that becomes the state of its name."""
    with leader.transaction() as connection:
        what = {"event": name, "category": "user", "state": "ERROR", "supplement": os.urandom(4).hex()}
        number = events.add_event(connection, **what, node=1, observed_at=at, stored_at=at)
        events.set_state(connection, number)
        return number


def notify(leader: Writer, number: int, *, at: int, status: str = "delivered", **of: int) -> None:
    """A notification with one attempt; pending ones have it under way."""
    with leader.transaction() as connection:
        row = NotificationRow(number, "d", 1, of.get("event"), of.get("log"), of.get("failure_of"))
        notifications.add_notification(connection, row, at)
        outcome = None if status == "pending" else "delivered"
        attempt = AttemptRow(number, f"delivery {number}", 1, "db1", "process", "[]", outcome)
        notifications.add_attempt(connection, attempt, at)
        if status != "pending":
            notifications.close_notification(connection, number, status, "", at)


def run(leader: Writer, retention: Retention, rows: int = 100, now: int = NOW) -> int:
    """Batches until there is nothing to do; how many."""
    for count in range(1, 10_000):
        with leader.transaction() as connection:
            batch = retention.batch(connection, now, rows)
        assert batch.looked <= rows * 5
        if batch.done:
            return count
    raise AssertionError("it never ends")


def ids(leader: Writer, table: str) -> list[int]:
    return leader.read(lambda connection: [row[0] for row in connection.execute(f"SELECT id FROM {table} ORDER BY id")])


def refers_to_nothing_gone(leader: Writer) -> bool:
    return leader.read(lambda connection: list(connection.execute("PRAGMA foreign_key_check")) == [])


def test_lines_and_history_go_at_their_ages(leader: Writer) -> None:
    retention = Retention(Limits(LARGE, 10 * DAY, 100 * DAY))
    add_lines(leader, 1000, NOW - 11 * DAY)
    add_lines(leader, 10, NOW - 9 * DAY)
    for age in (101, 99):
        for number in range(3):
            add_event(leader, f"app/{number}", NOW - age * DAY)
    assert run(leader, retention) >= 10
    assert ids(leader, "logs") == list(range(1001, 1011))
    assert ids(leader, "events") == [4, 5, 6]
    assert refers_to_nothing_gone(leader)
    assert run(leader, retention) == 1


def test_what_is_now_so_and_the_newest_rows_stay_whatever_their_age(leader: Writer) -> None:
    retention = Retention(Limits(LARGE, DAY, DAY))
    kept = [add_event(leader, f"app/{number}", NOW - 400 * DAY) for number in range(5)]
    add_event(leader, "app/9", NOW - 400 * DAY)
    kept.append(add_event(leader, "app/9", NOW - 400 * DAY))
    add_lines(leader, 5, NOW - 400 * DAY)
    run(leader, retention)
    assert ids(leader, "events") == kept
    assert ids(leader, "logs") == [5], "or the next line would have a number that was given before"
    assert refers_to_nothing_gone(leader)


def test_what_is_being_told_stays_with_all_it_needs(leader: Writer) -> None:
    old = NOW - 400 * DAY
    retention = Retention(Limits(LARGE, DAY, DAY))
    add_lines(leader, 4, old)
    told, pending, failed, failure = (add_event(leader, "app/x", old) for _ in range(4))
    add_event(leader, "app/x", old)
    notify(leader, 1, event=told, at=old)
    notify(leader, 2, event=pending, status="pending", at=old)
    notify(leader, 3, event=failed, status="failed", at=old)
    notify(leader, 4, event=failure, failure_of=3, status="pending", at=old)
    notify(leader, 5, log=2, at=old)
    notify(leader, 6, log=3, status="pending", at=old)
    notify(leader, 7, event=told, at=NOW)
    for _ in range(2):
        retention.rewind()
        run(leader, retention, rows=2)
    assert ids(leader, "notifications") == [2, 3, 4, 6, 7]
    assert set(leader.read(lambda c: [row[0] for row in c.execute("SELECT notification FROM attempts")])) == {
        2,
        3,
        4,
        6,
        7,
    }
    assert ids(leader, "events") == [told, pending, failed, failure, failure + 1]
    assert ids(leader, "logs") == [3, 4]
    assert refers_to_nothing_gone(leader)


def test_past_the_size_the_oldest_lines_go_and_the_file_grows_no_more(leader: Writer, layout: Layout) -> None:
    size = 1024 * 1024
    retention = Retention(Limits(size, 100 * DAY, 100 * DAY))
    event = add_event(leader, "app/x", NOW - DAY)
    add_event(leader, "app/x", NOW - DAY)
    largest = 0
    for turn in range(40):
        add_lines(leader, 500, NOW - DAY + turn, 200)
        run(leader, retention)
        leader.checkpoint_if_due(idle=True)
        assert leader.read(used) <= size
        if turn == 20:
            largest = layout.database.stat().st_size
    assert layout.database.stat().st_size <= largest + 512 * 1024
    kept = ids(leader, "logs")
    assert kept == list(range(kept[0], 20_001))
    assert len(kept) > 1000
    assert ids(leader, "events")[0] == event, "history stays while there are lines to go"


def test_history_goes_for_its_size_once_no_line_is_left(leader: Writer) -> None:
    add_lines(leader, 100, NOW)
    with leader.transaction() as connection:
        for number in range(2000):
            what = {"event": "app/x", "category": "user", "state": "ERROR", "supplement": "x" * 400}
            event = events.add_event(connection, **what, node=1, observed_at=NOW, stored_at=NOW)
            events.set_state(connection, event)
            row = NotificationRow(number + 1, "d", 1, event, number % 99 + 1 if number % 2 else None, None)
            notifications.add_notification(connection, row, NOW)
            notifications.close_notification(connection, number + 1, "delivered", "", NOW)
    before = leader.read(used)
    retention = Retention(Limits(before // 2, 100 * DAY, 100 * DAY))
    run(leader, retention)
    assert leader.read(used) <= before // 2
    kept = ids(leader, "events")
    assert kept == list(range(kept[0], 2001))
    assert len(ids(leader, "notifications")) <= len(kept) + 1
    assert refers_to_nothing_gone(leader)


def test_what_operators_and_rotated_files_left_goes_with_the_history(leader: Writer) -> None:
    with leader.transaction() as connection:
        for ended in (NOW - 2 * DAY, NOW - 2 * DAY, NOW, None, NOW):
            connection.execute(
                "INSERT INTO silences (pattern, node, author, comment, begun_at, until, ended_at)"
                " VALUES ('**', '', '', '', 1, 2, ?)",
                (ended,),
            )
        for kind, at in (("log", NOW - 2 * DAY), ("log", NOW), ("events", NOW - 2 * DAY)):
            connection.execute("INSERT INTO streams VALUES (randomblob(16), 1, ?, 5, ?)", (kind, at))
    run(leader, Retention(Limits(LARGE, DAY, DAY)))
    assert ids(leader, "silences") == [3, 4, 5]
    kinds = leader.read(lambda c: sorted(row[0] for row in c.execute("SELECT kind FROM streams")))
    assert kinds == ["events", "log"]


@pytest.mark.parametrize("instant", ["'zz'", "x'00'", str(NOW + 400 * DAY), str(2**62)])
@pytest.mark.parametrize("size", [LARGE, 1])
def test_an_instant_that_cannot_be_keeps_nothing_behind_it(leader: Writer, instant: str, size: int) -> None:
    """Neither from going by its age nor by the size, on a disk that would fill up."""
    old = NOW - 400 * DAY
    add_lines(leader, 10, old)
    for name in ("app/x", "app/x", "app/x"):
        add_event(leader, name, old)
    notify(leader, 1, event=1, at=old)
    notify(leader, 2, event=1, at=old)
    notify(leader, 3, event=3, at=old)
    with leader.transaction() as connection:
        for table, column in (("logs", "stored_at"), ("events", "stored_at"), ("notifications", "created_at")):
            connection.execute(f"UPDATE {table} SET {column} = {instant} WHERE id <= 2")
        connection.execute(f"UPDATE notifications SET ended_at = {instant} WHERE id <= 2")
    run(leader, Retention(Limits(size, 10 * DAY, 10 * DAY)), rows=16)
    stays = size == LARGE and instant.isdigit()
    assert ids(leader, "logs") == [1, 2, 10][0 if stays else 2 :]
    assert ids(leader, "notifications") == [1, 2, 3][0 if stays else 2 :]
    assert ids(leader, "events") == [1, 2, 3][0 if stays else 2 :]
    assert refers_to_nothing_gone(leader)
