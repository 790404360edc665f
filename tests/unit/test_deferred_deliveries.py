"""Deferred deliveries in the coordinator: when their time limit begins, how many may wait, who goes at once."""

from __future__ import annotations

import math
from pathlib import Path

from coordinating import Coordinating
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.coordinator.riding import WAITING_MOST, Riding
from noroshi.node.core.engine import (
    Answered,
    AttemptEnded,
    AttemptRepeated,
    AttemptStarted,
    Closed,
    Engine,
    Left,
    NodeChanged,
    Notify,
    PastAttempt,
    PendingNotification,
    Subject,
)
from noroshi.node.core.reasons import Reason, named
from noroshi.node.daemon.deferring.deliveries import CUT, fitting
from noroshi.node.wire import codec
from noroshi.node.wire import messages as wire
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import PROTOCOL, Answer, Deliver
from noroshi.store.model import Definition, Destination

EVENT = Subject("event", "app/x ERROR", b"{}", event_id=7)
DEFERRED = Definition(
    name="later",
    kind="event",
    version=1,
    delivery="deferred",
    timeout=10.0,
    notify=(Destination(1, "db2", "process", ["page"]), Destination(2, "db3", "process", ["page"])),
)
SLACK = 2.0


def engine() -> Engine:
    ids = iter(range(1, 100))
    return Engine("db1", SLACK, lambda: f"D{next(ids)}")


def test_the_time_limit_begins_when_it_leaves() -> None:
    one = engine()
    _, started = one.handle(Notify(DEFERRED, EVENT), 0.0)
    assert isinstance(started, AttemptStarted) and started.deferred
    assert one.next_deadline() is None
    assert one.tick(1e6) == []
    assert one.handle(Left("D1"), 1e6) == []
    assert one.next_deadline() == 1e6 + 10.0 + SLACK
    assert one.handle(Left("D1"), 1e6 + 5.0) == []
    assert one.next_deadline() == 1e6 + 10.0 + SLACK, "only the first packet counts"
    ended = one.tick(1e6 + 12.0)[0]
    assert isinstance(ended, AttemptEnded)
    assert (ended.outcome, named(ended.reason)) == ("timeout", Reason.NO_ANSWER)


def test_an_answer_before_anybody_said_it_left_counts() -> None:
    one = engine()
    one.handle(Notify(DEFERRED, EVENT), 0.0)
    ended, closed = one.handle(Answered("D1", "delivered"), 1.0)
    assert isinstance(ended, AttemptEnded) and isinstance(closed, Closed)
    assert one.handle(Left("D1"), 2.0) == []
    assert one.next_deadline() is None


def test_a_node_that_goes_down_ends_what_waits_for_a_packet() -> None:
    one = engine()
    one.handle(Notify(DEFERRED, EVENT), 0.0)
    ended, started = one.handle(NodeChanged("db2", "DOWN"), 1.0)
    assert isinstance(ended, AttemptEnded) and ended.outcome == "failed"
    assert isinstance(started, AttemptStarted) and started.node == "db3" and started.deferred


def test_a_take_over_repeats_it_and_it_waits_again() -> None:
    one = engine()
    past = PendingNotification(1, DEFERRED, EVENT, "pending", (PastAttempt("old", 1, "db2", None),))
    (repeated,) = one.restore([past], 50.0)
    assert isinstance(repeated, AttemptRepeated) and repeated.attempt.deferred
    assert one.next_deadline() is None
    one.handle(Left("old"), 60.0)
    assert one.next_deadline() == 60.0 + 10.0 + SLACK


def test_left_is_nothing_to_an_immediate_delivery() -> None:
    one = engine()
    immediate = Definition(name="now", kind="event", version=1, timeout=10.0, notify=DEFERRED.notify)
    _, started = one.handle(Notify(immediate, EVENT), 0.0)
    assert isinstance(started, AttemptStarted) and not started.deferred
    assert one.next_deadline() == 12.0
    assert one.handle(Left("D1"), 5.0) == one.handle(Left("nobody's"), 5.0) == []
    assert one.next_deadline() == 12.0


# --- what may wait ------------------------------------------------------------------------------------------------


def deliver(delivery: str, size: int = 100) -> Deliver:
    return Deliver(PROTOCOL, "c", 1, delivery, "process", ["page"], "exited", "none", 10.0, bytes(size))


def test_what_is_too_big_for_a_packet_does_not_ride() -> None:
    small, big = deliver("a", 100), deliver("b", 5000)
    riding = Riding(len(encode(small)))
    assert riding.takes("db2", small)
    assert not riding.takes("db2", big)
    assert not Riding(0).takes("db2", small), "a daemon that does not say how much it carries"


def test_no_more_waits_for_one_node_than_its_bound() -> None:
    riding = Riding(10**6)
    size = len(encode(deliver("0000", 1000)))
    most = WAITING_MOST // size
    assert all(riding.takes("db2", deliver(f"{number:04}", 1000)) for number in range(most))
    assert not riding.takes("db2", deliver("next", 1000))
    assert riding.takes("db3", deliver("next", 1000)), "each node has its own"
    riding.gone("0000")
    riding.gone("nobody's")
    assert riding.takes("db2", deliver("next", 1000))
    assert not riding.takes("db2", deliver("last", 1000))


# --- outcomes -----------------------------------------------------------------------------------------------------


@given(st.text(max_size=5000), st.text(max_size=600), st.integers(200, 4000))
def test_an_outcome_fits_a_packet_and_keeps_the_last_of_its_output(output: str, reason: str, most: int) -> None:
    answer = Answer("d" * 16, "failed", reason, output)
    body = fitting(answer, most)
    assert len(body) <= most
    kept = codec.answers.decode(body)
    assert (kept.delivery, kept.outcome) == (answer.delivery, answer.outcome)
    if kept != answer:
        assert reason.startswith(kept.reason)
        assert kept.output == "" or (kept.output.startswith(CUT) and output.endswith(kept.output.removeprefix(CUT)))


def test_an_outcome_that_fits_is_left_alone() -> None:
    answer = Answer("d" * 16, "failed", "exit status 7", "no line to the pager")
    assert fitting(answer, 4000) == encode(answer)
    assert math.isclose(len(fitting(Answer("d", "failed", "r", "x" * 4096), 1000)), 1000, abs_tol=8)


LATER = """
events:
  - name: later
    match: {event: x}
    delivery: deferred
    timeout: 10s
    notify: [{priority: 1, node: db2}, {priority: 2, node: db3}]
"""


def test_what_left_in_a_packet_and_is_not_answered_is_over_after_its_time_limit(tmp_path: Path) -> None:
    """Through the coordinator, also where another goes on: its daemon has nothing yet, so it is packed anew."""
    desk = Coordinating(tmp_path / "shared", item_most=3000)
    desk.define(LATER)
    desk.event("x", "ERROR")
    desk.wait(1000)
    assert [one.node for one in desk.carried] == ["db2"] and desk.deliveries == [], "it waits for its packet"
    desk.take_over("db4")
    assert [one.message.delivery for one in desk.carried] == [desk.carried[0].message.delivery] * 2
    desk.turn(wire.Left([desk.carried[0].message.delivery]))
    assert desk.due_in() == 12.0
    desk.wait(11.9)
    assert len(desk.carried) == 2
    desk.wait(0.1)
    assert desk.carried[2].node == "db3"
    desk.close()
