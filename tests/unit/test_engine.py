"""The engine where transcripts do not reach: limits, orders, what restore refuses, what never matters."""

from __future__ import annotations

import json

import pytest
from ledger import Desk

from noroshi.node.core.deadlines import Deadlines
from noroshi.node.core.engine import (
    Action,
    Answered,
    AttemptEnded,
    AttemptRepeated,
    AttemptSkipped,
    AttemptStarted,
    Closed,
    Engine,
    LateAnswer,
    NodeChanged,
    Notify,
    Opened,
    PastAttempt,
    PendingNotification,
    RaiseFailure,
    Subject,
)
from noroshi.node.core.notification import Attempt, Notification
from noroshi.node.core.reasons import Reason, because, named, shorten
from noroshi.store.model import Definition, Destination

EVENT = Subject("event", "raid/db1/md0 DEGRADED", b'{"event": "raid/db1/md0"}', event_id=7)


def definition(*notify: Destination, **fields: object) -> Definition:
    return Definition(name="disk", kind="event", version=3, notify=notify, **fields)


def destination(priority: int, node: str | None, **fields: object) -> Destination:
    return Destination(priority, node, "process", ["page"], **fields)


TWO = definition(destination(1, "db2"), destination(2, "db3"))


def new_engine(next_id: int = 1, slack: float = 2.0) -> Engine:
    ids = iter(range(1, 1_000_000))
    return Engine("db1", slack, lambda: f"D{next(ids)}", next_id)


def kinds(actions: list[Action]) -> list[type]:
    return [type(action) for action in actions]


def test_a_start_carries_all_that_is_stored_and_sent() -> None:
    chosen = Destination(1, "db2", "message", {"key": 5}, wait="started", reply="required", timeout=3.0)
    opened, started = new_engine(next_id=9).handle(Notify(definition(chosen), EVENT), 0.0)
    assert opened == Opened(9, "disk", 3, EVENT)
    assert started == AttemptStarted(
        9, "D1", 1, "db2", "message", {"key": 5}, "started", "required", 3.0, EVENT.payload
    )


def test_a_skip_carries_all_that_is_stored() -> None:
    engine = new_engine()
    engine.handle(NodeChanged("db2", "STOPPED"), 0.0)
    skipped = engine.handle(Notify(TWO, EVENT), 0.0)[1]
    assert skipped == AttemptSkipped(1, "D1", 1, "db2", "process", ["page"], "node is stopped")


def test_nothing_to_notify_with_is_refused_and_changes_nothing() -> None:
    engine = new_engine()
    with pytest.raises(ValueError, match="nothing is defined for raid/db1/md0 DEGRADED"):
        engine.handle(Notify(None, EVENT), 0.0)
    assert engine.handle(Notify(TWO, EVENT), 0.0)[0] == Opened(1, "disk", 3, EVENT)


def test_no_destination_takes_the_definitions_time_limit_on_the_own_node() -> None:
    _, started = new_engine().handle(Notify(definition(timeout=4.0), EVENT), 0.0)
    assert (started.node, started.procedure, started.application, started.timeout) == ("db1", "default", None, 4.0)


def test_the_own_node_is_skipped_like_any_other() -> None:
    engine = new_engine()
    engine.handle(NodeChanged("db1", "DOWN"), 0.0)
    assert kinds(engine.handle(Notify(definition(), EVENT), 0.0)) == [Opened, AttemptSkipped, Closed, RaiseFailure]


def test_the_order_of_writing_when_the_last_group_fails() -> None:
    engine = new_engine()
    engine.handle(Notify(definition(destination(1, "db2")), EVENT), 0.0)
    ended, closed, raised = engine.handle(Answered("D1", "failed", "exit status 1"), 0.0)
    assert ended == AttemptEnded(1, "D1", "failed", "exit status 1")
    assert closed == Closed(1, "failed", "no group left: db2: exit status 1")
    assert json.loads(raised.supplement) == {
        "notification": 1,
        "definition": "disk",
        "about": "raid/db1/md0 DEGRADED",
        "why": "db2: exit status 1",
    }


def test_the_failure_supplement_stays_small_whatever_it_tells_of() -> None:
    engine = new_engine()
    many = definition(*(destination(1, f"db{number}") for number in range(200)))
    engine.handle(Notify(many, Subject("line", "x" * 100_000, b"", log_id=1)), 0.0)
    actions = [engine.handle(Answered(f"D{number}", "failed", "y" * 1000), 0.0) for number in range(1, 201)]
    assert len(actions[-1][-1].supplement) < 700


def test_an_answer_without_a_reason_is_given_one_and_output_is_kept() -> None:
    engine = new_engine()
    engine.handle(Notify(TWO, EVENT), 0.0)
    ended = engine.handle(Answered("D1", "delivered", output="paged"), 0.0)[0]
    assert ended == AttemptEnded(1, "D1", "delivered", "the node answered", "paged")


@pytest.mark.parametrize("delivery", ["never given", "D1"])
def test_an_answer_to_nothing_under_way_is_recorded_only(delivery: str) -> None:
    engine = new_engine()
    engine.handle(Notify(TWO, EVENT), 0.0)
    engine.handle(Answered("D1", "delivered"), 0.0)
    late = engine.handle(Answered(delivery, "failed", "interrupted", "some"), 0.0)
    assert late == [LateAnswer(delivery, "failed", "interrupted", "some")]


def test_two_destinations_on_one_node_both_end_with_it() -> None:
    engine = new_engine()
    engine.handle(Notify(definition(destination(1, "db2"), destination(1, "db2"), enough="all"), EVENT), 0.0)
    actions = engine.handle(NodeChanged("db2", "DOWN"), 0.0)
    assert kinds(actions) == [AttemptEnded, Closed, RaiseFailure, AttemptEnded]
    assert [action.delivery for action in actions if isinstance(action, AttemptEnded)] == ["D1", "D2"]


def test_the_attempts_of_a_lost_node_end_in_the_order_they_were_started() -> None:
    engine = new_engine()
    for _ in range(12):
        engine.handle(Notify(TWO, EVENT), 0.0)
    actions = engine.handle(NodeChanged("db2", "DOWN"), 0.0)
    ended = [action.delivery for action in actions if isinstance(action, AttemptEnded)]
    assert ended == [f"D{number}" for number in range(1, 13)]


def test_a_lost_node_is_not_tried_again_by_what_its_end_starts() -> None:
    engine = new_engine()
    engine.handle(Notify(definition(destination(1, "db2"), destination(2, "db2")), EVENT), 0.0)
    assert kinds(engine.handle(NodeChanged("db2", "DOWN"), 0.0)) == [AttemptEnded, AttemptSkipped, Closed, RaiseFailure]


def test_what_arrived_before_the_tick_is_in_time() -> None:
    engine = new_engine()
    engine.handle(Notify(TWO, EVENT), 0.0)
    assert kinds(engine.handle(Answered("D1", "delivered"), 100.0)) == [AttemptEnded, Closed]
    assert engine.tick(100.0) == []


def test_next_deadline_is_the_nearest_of_those_under_way() -> None:
    engine = new_engine(slack=0.5)
    assert engine.next_deadline() is None
    both = definition(destination(1, "db2", timeout=1.0), destination(1, "db3"), timeout=7.0)
    engine.handle(Notify(both, EVENT), 10.0)
    assert engine.next_deadline() == 11.5
    engine.handle(Answered("D1", "failed"), 10.0)
    assert engine.next_deadline() == 17.5
    engine.handle(Answered("D2", "delivered"), 10.0)
    assert engine.next_deadline() is None
    assert engine.outstanding == 0


def test_equal_deadlines_fall_in_the_order_of_notifications() -> None:
    engine = new_engine()
    for _ in range(3):
        engine.handle(Notify(definition(destination(1, "db2"), destination(1, "db3")), EVENT), 0.0)
    ended = [action.delivery for action in engine.tick(60.0) if isinstance(action, AttemptEnded)]
    assert ended == ["D1", "D2", "D3", "D4", "D5", "D6"]


def test_ended_attempts_do_not_pile_up_in_the_deadlines() -> None:
    deadlines = Deadlines()
    one = definition(destination(1, "db2"))
    for number in range(10_000):
        attempt = Attempt(Notification.new(number, one, EVENT), 0, f"D{number}", "db2", deadline=3600.0)
        deadlines.add(attempt, live=1)
        attempt.outcome = "delivered"
    assert len(deadlines) < 100
    assert deadlines.first() is None


# --- restore ---------------------------------------------------------------------------------------------------------


def pending(*attempts: PastAttempt, status: str = "pending", subject: Subject = EVENT) -> PendingNotification:
    return PendingNotification(5, TWO, subject, status, attempts)


def test_restore_repeats_what_is_unanswered_and_begins_its_limit_again() -> None:
    engine = new_engine()
    repeated = engine.restore([pending(PastAttempt("X", 1, "db2", None))], 100.0)
    assert repeated == [
        AttemptRepeated(AttemptStarted(5, "X", 1, "db2", "process", ["page"], "exited", "none", 10.0, EVENT.payload))
    ]
    assert engine.next_deadline() == 112.0
    assert engine.handle(Notify(TWO, EVENT), 100.0)[0].notification == 6


def test_restore_goes_on_in_the_group_it_was_in() -> None:
    engine = new_engine()
    engine.restore([pending(PastAttempt("X", 1, "db2", "timeout", "late"), PastAttempt("Y", 2, "db3", None))], 0.0)
    ended, closed, _ = engine.handle(Answered("Y", "failed", "exit status 1"), 0.0)
    assert ended.delivery == "Y"
    assert closed == Closed(5, "failed", "no group left: db2: late; db3: exit status 1")


def test_restore_of_a_closed_notification_repeats_its_straggler_and_closes_nothing_again() -> None:
    engine = new_engine()
    both = definition(destination(1, "db2"), destination(1, "db3"))
    past = PendingNotification(
        5, both, EVENT, "delivered", (PastAttempt("X", 1, "db2", "delivered"), PastAttempt("Y", 1, "db3", None))
    )
    assert kinds(engine.restore([past], 0.0)) == [AttemptRepeated]
    assert kinds(engine.tick(60.0)) == [AttemptEnded]


def test_restore_ends_what_was_awaited_from_a_node_that_is_down_now() -> None:
    engine = new_engine()
    engine.handle(NodeChanged("db2", "DOWN"), 0.0)
    ended, started = engine.restore([pending(PastAttempt("X", 1, "db2", None))], 0.0)
    assert ended == AttemptEnded(5, "X", "failed", "node went down before it answered")
    assert (started.node, started.priority) == ("db3", 2)


def test_restore_begins_with_a_notification_that_has_no_attempt_yet() -> None:
    assert [action.node for action in new_engine().restore([pending()], 0.0)] == ["db2"]
    failure = Subject("failure-event", "notification-failure ERROR", b"", event_id=9, failure_of=4)
    assert [action.node for action in new_engine().restore([pending(subject=failure)], 0.0)] == ["db2"]


def test_restore_judges_a_group_that_nobody_judged() -> None:
    engine = new_engine()
    (started,) = engine.restore([pending(PastAttempt("X", 1, "db2", "failed", "exit status 1"))], 0.0)
    assert (started.node, started.priority) == ("db3", 2)
    (closed,) = new_engine().restore([pending(PastAttempt("X", 1, "db2", "delivered"))], 0.0)
    assert closed == Closed(5, "delivered", "a destination delivered: db2")


@pytest.mark.parametrize(
    "attempts",
    [
        (PastAttempt("X", 2, "db2", None),),
        (PastAttempt("X", 1, "db2", "failed"), PastAttempt("Y", 2, "db3", "failed"), PastAttempt("Z", 2, "db3", None)),
    ],
)
def test_restore_refuses_attempts_that_do_not_fit_the_definition(attempts: tuple[PastAttempt, ...]) -> None:
    with pytest.raises(ValueError, match=r"notification 5: attempt . fits no destination"):
        new_engine().restore([pending(*attempts)], 0.0)


def test_a_notification_that_cannot_be_restored_stops_no_other() -> None:
    engine = new_engine()
    lost = PendingNotification(4, None, EVENT, "pending", (PastAttempt("W", 1, "db2", None),))
    with pytest.raises(ValueError, match="notification 4: nothing is defined"):
        engine.restore([lost], 0.0)
    assert engine.outstanding == 0
    assert kinds(engine.restore([pending(PastAttempt("X", 1, "db2", None))], 0.0)) == [AttemptRepeated]


def test_a_rolled_back_transaction_is_forgotten_by_building_anew() -> None:
    desk = Desk(definitions=[TWO])
    desk.event("raid/db1/md0", "DEGRADED")
    desk.rolled_back(lambda: desk.give(Answered("D1", "failed", "exit status 1")))
    assert [type(action) for action in desk.take_over()] == [AttemptRepeated]
    assert kinds(desk.give(Answered("D1", "delivered"))) == [AttemptEnded, Closed]


# --- reasons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", Reason)
def test_a_stored_reason_names_its_decision(reason: Reason) -> None:
    assert named(because(reason)) is reason
    assert named(because(reason, "db2: exit status 1")) is reason


def test_a_nodes_own_words_name_no_decision() -> None:
    assert named("exit status 1: node is") is None
    assert shorten("12345", 4) == "123…"
