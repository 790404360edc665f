"""The notification engine: fig. 7 for any number of notifications at once, without I/O (spec 4, design section 7).

Role: decides who is told, in which order, what an answer, a time limit and a node's end mean. The shell does the rest:

    engine = Engine(own, slack, new_id, next_id)
    for node, state in states: engine.handle(NodeChanged(node, state), now)
    actions = engine.restore(unfinished, now)            # once, after taking over or after a rollback
    while leading:
        ...                                              # wait for input, or until engine.next_deadline()
        with one transaction:
            actions = [*engine.handle(input, now)..., *engine.tick(now)]
            for action in actions: store(action)         # a RaiseFailure: store the event, handle its Notify, go on
        for action in actions: send(action)              # only after the commit

Rules: `actions.py` declares the order of writing and what a crash does; `fig7.py` has every transition. What was
handed in before a tick counts as in time, so answers that waited behind a slow commit are not lost. Attempts have a
total order (notification, place), in which equal deadlines fall and a lost node's attempts end. The work of an input
is independent of how many notifications are under way, but for a logarithm in the deadlines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, assert_never

from noroshi.node.core.actions import (
    Action,
    AttemptEnded,
    AttemptRepeated,
    AttemptSkipped,
    AttemptStarted,
    Closed,
    Held,
    LateAnswer,
    Opened,
    RaiseFailure,
)
from noroshi.node.core.deadlines import Deadlines
from noroshi.node.core.fig7 import FINAL, Found, Step, follow
from noroshi.node.core.notification import Attempt, Notification
from noroshi.node.core.reasons import Reason, because, seconds
from noroshi.node.core.subject import (
    Answered,
    Hold,
    Input,
    Left,
    NodeChanged,
    NodeState,
    Notify,
    Outcome,
    PastAttempt,
    PendingNotification,
    Subject,
)

__all__ = [
    "Action",
    "Answered",
    "AttemptEnded",
    "AttemptRepeated",
    "AttemptSkipped",
    "AttemptStarted",
    "Closed",
    "Engine",
    "Held",
    "Hold",
    "Input",
    "LateAnswer",
    "Left",
    "NodeChanged",
    "NodeState",
    "Notify",
    "Opened",
    "Outcome",
    "PastAttempt",
    "PendingNotification",
    "RaiseFailure",
    "Subject",
]

_SKIPPED = {"DOWN": Reason.NODE_DOWN, "STOPPED": Reason.NODE_STOPPED}
_LOST = {"DOWN": Reason.WENT_DOWN, "STOPPED": Reason.WAS_STOPPED}


class Engine:
    """`own_node` is the coordinator's; `slack` in seconds is added to a node's time limit to give the coordinator's;
    `new_delivery_id` gives random ids never given before; `next_id` is the first free notification id."""

    def __init__(self, own_node: str, slack: float, new_delivery_id: Callable[[], str], next_id: int = 1) -> None:
        self._own, self._slack, self._new_delivery_id, self._next_id = own_node, slack, new_delivery_id, next_id
        self._now = 0.0
        self._actions: list[Action] = []
        self._nodes: dict[str, NodeState] = {}
        self._attempts: dict[str, Attempt] = {}
        self._on_node: dict[str, set[Attempt]] = {}
        self._deadlines = Deadlines()
        self._steps: dict[Step, Callable[[Notification], Found | None]] = {
            Step.FIRST_GROUP: self._take_group,
            Step.LIVENESS: self._look_who_is_live,
            Step.SEND: self._send,
            Step.WAIT: self._rest,
            Step.JUDGE: Notification.verdict,
            Step.DONE: self._done,
            Step.NEXT_GROUP: self._look_for_another,
            Step.TAKE_NEXT: self._take_group,
            Step.KIND: self._look_what_it_was,
            Step.RAISE: self._raise,
            Step.ABANDON: self._abandon,
        }

    @property
    def next_id(self) -> int:
        """The number of the next notification."""
        return self._next_id

    @property
    def outstanding(self) -> int:
        """Deliveries sent and not ended."""
        return len(self._attempts)

    def handle(self, input: Input, now: float) -> list[Action]:
        """Take one input; `now` in monotonic seconds. Time limits are left to `tick`."""
        self._now = now
        match input:
            case Notify():
                self._notify(input)
            case Hold():
                self._hold(input)
            case Answered():
                self._answered(input)
            case NodeChanged():
                self._node_changed(input)
            case Left():
                self._left(input)
            case _:
                assert_never(input)
        return self._taken()

    def tick(self, now: float) -> list[Action]:
        """End the attempts whose time limit is over (S5)."""
        self._now = now
        while (attempt := self._deadlines.pop_due(now)) is not None:
            limit = f"{seconds(attempt.timeout)} + {seconds(self._slack)}"
            self._end(attempt, "timeout", because(Reason.NO_ANSWER, limit), "", Found.TIME_OVER)
        return self._taken()

    def next_deadline(self) -> float | None:
        """When `tick` is due, monotonic seconds; None while nothing is under way."""
        return self._deadlines.first()

    def restore(self, pending: Sequence[PendingNotification], now: float) -> list[Action]:
        """Go on with what the database has, in a new engine that was told the node states.

        Unanswered deliveries are repeated under their ids, their time limits begin again in full; those on nodes that
        are DOWN or STOPPED end. Raises ValueError where a notification does not fit its definition, nothing of that
        one taken; so it may be called once for each, in the order of their ids, and one damaged row stops no other.
        """
        self._now = now
        for past in sorted(pending, key=lambda notification: notification.id):
            self._restore(past)
        return self._taken()

    def _taken(self) -> list[Action]:
        taken, self._actions = self._actions, []
        return taken

    # --- inputs ---------------------------------------------------------------------------------------------------

    def _notify(self, input: Notify) -> None:
        new = Notification.new(self._next_id, input.definition, input.subject, input.cause)
        self._next_id += 1
        self._actions.append(Opened(new.id, new.definition.name, new.definition.version, new.subject, new.cause))
        self._enter(new)

    def _hold(self, hold: Hold) -> None:
        one = hold.definition
        self._actions.append(Held(self._next_id, one.name, one.version, hold.subject, hold.by, hold.reason))
        self._next_id += 1

    def _enter(self, new: Notification) -> None:
        """To S2: from S1, or with a notification failure from S11."""
        self._walk(new, Found.RAISED if new.step is Step.RAISE else Found.IS_DEFINED)

    def _answered(self, answer: Answered) -> None:
        attempt = self._attempts.get(answer.delivery)
        reason = answer.reason or Reason.ANSWERED.value
        if attempt is None:
            self._actions.append(LateAnswer(answer.delivery, answer.outcome, reason, answer.output))
        else:
            self._end(attempt, answer.outcome, reason, answer.output, Found.ANSWERED)

    def _node_changed(self, change: NodeChanged) -> None:
        self._nodes[change.node] = change.state
        lost = _LOST.get(change.state)
        if lost is not None:
            for attempt in sorted(self._on_node.get(change.node, ()), key=lambda attempt: attempt.order):
                self._end(attempt, "failed", lost.value, "", Found.NODE_LOST)

    def _left(self, left: Left) -> None:
        attempt = self._attempts.get(left.delivery)
        if attempt is not None and attempt.deadline == math.inf:
            self._limit(attempt)

    def _restore(self, past: PendingNotification) -> None:
        old = Notification.restored(past)
        self._next_id = max(self._next_id, old.id + 1)
        out = [attempt for attempt in old.attempts if attempt.outcome is None]
        for attempt in out:
            self._watch(attempt)
            if self._nodes.get(attempt.node) not in _LOST:
                self._actions.append(AttemptRepeated(_started(attempt)))
        if past.status == "pending":
            self._resume(old)
        for attempt in out:
            lost = _LOST.get(self._nodes.get(attempt.node, "UP"))
            if lost is not None:
                self._end(attempt, "failed", lost.value, "", Found.NODE_LOST)

    def _resume(self, old: Notification) -> None:
        """Nothing to do where a delivery is out, as after every commit; else it is taken up where it was left."""
        if not old.attempts:
            self._enter(old)
        elif old.verdict() is not Found.OTHERS_OUT:
            self._walk(old, Found.ANSWERED)

    # --- attempts -------------------------------------------------------------------------------------------------

    def _watch(self, attempt: Attempt) -> None:
        self._attempts[attempt.delivery] = attempt
        self._on_node.setdefault(attempt.node, set()).add(attempt)
        if not attempt.deferred:
            self._limit(attempt)

    def _limit(self, attempt: Attempt) -> None:
        """Its time limit begins now."""
        attempt.deadline = self._now + attempt.timeout + self._slack
        self._deadlines.add(attempt, len(self._attempts))

    def _end(
        self, attempt: Attempt, outcome: Literal["delivered", "failed", "timeout"], reason: str, output: str, how: Found
    ) -> None:
        """Record how an attempt ended and go where that leads; `how` is what S5 found."""
        del self._attempts[attempt.delivery]
        self._on_node[attempt.node].discard(attempt)
        notification = attempt.notification
        self._actions.append(AttemptEnded(notification.id, attempt.delivery, outcome, reason, output))
        awaited = notification.waits_for(attempt)
        notification.ended(attempt, outcome, reason)
        if not awaited:
            how = Found.STRAGGLER
        elif how is not Found.ANSWERED and notification.verdict() is Found.OTHERS_OUT:
            how = Found.OTHERS_OUT
        self._walk(notification, how)

    # --- the steps of fig. 7 ----------------------------------------------------------------------------------------

    def _walk(self, notification: Notification, found: Found | None) -> None:
        """Follow the figure from where the notification rests to where it rests next."""
        while found is not None:
            step = follow(notification.step, found)
            if step is notification.step:
                return
            notification.step = step
            found = self._steps[step](notification)

    def _take_group(self, notification: Notification) -> Found:
        notification.take_group()
        return Found.TAKEN

    def _look_who_is_live(self, notification: Notification) -> Found:
        group = notification.plan[notification.first : notification.end]
        if any(self._nodes.get(destination.node or self._own) not in _SKIPPED for destination in group):
            return Found.LIVE
        self._try_group(notification)
        return Found.ALL_DOWN

    def _send(self, notification: Notification) -> Found:
        self._try_group(notification)
        return Found.SENT

    def _try_group(self, notification: Notification) -> None:
        """One attempt for each destination of the group, in order: sent where its node is live, else skipped."""
        for number in range(notification.first, notification.end):
            node = notification.plan[number].node or self._own
            attempt = Attempt(notification, number, self._new_delivery_id(), node)
            skipped = _SKIPPED.get(self._nodes.get(node, "UP"))
            if skipped is not None:
                notification.add(attempt, skipped=True, reason=skipped.value)
                self._actions.append(_skipped(attempt))
            else:
                notification.add(attempt, skipped=False)
                self._watch(attempt)
                self._actions.append(_started(attempt))

    def _rest(self, _notification: Notification) -> None:
        return None

    def _look_for_another(self, notification: Notification) -> Found:
        return Found.ANOTHER if notification.has_next else Found.NONE_LEFT

    def _look_what_it_was(self, notification: Notification) -> Found:
        if notification.cause.notice == "test":
            return Found.TEST
        return Found.FAILURE if notification.subject.kind == "failure-event" else Found.ORDINARY

    def _done(self, notification: Notification) -> None:
        self._close(notification, notification.why_delivered())

    def _raise(self, notification: Notification) -> None:
        self._close(notification, because(Reason.NO_GROUP_LEFT, notification.why_failed()))
        self._actions.append(RaiseFailure(notification.id, notification.failure_supplement()))

    def _abandon(self, notification: Notification) -> None:
        what = Reason.TEST_FAILED if notification.cause.notice == "test" else Reason.FAILURE_UNTOLD
        self._close(notification, because(what, notification.why_failed()))

    def _close(self, notification: Notification, reason: str) -> None:
        self._actions.append(Closed(notification.id, FINAL[notification.step], reason))


def _started(attempt: Attempt) -> AttemptStarted:
    destination, notification = attempt.destination, attempt.notification
    return AttemptStarted(
        notification=notification.id,
        delivery=attempt.delivery,
        priority=destination.priority,
        node=attempt.node,
        procedure=destination.procedure,
        application=destination.application,
        wait=destination.wait,
        reply=destination.reply,
        timeout=attempt.timeout,
        payload=notification.subject.payload,
        deferred=attempt.deferred,
    )


def _skipped(attempt: Attempt) -> AttemptSkipped:
    destination = attempt.destination
    return AttemptSkipped(
        notification=attempt.notification.id,
        delivery=attempt.delivery,
        priority=destination.priority,
        node=attempt.node,
        procedure=destination.procedure,
        application=destination.application,
        reason=attempt.reason,
    )
