"""The notification manager (22c): the engine's shell in the coordinator.

Role: stores what the engine decides in the turn's transaction and lines up what the commit releases. After a take-over
or a rollback a new one is built from the database, which then behaves as the one that never stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence

import msgspec

from noroshi.node.coordinator import payload
from noroshi.node.coordinator.riding import Riding
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core import actions as act
from noroshi.node.core.engine import Engine
from noroshi.node.core.reasons import Reason, named
from noroshi.node.core.subject import (
    CHANGE,
    Answered,
    Cause,
    Hold,
    Input,
    Left,
    NodeChanged,
    NodeState,
    Notice,
    Notify,
    PastAttempt,
    PendingNotification,
    Plan,
    Subject,
)
from noroshi.node.wire.messages import PROTOCOL, Answer, Carry, Deliver
from noroshi.store.connection import Connection
from noroshi.store.model import Definition
from noroshi.store.tables import definitions, events, logs
from noroshi.store.tables import notifications as table
from noroshi.store.tables.notifications import AttemptRow, NotificationRow
from noroshi.store.values import Spoilt, blamed

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode

StoreFailure = Callable[[Connection, Turn, int, str], Sequence[Notify]]
"""Stores the notification-failure event of a notification; gives what is to be notified of it (S10)."""

Settled = Callable[[Connection, Turn, int], None]
HeardLate = Callable[[Connection, Turn, str], None]


def _nobody(_connection: Connection, _turn: Turn, _which: object) -> None:
    """Nothing follows."""


class NotificationManager:
    """Feeds the engine, applies its actions. `cluster` and `term` go into every delivery.

    `item_most`: bytes of the largest deferred delivery that can ride in a packet.
    """

    def __init__(
        self, own_node: str, cluster: str, term: int, slack: float, store_failure: StoreFailure, item_most: int
    ) -> None:
        self._own_node, self._cluster, self._term, self._slack = own_node, cluster, term, slack
        self._store_failure = store_failure
        self._riding = Riding(item_most)
        self._heads: dict[int, tuple[str, Notice]] = {}
        """Definition and notice of each notification under way."""
        self._engine: Engine
        self.settled: Settled = _nobody
        """Told of each notification that ended, and of each attempt."""
        self.heard_late: HeardLate = _nobody
        """Told of each delivery that was answered 'delivered' after its attempt had ended without."""
        self.left_alone: list[int] = []
        """Notifications that the database has as under way and that cannot be resumed."""

    def restore(self, connection: Connection, turn: Turn, node_states: Mapping[str, NodeState]) -> None:
        """Begin from the database: node states first, then everything unfinished."""
        self._engine = Engine(self._own_node, self._slack, lambda: os.urandom(8).hex(), table.last_id(connection) + 1)
        for node, state in node_states.items():
            self._engine.handle(NodeChanged(node, state), turn.now)
        for row in table.unfinished(connection):
            self._restore_one(connection, turn, row)

    def _restore_one(self, connection: Connection, turn: Turn, row: NotificationRow) -> None:
        """One that cannot be resumed must not keep every node from leading: it is named and left as it is."""
        try:
            with blamed("notifications", row.id):
                pending = _pending(connection, row)
                if pending is None:
                    self.left_alone.append(row.id)
                    return
                self._heads[row.id] = row.definition, pending.cause.notice
                actions = self._engine.restore([pending], turn.now)
        except Spoilt as error:
            log.error("a notification cannot be resumed and is left as it is: %s", error)
            self.left_alone.append(row.id)
            return
        self._apply(connection, turn, actions)

    def notify(
        self,
        connection: Connection,
        turn: Turn,
        definition: Definition | None,
        subject: Subject,
        cause: Cause = CHANGE,
    ) -> int:
        """S1 said yes; the notification's number."""
        number = self._engine.next_id
        self._handle(connection, turn, Notify(definition, subject, cause))
        return number

    def hold(
        self, connection: Connection, turn: Turn, definition: Definition, subject: Subject, by: str, reason: str
    ) -> None:
        """S1 said yes, and it is not to be told now."""
        self._handle(connection, turn, Hold(definition, subject, by, reason))

    def answer(self, connection: Connection, turn: Turn, answer: Answer) -> None:
        """A node says how a delivery went."""
        self._handle(connection, turn, Answered(answer.delivery, answer.outcome, answer.reason, answer.output))

    def left(self, connection: Connection, turn: Turn, deliveries: Sequence[str]) -> None:
        """These deferred deliveries went out in a packet: their time limits begin."""
        for delivery in deliveries:
            self._riding.gone(delivery)
            self._handle(connection, turn, Left(delivery))

    def node_changed(self, connection: Connection, turn: Turn, node: str, state: NodeState) -> None:
        """A node was declared to be in another state."""
        self._handle(connection, turn, NodeChanged(node, state))

    def tick(self, connection: Connection, turn: Turn) -> None:
        """Time limits that have passed."""
        self._apply(connection, turn, self._engine.tick(turn.now))

    @property
    def outstanding(self) -> int:
        """Deliveries sent and not ended."""
        return self._engine.outstanding

    def next_deadline(self) -> float | None:
        """When `tick` is due next, monotonic seconds."""
        return self._engine.next_deadline()

    def _handle(self, connection: Connection, turn: Turn, item: Input) -> None:
        self._apply(connection, turn, self._engine.handle(item, turn.now))

    def _apply(self, connection: Connection, turn: Turn, actions: Sequence[act.Action]) -> None:
        for action in actions:
            try:
                self._apply_one(connection, turn, action)
            except Exception as error:  # with a block for each, a notification would take longer
                with blamed("notifications", _number(action)):
                    raise error

    def _apply_one(self, connection: Connection, turn: Turn, action: act.Action) -> None:
        match action:
            case act.Opened():
                self._opened(connection, turn, action)
            case act.Held():
                row = NotificationRow(
                    action.notification,
                    action.definition,
                    action.version,
                    action.subject.event_id,
                    action.subject.log_id,
                    None,
                )
                table.hold_notification(connection, row, action.by, action.reason, turn.at)
            case act.AttemptStarted():
                table.add_attempt(connection, _attempt_row(action, None), turn.at)
                self._send(turn, action)
            case act.AttemptRepeated(attempt=attempt):
                self._send(turn, attempt)
            case act.AttemptSkipped():
                table.add_attempt(connection, _attempt_row(action, "skipped", action.reason), turn.at)
            case act.AttemptEnded():
                self._ended(connection, turn, action)
                self.settled(connection, turn, action.notification)
            case act.LateAnswer():
                note = f"{action.outcome} {action.reason}".strip()
                first = table.note_late_answer(connection, action.delivery, note, action.output)
                if first and action.outcome == "delivered":
                    self.heard_late(connection, turn, action.delivery)
            case act.Closed():
                table.close_notification(connection, action.notification, action.status, action.reason, turn.at)
                self._heads.pop(action.notification, None)
                self.settled(connection, turn, action.notification)
            case act.RaiseFailure():
                for item in self._store_failure(connection, turn, action.notification, action.supplement):
                    self._handle(connection, turn, item)

    def _ended(self, connection: Connection, turn: Turn, action: act.AttemptEnded) -> None:
        self._riding.gone(action.delivery)
        answered = action.outcome != "timeout" and named(action.reason) not in (Reason.WENT_DOWN, Reason.WAS_STOPPED)
        table.end_attempt(
            connection, action.delivery, action.outcome, action.reason, action.output, turn.at, answered=answered
        )

    def _opened(self, connection: Connection, turn: Turn, action: act.Opened) -> None:
        subject = action.subject
        cause = action.cause
        self._heads[action.notification] = action.definition, cause.notice
        row = NotificationRow(
            action.notification,
            action.definition,
            action.version,
            subject.event_id,
            subject.log_id,
            subject.failure_of,
            notice=cause.notice,
            trouble=cause.trouble,
            plan=None if cause.plan is None else _encode(cause.plan).decode(),
        )
        table.add_notification(connection, row, turn.at)

    def _send(self, turn: Turn, attempt: act.AttemptStarted) -> None:
        name, notice = self._heads.get(attempt.notification, ("", "change"))
        message = Deliver(
            protocol=PROTOCOL,
            cluster=self._cluster,
            term=self._term,
            delivery=attempt.delivery,
            procedure=attempt.procedure,
            application=attempt.application,
            wait=attempt.wait,
            reply=attempt.reply,
            timeout=attempt.timeout,
            payload=payload.addressed(attempt.payload, attempt.delivery, name, notice),
        )
        if attempt.deferred and self._riding.takes(attempt.node, message):
            turn.carried.append(Carry(attempt.node, message))
            return
        turn.deliveries.append((attempt.node, message))
        if attempt.deferred:
            self._engine.handle(Left(attempt.delivery), turn.now)


def _number(action: act.Action) -> int:
    """Of the notification an action belongs to; 0 for a late answer, of which only the delivery is known."""
    match action:
        case act.AttemptRepeated(attempt=attempt):
            return attempt.notification
        case act.LateAnswer():
            return 0
    return action.notification


def _attempt_row(action: act.AttemptStarted | act.AttemptSkipped, outcome: str | None, reason: str = "") -> AttemptRow:
    return AttemptRow(
        notification=action.notification,
        delivery=action.delivery,
        priority=action.priority,
        node=action.node,
        procedure=action.procedure,
        application=_encode(action.application).decode(),
        outcome=outcome,
        reason=reason,
    )


def _pending(connection: Connection, row: NotificationRow) -> PendingNotification | None:
    definition = definitions.at_version(connection, row.definition, row.version) if row.definition else None
    subject = _subject(connection, row, definition)
    if subject is None:
        log.error("notification %d tells of a row that is gone and is left as it is", row.id)
        return None
    attempts = tuple(
        msgspec.convert(past, PastAttempt, from_attributes=True) for past in table.attempts_of(connection, row.id)
    )
    plan = None if row.plan is None else msgspec.json.decode(row.plan, type=Plan)
    cause = {"notice": row.notice, "trouble": row.trouble, "plan": plan}
    kept = {"id": row.id, "definition": definition, "subject": subject, "status": row.status, "attempts": attempts}
    return msgspec.convert({**kept, "cause": cause}, PendingNotification)


def _subject(connection: Connection, row: NotificationRow, definition: Definition | None) -> Subject | None:
    if row.event_id is not None:
        event = events.event_by_id(connection, row.event_id)
        if event is not None and row.notice == "test":
            return payload.of_test(event, definition)
        return None if event is None else payload.of_event(event, row.failure_of)
    line = None if row.log_id is None else logs.log_by_id(connection, row.log_id)
    return None if line is None else payload.of_line(line)
