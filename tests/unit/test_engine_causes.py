"""Notifications that are begun for another reason than a change: plans of their own, tests, what is held back."""

from __future__ import annotations

from ledger import Desk

from noroshi.node.core.engine import (
    Answered,
    AttemptRepeated,
    AttemptStarted,
    Closed,
    Held,
    Hold,
    Notify,
    Opened,
    RaiseFailure,
    Subject,
)
from noroshi.node.core.reasons import Reason, named
from noroshi.node.core.subject import Cause, Plan
from noroshi.store.model import Definition, Destination

EVENT = Subject("event", "raid/db1/md0 ERROR", b"{}", event_id=7)
TWO = Definition(
    name="disk", kind="event", version=3, notify=(Destination(1, "db2"), Destination(2, "db3"), Destination(2, "db4"))
)


def test_what_is_held_back_has_a_number_and_a_reason_and_nothing_is_sent() -> None:
    desk = Desk(definitions=[TWO])
    assert desk.give(Hold(TWO, EVENT, "silence 4", "silenced: upgrade")) == [
        Held(1, "disk", 3, EVENT, "silence 4", "silenced: upgrade")
    ]
    opened, *_ = desk.give(Notify(TWO, EVENT))
    assert opened == Opened(2, "disk", 3, EVENT)
    assert desk.ledger.notifications[1].status == "held"
    assert [
        started.attempt.notification for started in desk.take_over("db2") if isinstance(started, AttemptRepeated)
    ] == [2]


def test_a_plan_is_told_instead_of_the_definition_and_kept_over_a_take_over() -> None:
    desk = Desk(definitions=[TWO])
    cause = Cause("recovery", 5, Plan((Destination(1, "db4"), Destination(1, "db2")), "all"))
    opened, *started = desk.give(Notify(TWO, EVENT, cause))
    assert opened == Opened(1, "disk", 3, EVENT, cause)
    assert [one.node for one in started if isinstance(one, AttemptStarted)] == ["db4", "db2"]
    desk.give(Answered("D1", "delivered"))
    desk.take_over("db3")
    closed = desk.give(Answered("D2", "delivered"))[-1]
    assert isinstance(closed, Closed)
    assert (closed.status, named(closed.reason)) == ("delivered", Reason.ALL_DELIVERED)


def test_a_test_that_fails_is_recorded_and_raises_nothing() -> None:
    desk = Desk(definitions=[TWO])
    desk.give(Notify(TWO, EVENT, Cause("test", plan=Plan(TWO.notify[1:], "all"))))
    actions = desk.give(Answered("D1", "failed", "exit status 1"))
    assert not any(isinstance(action, RaiseFailure) for action in actions)
    closed = actions[-1]
    assert isinstance(closed, Closed)
    assert (closed.status, closed.reason) == ("abandoned", "a test, and no group left: db3: exit status 1")
    assert desk.ledger.failures == []


def test_a_repeat_that_fails_is_a_failure_like_any_other() -> None:
    desk = Desk(definitions=[TWO])
    desk.give(Notify(TWO, EVENT, Cause("repeat", 5, Plan(TWO.notify[:1]))))
    actions = desk.give(Answered("D1", "failed", "exit status 1"))
    assert any(isinstance(action, RaiseFailure) for action in actions)
