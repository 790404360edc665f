"""Pages of the notification history, its filter in steps, and all that belongs to one notification."""

from __future__ import annotations

import apsw
import pytest

from noroshi.store import views
from noroshi.store.tables import events, nodes, notifications, troubles
from noroshi.store.tables.notifications import AttemptRow, NotificationRow
from noroshi.store.views import Bounds, HistoryFilter, HistorySearch, history_steps

T0 = 1_700_000_000_000_000
SECOND = 1_000_000


def add_event(connection: apsw.Connection, name: str, state: str, at: int, supplement: str = "") -> int:
    node = nodes.node_id(connection, "db1")
    words = {"event": name, "category": "user", "state": state, "supplement": supplement, "node": node}
    number = events.add_event(connection, **words, observed_at=at, stored_at=at)  # type: ignore[arg-type]
    events.set_state(connection, number, ordered=True)
    return number


def begin(connection: apsw.Connection, number: int, about: int, failure_of: int | None = None) -> None:
    row = NotificationRow(number, "disk", 1, about, None, failure_of)
    notifications.add_notification(connection, row, T0 + number * SECOND)
    attempt = AttemptRow(number, f"d{number}", 1, f"ops{number % 3}", "process", '["/page"]', None)
    notifications.add_attempt(connection, attempt, T0 + number * SECOND)


def finish(connection: apsw.Connection, number: int, status: str = "delivered") -> None:
    outcome = "delivered" if status == "delivered" else "failed"
    notifications.end_attempt(connection, f"d{number}", outcome, f"reason {number}", "", T0, answered=True)
    notifications.close_notification(connection, number, status, "", T0 + number * SECOND)


@pytest.fixture
def history(connection: apsw.Connection) -> apsw.Connection:
    """Numbers 1 to 100 without 40 to 49; each tenth failed, 95 and 100 are pending."""
    about = [add_event(connection, f"app/{n}", "ERROR", T0) for n in range(5)]
    for number in range(1, 101):
        if not 40 <= number < 50:
            begin(connection, number, about[number % 5])
            if number not in (95, 100):
                finish(connection, number, "delivered" if number % 10 else "failed")
    return connection


def scan_all(connection: apsw.Connection, which: HistorySearch, span: int, limit: int, backward: bool) -> list[int]:
    found: list[int] = []
    position = None
    while True:
        step = views.scan_history(connection, which, position, backward=backward, limit=limit, span=span)
        found = [*step.ids, *found] if backward else [*found, *step.ids]
        if step.done:
            return found
        position = step.position


@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize(("span", "limit"), [(1000, 1000), (7, 1000), (30, 2)])
def test_the_filter_finds_the_same_in_any_steps(
    history: apsw.Connection, span: int, limit: int, backward: bool
) -> None:
    everything = [*range(1, 40), *range(50, 101)]
    assert scan_all(history, HistorySearch(), span, limit, backward) == everything
    failed = HistorySearch(statuses=("failed",))
    assert scan_all(history, failed, span, limit, backward) == [10, 20, 30, 50, 60, 70, 80, 90]
    assert scan_all(history, HistorySearch(event="app/3", node="ops1"), span, limit, backward) == everything_of(3)
    assert scan_all(history, HistorySearch(text="reason 3"), span, limit, backward) == [3, *range(30, 40)]
    without = HistorySearch(text="reason 3", inverted=True)
    assert scan_all(history, without, span, limit, backward) == sorted({*everything} - {3, *range(30, 40)})


def everything_of(remainder: int) -> list[int]:
    """Those of event app/N: the node db1 saw them all, so a node that only was told says more."""
    return [n for n in (*range(1, 40), *range(50, 101)) if n % 5 == remainder and n % 3 == 1]


def test_a_step_tells_which_of_those_it_passed_may_still_change(history: apsw.Connection) -> None:
    failed = HistorySearch(statuses=("failed",))
    step = views.scan_history(history, failed, None, backward=True, limit=10)
    assert (step.unfinished, step.done) == ((95, 100), True)
    assert views.scan_history(history, failed, 96, backward=True, limit=10).unfinished == (95,)
    assert views.pending_count(history) == 2
    finish(history, 95, "failed")
    assert views.still_matching(history, failed, (95, 100)) == ((95,), (100,))
    assert views.still_matching(history, failed, ()) == ((), ())


def test_by_time_the_first_that_began_then_whatever_is_missing(history: apsw.Connection) -> None:
    for seconds, number in ((-5, 1), (1, 1), (39, 39), (40, 50), (47, 50), (100, 100)):
        assert views.notification_id_at(history, T0 + seconds * SECOND) == number
    assert views.notification_id_at(history, T0 + 101 * SECOND) is None
    assert views.history_bounds(history) == Bounds(1, 100)


def test_an_empty_history_has_an_answer_to_everything(connection: apsw.Connection) -> None:
    assert views.history_bounds(connection) == Bounds(0, 0)
    assert views.notification_id_at(connection, T0) is None
    assert views.scan_history(connection, HistorySearch(), None, backward=True, limit=10).done
    assert views.notification_page(connection, (1, 2), 100) == ()
    assert views.whole_notification(connection, 1) is None


def test_a_page_has_long_texts_cut_and_no_output(connection: apsw.Connection) -> None:
    about = add_event(connection, "app", "ERROR", T0, "日本" * 1000)
    begin(connection, 1, about)
    notifications.end_attempt(connection, "d1", "delivered", "", "printed", T0, answered=True)
    (row,) = views.notification_page(connection, [1], 100)
    assert row.supplement is not None and row.supplement == ("日本" * 1000)[:33]
    assert (row.attempts[0].output, row.is_finished) == ("", False)
    whole = views.whole_notification(connection, 1)
    assert whole is not None and whole.notification.supplement == "日本" * 1000
    assert whole.notification.attempts[0].output == "printed"


def test_an_acknowledgement_belongs_to_what_was_told_while_it_stood(connection: apsw.Connection) -> None:
    first = add_event(connection, "app", "ERROR", T0)
    begin(connection, 1, first)
    troubles.acknowledge(connection, "app", "ERROR", "ann", "on it", T0 + 10, None)
    begin(connection, 2, add_event(connection, "app", "ERROR", T0 + 20, "another cause"))
    assert [row.owner for row in views.notification_page(connection, [1, 2], 100)] == ["ann", "ann"]
    troubles.end_acknowledgement(connection, 1, T0 + 30, "the state changed")
    begin(connection, 3, add_event(connection, "app", "OK", T0 + 30))
    begin(connection, 4, add_event(connection, "app", "ERROR", T0 + 40))
    troubles.acknowledge(connection, "app", "ERROR", "bob", "", T0 + 50, T0 + 90)
    assert [row.owner for row in views.notification_page(connection, range(5), 100)] == ["", "", "", "bob"]
    authors = [[one.author for one in whole.acknowledgements] for whole in map(whole_of(connection), range(1, 5))]
    assert authors == [["ann"], ["ann"], [], ["bob"]]


def whole_of(connection: apsw.Connection):  # type: ignore[no-untyped-def]
    return lambda number: views.whole_notification(connection, number)


def test_who_told_of_a_failure(connection: apsw.Connection) -> None:
    about = add_event(connection, "app", "ERROR", T0)
    begin(connection, 1, about)
    finish(connection, 1, "failed")
    begin(connection, 2, about, failure_of=1)
    whole = views.whole_notification(connection, 1)
    assert whole is not None and whole.told_by == ((2, "pending"),)


def test_a_page_and_a_step_anywhere_use_keys_and_indexes(history: apsw.Connection, plans: list[str]) -> None:
    views.notification_page(history, (5, 6), 100)
    views.history_bounds(history)
    views.pending_count(history)
    views.notification_id_at(history, T0)
    views.scan_history(history, HistorySearch(text="x", statuses=("failed",), node="db1"), 50, backward=True, limit=5)
    views.still_matching(history, HistorySearch(event="app/1"), (5, 6))
    walked = [step for step in plans if step.startswith("SCAN") and "USING" not in step]
    assert plans
    assert [step for step in walked if "json_each" not in step and "CONSTANT ROW" not in step] == []


def begun(connection: apsw.Connection, *seconds: int) -> None:
    """Notifications 1, 2, ... begun at these times."""
    about = add_event(connection, "app/0", "ERROR", T0)
    for number, at in enumerate(seconds, 1):
        row = NotificationRow(number, "disk", 1, about, None, None, "delivered")
        notifications.add_notification(connection, row, T0 + at * SECOND)


DAY = 86_400


def selected(connection: apsw.Connection, since: int | None, until: int | None) -> list[int]:
    which = HistoryFilter(
        since=None if since is None else T0 + since * SECOND, until=None if until is None else T0 + until * SECOND
    )
    return [row.id for row in views.notifications(connection, which, 1000)]


def test_a_window_of_time_is_whole_though_coordinators_clocks_disagree(connection: apsw.Connection) -> None:
    """Four days in which every other coordinator's clock is most of a day ahead."""
    times = [at * 3600 + (DAY - 1 if at % 7 < 3 else 0) for at in range(96)]
    begun(connection, *times)
    for since in range(-DAY, 6 * DAY, 20_000):
        for until in (since, since + 3600, since + DAY, None):
            expected = [n for n, at in enumerate(times, 1) if at >= since and (until is None or at <= until)]
            assert selected(connection, since, until) == expected
    assert selected(connection, None, 3 * DAY) == [n for n, at in enumerate(times, 1) if at <= 3 * DAY]


def test_a_window_reads_no_more_than_a_day_around_it(connection: apsw.Connection) -> None:
    """There is no index on the time, and what lies further away is not looked at all the same."""
    begun(connection, *range(0, 400 * DAY, 3600))
    window = HistoryFilter(since=T0 + 200 * DAY * SECOND, until=T0 + 201 * DAY * SECOND)
    step = views.notifications_before(connection, window, None, 1000)
    assert (len(step.rows), step.position) == (25, None)
    reach = history_steps._reach(connection, window)
    assert reach.last - reach.first <= 3 * 24 + 2


def test_what_is_seldom_is_sought_in_steps(connection: apsw.Connection) -> None:
    begun(connection, *range(100))
    connection.execute("UPDATE notifications SET status = 'failed' WHERE id IN (3, 77, 78)")
    connection.execute("DELETE FROM notifications WHERE id BETWEEN 20 AND 60")
    which, steps, position = HistoryFilter(status="failed"), [], None
    while True:
        step = views.notifications_before(connection, which, position, 2, span=10)
        steps.append([row.id for row in step.rows])
        if (position := step.position) is None:
            break
    assert steps == [[], [], [77, 78], [], [], [], [], [], [], [3]]
    found = views.newest(lambda at, left: views.notifications_before(connection, which, at, left, span=10), 2)
    assert [row.id for row in found] == [77, 78]


def test_a_damaged_time_is_passed_over(connection: apsw.Connection) -> None:
    begun(connection, *range(0, 10 * DAY, 3600))
    connection.execute("UPDATE notifications SET created_at = 'never' WHERE id % 5 = 0 OR id > 200")
    assert selected(connection, 5 * DAY, 5 * DAY + 7200) == [121, 122, 123]
    assert views.notification_id_at(connection, T0 + 9 * DAY * SECOND) is None
