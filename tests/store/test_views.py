"""The read statements for people, on a plain connection with the real schema."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noroshi.store import schema, views
from noroshi.store.tables import events, logs, meta, nodes, notifications
from noroshi.store.tables.notifications import AttemptRow, NotificationRow
from noroshi.store.views import Bounds, EventFilter, HistoryFilter, LogFilter, LogLine, Window

T0 = 1_700_000_000_000_000
SECOND = 1_000_000


def add_event(connection: apsw.Connection, name: str, state: str, at: int, node: str = "db1") -> int:
    number = events.add_event(
        connection,
        event=name,
        category="system",
        state=state,
        supplement=f"at {at}",
        node=nodes.node_id(connection, node),
        observed_at=at,
        stored_at=at + 1,
    )
    events.set_state(connection, number, ordered=True)
    return number


def add_lines(
    connection: apsw.Connection, texts: list[str], node: str = "db1", source: str = "/var/log/a", at: int = T0
) -> None:
    number = nodes.source_id(connection, nodes.node_id(connection, node), source)
    logs.add_lines(connection, [(number, at + n, at + n + 5, text) for n, text in enumerate(texts)])


def texts(lines: tuple[LogLine, ...]) -> list[str]:
    return [line.line for line in lines]


# --- now ----------------------------------------------------------------------------------------------------------


def test_an_empty_database_has_an_answer_to_everything(connection: apsw.Connection) -> None:
    assert views.node_states(connection) == ()
    assert views.states(connection) == ()
    assert views.terms(connection) == ()
    assert views.last_write(connection) is None
    assert views.events(connection, EventFilter(), 10) == ()
    assert views.notifications(connection, HistoryFilter(), 10) == ()
    assert views.log_bounds(connection) == Bounds(0, 0)
    assert views.log_before(connection, None, 10) == ()
    assert views.log_id_at(connection, 0) is None
    for backward in (True, False):
        assert views.scan(connection, LogFilter(), None, backward=backward, limit=10).done
    assert views.scan_window(connection, LogFilter(), Window(), None, limit=10).position is None


def test_nodes_and_states_are_as_last_declared(connection: apsw.Connection) -> None:
    nodes.set_node_state(connection, "db1", "UP", T0)
    nodes.node_id(connection, "db2")
    add_event(connection, "server/db1", "DOWN", T0)
    number = add_event(connection, "server/db1", "UP", T0 + 1)
    events.count_duplicate(connection, "server/db1", number, 3, T0 + 9)
    assert views.node_states(connection) == (
        views.NodeState("db1", "UP", T0),
        views.NodeState("db2", "UNKNOWN", None),
    )
    assert views.states(connection) == (
        views.State("system", "server/db1", "UP", f"at {T0 + 1}", "db1", 4, T0 + 1, T0 + 2, T0 + 9),
    )


def test_the_history_of_terms_is_oldest_first(connection: apsw.Connection) -> None:
    for term in (1, 2, 5):
        meta.add_term(connection, term, f"db{term}", "tcp://x", T0 + term)
    assert [row.term for row in views.terms(connection)] == [1, 2, 5]
    assert [row.term for row in views.terms(connection, 2)] == [2, 5]


def test_the_last_write_is_the_newest_of_all_kinds(connection: apsw.Connection) -> None:
    meta.add_term(connection, 1, "db1", "tcp://x", T0)
    assert views.last_write(connection) == T0
    about = add_event(connection, "a", "UP", T0 + 10)
    assert views.last_write(connection) == T0 + 11
    add_lines(connection, ["x"], at=T0 + 20)
    assert views.last_write(connection) == T0 + 25
    notifications.add_notification(connection, NotificationRow(1, "d", 1, about, None, None), T0 + 30)
    assert views.last_write(connection) == T0 + 30
    notifications.close_notification(connection, 1, "delivered", "", T0 + 40)
    assert views.last_write(connection) == T0 + 40


# --- events -------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_events(connection: apsw.Connection) -> apsw.Connection:
    for n, name in enumerate(["raid/db1/md0", "raid/db2/md1", "app", "raid/db1/md0", "raid*", "raid/db1/md0"]):
        add_event(connection, name, f"S{n}", T0 + n * SECOND)
    return connection


@pytest.mark.parametrize(
    ("which", "limit", "states"),
    [
        (EventFilter(), 10, ["S0", "S1", "S2", "S3", "S4", "S5"]),
        (EventFilter(), 2, ["S4", "S5"]),
        (EventFilter("app"), 10, ["S2"]),
        (EventFilter("raid/**"), 10, ["S0", "S1", "S3", "S5"]),
        (EventFilter("raid/db1/*"), 2, ["S3", "S5"]),
        (EventFilter("raid/*"), 10, []),
        (EventFilter("raid*", exact=True), 10, ["S4"]),
        (EventFilter(since=T0 + 3 * SECOND), 10, ["S3", "S4", "S5"]),
        (EventFilter(until=T0 + 1 * SECOND), 10, ["S0", "S1"]),
        (EventFilter("raid/**", since=T0 + 1, until=T0 + 4 * SECOND), 1, ["S3"]),
        (EventFilter("none/**"), 10, []),
    ],
)
def test_events_are_the_newest_selected_oldest_first(
    with_events: apsw.Connection, which: EventFilter, limit: int, states: list[str]
) -> None:
    assert [row.state for row in views.events(with_events, which, limit)] == states


def test_the_newest_by_time_are_still_told_in_order_of_arrival(connection: apsw.Connection) -> None:
    add_event(connection, "late", "NEW", T0 + 100)
    add_event(connection, "spooled", "OLD", T0)
    assert [row.state for row in views.events(connection, EventFilter(since=T0), 10)] == ["NEW", "OLD"]
    assert [row.state for row in views.events(connection, EventFilter(since=T0), 1)] == ["NEW"]


# --- notifications ------------------------------------------------------------------------------------------------


def test_notifications_carry_what_they_told_and_every_attempt_in_order(connection: apsw.Connection) -> None:
    about = add_event(connection, "raid/db1/md0", "DEGRADED", T0)
    add_lines(connection, ["Out of memory"], "db2", "/var/log/kern")
    notifications.add_notification(connection, NotificationRow(1, "disk", 2, about, None, None), T0 + 1)
    notifications.add_notification(connection, NotificationRow(2, "oom", 1, None, 1, None), T0 + 2)
    notifications.add_notification(connection, NotificationRow(3, "gone", 1, 999, None, 1), T0 + 3)
    for priority in (1, 2):
        attempt = AttemptRow(1, f"d{priority}", priority, "db3", "process", '["/bin/true"]', None)
        notifications.add_attempt(connection, attempt, T0 + priority)
    notifications.end_attempt(connection, "d1", "timeout", "no answer in 10 s", "", T0 + 9, answered=False)
    notifications.note_late_answer(connection, "d1", "delivered", "done")
    notifications.close_notification(connection, 1, "failed", "no group left", T0 + 10)

    disk, oom, gone = views.notifications(connection, HistoryFilter(), 10)
    assert (disk.event, disk.state, disk.node, disk.line, disk.status) == (
        "raid/db1/md0",
        "DEGRADED",
        "db1",
        None,
        "failed",
    )
    assert disk.attempts == (
        views.Attempt(
            1, "db3", "process", '["/bin/true"]', T0 + 1, T0 + 9, "timeout", "no answer in 10 s", "done", "delivered"
        ),
        views.Attempt(2, "db3", "process", '["/bin/true"]', T0 + 2, None, None, "", ""),
    )
    assert (oom.event, oom.node, oom.source, oom.line) == (None, "db2", "/var/log/kern", "Out of memory")
    assert (gone.event, gone.line, gone.node, gone.failure_of) == (None, None, None, 1)

    def selected(which: HistoryFilter, limit: int = 10) -> list[int]:
        return [row.id for row in views.notifications(connection, which, limit)]

    assert selected(HistoryFilter(status="pending")) == [2, 3]
    assert selected(HistoryFilter(definition="oom")) == [2]
    assert selected(HistoryFilter(since=T0 + 2, until=T0 + 2)) == [2]
    assert selected(HistoryFilter(), 1) == [3]


# --- pages of the log ---------------------------------------------------------------------------------------------


def test_pages_follow_the_key_whatever_is_missing_between(connection: apsw.Connection) -> None:
    add_lines(connection, [str(n) for n in range(1, 11)])
    connection.execute("DELETE FROM logs WHERE id IN (1, 2, 6)")
    assert views.log_bounds(connection) == Bounds(3, 10)
    assert texts(views.log_before(connection, None, 3)) == ["8", "9", "10"]
    assert texts(views.log_before(connection, 8, 3)) == ["4", "5", "7"]
    assert texts(views.log_after(connection, 4, 3)) == ["5", "7", "8"]
    assert texts(views.log_lines(connection, [9, 6, 3])) == ["3", "9"]
    assert texts(views.log_after(connection, 10, 3)) == []
    assert views.log_line(connection, 6) is None


def test_a_page_by_time_starts_at_the_first_line_seen_then(connection: apsw.Connection) -> None:
    add_lines(connection, ["a", "b", "c"], at=T0)
    add_lines(connection, ["spooled"], node="db2", at=T0 - 50)
    assert views.log_id_at(connection, T0 + 1) == 2
    assert views.log_id_at(connection, 0) == 4
    assert views.log_id_at(connection, T0 + 3) is None


@pytest.mark.parametrize("line", ["x" * 5000, "日本" * 2000, "nul\x00" * 2000, "\x00"])
def test_a_long_line_comes_cut_with_its_length_and_whole_when_asked(connection: apsw.Connection, line: str) -> None:
    add_lines(connection, [line])
    (cut,) = views.log_before(connection, None, 1, cut=1000)
    assert line.startswith(cut.line)
    assert len(cut.line.encode()) in range(min(len(line.encode()), 998), 1001)
    assert cut.length == len(line.encode())
    whole = views.log_line(connection, cut.id)
    assert whole is not None
    assert whole.line == line


# --- the filter ---------------------------------------------------------------------------------------------------


def everything(connection: apsw.Connection, which: LogFilter, *, backward: bool, span: int, limit: int) -> list[str]:
    """Step to the end; the lines in the order of the log."""
    found: list[str] = []
    position: int | None = None
    scanned = 0
    for _ in range(1000):
        step = views.scan(connection, which, position, backward=backward, limit=limit, span=span)
        found = texts(step.lines) + found if backward else found + texts(step.lines)
        scanned += step.scanned
        assert step.scanned <= span
        if step.done:
            bounds = views.log_bounds(connection)
            assert scanned == bounds.last - bounds.first + 1
            return found
        position = step.position
    raise AssertionError("the scan does not end")


@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize(("span", "limit"), [(1, 1), (3, 2), (1000, 1), (1000, 1000)])
@pytest.mark.parametrize(
    ("which", "found"),
    [
        (LogFilter(), ["Alpha ERROR", "beta error", "nul \x00 error", "äÄ 100%_", "it's '\"", "delta"]),
        (LogFilter(text=("error",)), ["Alpha ERROR", "beta error", "nul \x00 error"]),
        (LogFilter(text=("ERROR",)), ["Alpha ERROR", "beta error", "nul \x00 error"]),
        (LogFilter(text=("ERROR",), ignore_case=False), ["Alpha ERROR"]),
        (LogFilter(text=("error",), inverted=True), ["äÄ 100%_", "it's '\"", "delta"]),
        (LogFilter(text=("100%_",)), ["äÄ 100%_"]),
        (LogFilter(text=("äÄ",)), ["äÄ 100%_"]),
        (LogFilter(text=("'\"",)), ["it's '\""]),
        (LogFilter(text=("alpha", "delta")), ["Alpha ERROR", "delta"]),
        (LogFilter(node="db2"), ["beta error", "delta"]),
        (LogFilter(source="/var/*/a"), ["Alpha ERROR", "nul \x00 error", "äÄ 100%_", "it's '\""]),
        (LogFilter(node="db2", text=("error",), inverted=True), ["delta"]),
        (LogFilter(node="db9"), []),
    ],
)
def test_the_filter_finds_the_same_in_any_steps(
    connection: apsw.Connection, which: LogFilter, found: list[str], backward: bool, span: int, limit: int
) -> None:
    add_lines(connection, ["Alpha ERROR"])
    add_lines(connection, ["beta error"], "db2", "/var/log/b")
    add_lines(connection, ["nul \x00 error", "äÄ 100%_", "it's '\""])
    add_lines(connection, ["delta"], "db2", "/var/log/b")
    assert everything(connection, which, backward=backward, span=span, limit=limit) == found


def test_a_scan_goes_on_from_where_it_was(connection: apsw.Connection) -> None:
    add_lines(connection, ["a", "b"])
    step = views.scan(connection, LogFilter(), None, backward=False, limit=10)
    assert step.done
    assert not views.scan(connection, LogFilter(), step.position, backward=False, limit=10).lines
    add_lines(connection, ["c"])
    assert texts(views.scan(connection, LogFilter(), step.position, backward=False, limit=10).lines) == ["c"]


def test_a_position_that_retention_passed_is_no_obstacle(connection: apsw.Connection) -> None:
    add_lines(connection, [str(n) for n in range(100)])
    connection.execute("DELETE FROM logs WHERE id <= 90")
    assert len(views.scan(connection, LogFilter(), 5, backward=False, limit=100, span=20).lines) == 10
    assert views.scan(connection, LogFilter(), 50, backward=True, limit=100, span=20).done


def test_huge_lines_end_a_step_early_and_none_is_lost(connection: apsw.Connection) -> None:
    add_lines(connection, [str(n) + "x" * 1_000_000 for n in range(20)])
    first = views.scan(connection, LogFilter(), None, backward=False, limit=100)
    assert 0 < len(first.lines) < 20
    assert not first.done
    found, position = list(first.lines), first.position
    while not (step := views.scan(connection, LogFilter(), position, backward=False, limit=100)).done:
        found += step.lines
        position = step.position
    assert [line.id for line in (*found, *step.lines)] == list(range(1, 21))


@settings(max_examples=60, deadline=None)
@given(
    seen=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), max_size=25),
    since=st.none() | st.integers(0, 12),
    until=st.none() | st.integers(0, 12),
    span=st.integers(1, 30),
    limit=st.integers(1, 30),
)
def test_a_window_of_time_is_walked_newest_first_without_loss_or_repeat(
    seen: list[tuple[int, int]], since: int | None, until: int | None, span: int, limit: int
) -> None:
    connection = apsw.Connection(":memory:")
    schema.migrate(connection)
    source = nodes.source_id(connection, nodes.node_id(connection, "db1"), "/x")
    logs.add_timed_lines(connection, [(source, at, at, str(n), logged) for n, (at, logged) in enumerate(seen)])
    window = Window(since, until)
    found: list[LogLine] = []
    position: tuple[int, int] | None = None
    while True:
        step = views.scan_window(connection, LogFilter(), window, position, limit=limit, span=span)
        found += step.lines
        if (position := step.position) is None:
            break
    times = [logged or at for at, logged in seen]
    expected = sorted(((time, n + 1) for n, time in enumerate(times) if window.holds(time)), reverse=True)
    assert [(line.time, line.id) for line in found] == expected
    assert [line.logged_at for line in sorted(found, key=lambda line: line.id)] == [
        logged or None for (_, logged), time in zip(seen, times, strict=True) if window.holds(time)
    ]


@pytest.mark.parametrize("count", [0, 1, logs.AT_ONCE - 1, logs.AT_ONCE, 2 * logs.AT_ONCE, 3 * logs.AT_ONCE + 5])
def test_many_lines_keep_their_order_and_their_own_values(connection: apsw.Connection, count: int) -> None:
    source = nodes.source_id(connection, nodes.node_id(connection, "db1"), "/x")
    numbers = range(1, count + 1)
    logs.add_lines(connection, ((source, number, -number, f"line {number}") for number in numbers))
    logs.add_timed_lines(connection, ((source, number, -number, f"{number}", number % 3) for number in numbers))
    rows = [row for number in range(1, 2 * count + 1) if (row := logs.log_by_id(connection, number))]
    assert [(row.observed_at, row.stored_at, row.line, row.logged_at) for row in rows] == [
        *((number, -number, f"line {number}", None) for number in numbers),
        *((number, -number, f"{number}", number % 3 or None) for number in numbers),
    ]
    assert logs.last_id(connection) == 2 * count


def test_a_page_anywhere_uses_keys_and_indexes(connection: apsw.Connection, plans: list[str]) -> None:
    """No statement of the live screens walks a table: SQLite's own plan says so."""
    views.log_before(connection, 500, 100)
    views.log_after(connection, 500, 100)
    views.log_lines(connection, [5])
    views.log_id_at(connection, T0)
    views.log_bounds(connection)
    views.scan_window(connection, LogFilter(), Window(T0), (T0 + 5, 1), limit=5)
    walked = [step for step in plans if step.startswith("SCAN") and ("logs" in step or "events" in step)]
    assert plans
    assert [step for step in walked if "USING" not in step] == []
    assert [step for step in plans if "TEMP B-TREE" in step] == []
