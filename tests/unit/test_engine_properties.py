"""What holds for any definitions, node states, answers and time limits; and that a crash anywhere changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import Desk

from noroshi.node.core.engine import Action, Answered, AttemptRepeated, AttemptSkipped, AttemptStarted, NodeChanged
from noroshi.node.core.notification import UNDEFINED, in_order
from noroshi.store.model import Definition, Destination

NODES = ["db1", "db2", "db3"]
DEAD = {"DOWN", "STOPPED"}
LONGER_THAN_ANY_LIMIT = 1000.0

destinations = st.builds(
    Destination,
    priority=st.integers(1, 3),
    node=st.sampled_from([*NODES, None]),
    procedure=st.just("process"),
    application=st.just(["page"]),
    timeout=st.sampled_from([None, 1.0, 5.0, 20.0]),
)
definitions = st.lists(
    st.builds(
        Definition,
        name=st.sampled_from(["a", "b", "c"]),
        kind=st.just("event"),
        event=st.sampled_from(["e", "e", "**", "notification-failure"]),
        enough=st.sampled_from(["any", "all"]),
        timeout=st.sampled_from([1.0, 10.0]),
        notify=st.lists(destinations, max_size=4).map(tuple),
        version=st.just(1),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.name,
)


@dataclass(frozen=True)
class Op:
    """One input to a desk; choices are made by what the ledger has then, so that they survive a crash."""

    kind: str
    choice: int = 0
    word: str = ""

    def __call__(self, desk: Desk) -> list[Action]:
        return getattr(self, self.kind)(desk)

    def event(self, desk: Desk) -> list[Action]:
        return desk.event("e", "ERROR")

    def answer(self, desk: Desk) -> list[Action]:
        return self._answer(desk, desk.ledger.unanswered())

    def late(self, desk: Desk) -> list[Action]:
        return self._answer(desk, list(desk.ledger.attempts))

    def _answer(self, desk: Desk, deliveries: list[str]) -> list[Action]:
        if not deliveries:
            return []
        return desk.give(Answered(deliveries[self.choice % len(deliveries)], self.word, "its reason"))

    def node(self, desk: Desk) -> list[Action]:
        return desk.give(NodeChanged(NODES[self.choice % len(NODES)], self.word))

    def tick(self, desk: Desk) -> list[Action]:
        return desk.tick(float(self.choice))

    def expire(self, desk: Desk) -> list[Action]:
        return desk.tick(LONGER_THAN_ANY_LIMIT)

    def take_over(self, desk: Desk) -> list[Action]:
        return desk.take_over(NODES[self.choice % len(NODES)])


numbers = st.integers(0, 12)
outcomes = st.sampled_from(["delivered", "failed"])
events = st.builds(Op, st.just("event"))
answers = st.builds(Op, st.sampled_from(["answer", "answer", "late"]), numbers, outcomes)
changes = st.builds(Op, st.just("node"), numbers, st.sampled_from(["UP", "SUSPECT", "DOWN", "STOPPED"]))
ticks = st.builds(Op, st.just("tick"), numbers)
take_overs = st.builds(Op, st.just("take_over"), numbers)


def beginning_with_an_event(op: st.SearchStrategy[Op], most: int) -> st.SearchStrategy[list[Op]]:
    return st.lists(op, min_size=most // 2, max_size=most).map(lambda ops: [Op("event"), *ops])


anything = beginning_with_an_event(st.one_of(events, answers, answers, changes, ticks, take_overs), 25)


def check_starts(desk: Desk, actions: list[Action]) -> None:
    for action in actions:
        if isinstance(action, AttemptStarted):
            assert desk.nodes.get(action.node) not in DEAD, "never an attempt on a node that is down"
        elif isinstance(action, AttemptRepeated):
            assert desk.nodes.get(action.attempt.node) not in DEAD
        elif isinstance(action, AttemptSkipped):
            assert desk.nodes[action.node] in DEAD


def check_notification(desk: Desk, number: int) -> None:
    """Its attempts follow its definition's order, and its status follows from its attempts."""
    row = desk.ledger.notifications[number]
    definition = desk.versions.get(row.definition, UNDEFINED)
    attempts = [attempt for _, attempt in desk.ledger.attempts_of(number)]
    plan = in_order(definition)
    assert [attempt.priority for attempt in attempts] == [one.priority for one in plan[: len(attempts)]]
    for attempt, one in zip(attempts, plan, strict=False):
        assert one.node in (None, attempt.node)
    last = [attempt.outcome for attempt in attempts if attempt.priority == attempts[-1].priority]
    sent = [outcome for outcome in last if outcome != "skipped"]
    if row.status == "delivered":
        # an answer in time that came after the end may still fail in an `any` group, never in an `all` group
        assert "delivered" in sent if definition.enough == "any" else set(sent) == {"delivered"}
    else:
        assert row.status == ("abandoned" if row.subject.kind == "failure-event" else "failed")
        assert len(attempts) == len(plan), "every group was tried"
        assert "delivered" not in sent if definition.enough == "any" else not sent or set(sent) != {"delivered"}


def drain(desk: Desk) -> None:
    """Nobody answers any more: everything ends within as many time limits as there can be groups."""
    for _ in range(2 * 4 + 1):
        check_starts(desk, desk.tick(LONGER_THAN_ANY_LIMIT))
    assert desk.ledger.unanswered() == []
    assert (desk.engine.outstanding, desk.engine.next_deadline()) == (0, None)


@settings(max_examples=300)
@given(definitions, anything)
def test_every_notification_ends_once_and_as_its_attempts_say(defined: list[Definition], ops: list[Op]) -> None:
    desk = Desk(definitions=defined)
    for op in ops:
        check_starts(desk, op(desk))
    drain(desk)
    for number in desk.ledger.notifications:
        check_notification(desk, number)


@given(definitions, anything)
def test_a_failure_is_told_once_and_never_its_own_failure(defined: list[Definition], ops: list[Op]) -> None:
    desk = Desk(definitions=defined)
    for op in ops:
        op(desk)
    drain(desk)
    rows = desk.ledger.notifications
    failed = [number for number, row in rows.items() if row.status == "failed"]
    assert sorted(raised.notification for raised in desk.ledger.failures) == failed
    for row in rows.values():
        if row.subject.kind == "failure-event":
            assert rows[row.subject.failure_of].subject.kind == "event"
    telling = sum(one.event != "e" for one in defined) or 1
    assert sum(row.subject.kind == "failure-event" for row in rows.values()) == len(failed) * telling


@given(definitions, anything)
def test_a_group_is_left_only_when_it_is_lost(defined: list[Definition], ops: list[Op]) -> None:
    desk = Desk(definitions=defined)
    at: dict[int, int] = {}
    for op in [*ops, *[Op("expire")] * 9]:
        before = desk.ledger.copy()
        for action in op(desk):
            if isinstance(action, AttemptStarted | AttemptSkipped):
                left = at.get(action.notification)
                if left is not None and left != action.priority:
                    check_left(desk, action.notification, left)
                at[action.notification] = action.priority
        for delivery, row in before.attempts.items():
            assert row.outcome in (None, desk.ledger.attempts[delivery].outcome), "an outcome never changes"


def check_left(desk: Desk, number: int, priority: int) -> None:
    outcomes = [row.outcome for _, row in desk.ledger.attempts_of(number) if row.priority == priority]
    definition = desk.versions.get(desk.ledger.notifications[number].definition, UNDEFINED)
    if definition.enough == "any":
        assert None not in outcomes
        assert "delivered" not in outcomes
    else:
        assert {"failed", "timeout"} & set(outcomes) or set(outcomes) == {"skipped"}


# --- a crash anywhere ----------------------------------------------------------------------------------------------

Crash = Callable[[Desk, Op], None]


def after_commit(desk: Desk, _op: Op) -> None:
    """The intent or outcome is committed; whether anything was sent does not matter, for all of it is repeated."""
    repeated = [action.attempt.delivery for action in desk.take_over()]
    assert repeated == desk.ledger.unanswered()


def before_commit(desk: Desk, op: Op) -> None:
    """The input was taken and decided on, and the transaction is lost; the input comes again."""
    desk.rolled_back(lambda: op(desk))
    after_commit(desk, op)


def transcript(defined: list[Definition], ops: list[Op], crash_at: int = -1, crash: Crash = after_commit) -> object:
    desk = Desk(definitions=defined)
    said = []
    for place, op in enumerate(ops):
        if place == crash_at:
            crash(desk, op)
        said += op(desk)
    return said, desk.ledger


# time passes only in steps longer than any limit: a limit that begins again then ends as it would have
in_steps = beginning_with_an_event(st.one_of(events, answers, answers, changes, st.builds(Op, st.just("expire"))), 12)


@settings(max_examples=60)
@given(definitions, in_steps, st.sampled_from([after_commit, before_commit]))
def test_an_engine_restored_between_any_two_steps_goes_on_as_if_never_stopped(
    defined: list[Definition], ops: list[Op], crash: Crash
) -> None:
    never_stopped = transcript(defined, ops)
    for place in range(len(ops)):
        assert transcript(defined, ops, place, crash) == never_stopped
