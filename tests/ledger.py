"""A coordinator's shell for tests of the engine: a ledger for its database, and the loop that drives the engine.

Role: keeps exactly what the actions say is to be stored, builds a new engine from it on demand, and asserts the
contract of `actions.py` on the way: everything is opened, started, ended and closed once, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from noroshi.node.core.engine import (
    Action,
    AttemptEnded,
    AttemptRepeated,
    AttemptSkipped,
    AttemptStarted,
    Closed,
    Engine,
    Held,
    Input,
    LateAnswer,
    NodeChanged,
    NodeState,
    Notify,
    Opened,
    PastAttempt,
    PendingNotification,
    RaiseFailure,
    Subject,
)
from noroshi.node.core.matching import match_event
from noroshi.node.core.subject import CHANGE, Cause
from noroshi.store.model import FAILURE_EVENT, Definition


@dataclass
class AttemptRow:
    """One row of attempts."""

    notification: int
    priority: int
    node: str
    outcome: str | None = None
    reason: str = ""
    output: str = ""


@dataclass
class NotificationRow:
    """One row of notifications."""

    definition: tuple[str, int]
    subject: Subject
    status: str = "pending"
    reason: str = ""
    cause: Cause = CHANGE


@dataclass
class Ledger:
    """What a database would hold; deliveries and notifications in the order they were stored."""

    notifications: dict[int, NotificationRow] = field(default_factory=dict)
    attempts: dict[str, AttemptRow] = field(default_factory=dict)
    late: list[LateAnswer] = field(default_factory=list)
    failures: list[RaiseFailure] = field(default_factory=list)

    def copy(self) -> Ledger:
        return Ledger(
            {number: replace(row) for number, row in self.notifications.items()},
            {delivery: replace(row) for delivery, row in self.attempts.items()},
            list(self.late),
            list(self.failures),
        )

    def store(self, action: Action) -> None:
        """Store one action; AssertionError where it breaks the contract."""
        match action:
            case Opened():
                assert action.notification not in self.notifications, "opened once"
                self.notifications[action.notification] = NotificationRow(
                    (action.definition, action.version), action.subject, cause=action.cause
                )
            case Held():
                assert action.notification not in self.notifications, "held instead of opened"
                self.notifications[action.notification] = NotificationRow(
                    (action.definition, action.version), action.subject, "held", action.reason
                )
            case AttemptStarted() | AttemptSkipped():
                self._store_attempt(action)
            case AttemptRepeated(attempt=started):
                assert self.attempts[started.delivery].outcome is None, "only unanswered deliveries are repeated"
            case AttemptEnded():
                self._store_end(action)
            case LateAnswer():
                known = self.attempts.get(action.delivery)
                assert known is None or known.outcome is not None, "late means that the attempt has ended"
                self.late.append(action)
            case Closed():
                self._store_close(action)
            case RaiseFailure():
                row = self.notifications[action.notification]
                assert row.status == "failed", "final in the history before its failure event is stored"
                assert row.subject.kind != "failure-event", "a failure of a failure raises nothing"
                self.failures.append(action)

    def _store_attempt(self, action: AttemptStarted | AttemptSkipped) -> None:
        assert self.notifications[action.notification].status == "pending", "no attempt after the end"
        assert action.delivery not in self.attempts, "started once"
        row = AttemptRow(action.notification, action.priority, action.node)
        if isinstance(action, AttemptSkipped):
            row.outcome, row.reason = "skipped", action.reason
        self.attempts[action.delivery] = row

    def _store_end(self, action: AttemptEnded) -> None:
        row = self.attempts[action.delivery]
        assert row.outcome is None, "ended once"
        row.outcome, row.reason, row.output = action.outcome, action.reason, action.output

    def _store_close(self, action: Closed) -> None:
        row = self.notifications[action.notification]
        assert row.status == "pending", "exactly one final status"
        row.status, row.reason = action.status, action.reason

    def attempts_of(self, notification: int) -> list[tuple[str, AttemptRow]]:
        return [(delivery, row) for delivery, row in self.attempts.items() if row.notification == notification]

    def unanswered(self) -> list[str]:
        """Deliveries under way, in the attempts' total order."""
        open_ = [(row.notification, place, delivery) for place, (delivery, row) in enumerate(self.attempts.items())]
        return [delivery for _, _, delivery in sorted(open_) if self.attempts[delivery].outcome is None]

    def unfinished(self, definition_of: Callable[[tuple[str, int]], Definition | None]) -> list[PendingNotification]:
        """What `Engine.restore` takes."""
        found = []
        for number, row in self.notifications.items():
            attempts = self.attempts_of(number)
            if row.status == "pending" or any(attempt.outcome is None for _, attempt in attempts):
                past = tuple(PastAttempt(d, a.priority, a.node, a.outcome, a.reason) for d, a in attempts)
                found.append(
                    PendingNotification(number, definition_of(row.definition), row.subject, row.status, past, row.cause)
                )
        return found


class Desk:
    """Engine, ledger, definitions and node states of one coordinator; `take_over` builds a new engine from them."""

    def __init__(self, own: str = "db1", slack: float = 2.0, definitions: Iterable[Definition] = ()) -> None:
        self.own, self.slack, self.now = own, slack, 0.0
        self.ledger = Ledger()
        self.nodes: dict[str, NodeState] = {}
        self.versions: dict[tuple[str, int], Definition] = {}
        self.current: dict[str, Definition] = {}
        for definition in definitions:
            self.define(definition)
        self.deliveries = 0
        self.events = 0
        self.engine = self._new_engine(own)

    def _new_engine(self, own: str) -> Engine:
        return Engine(own, self.slack, self._next_delivery, max(self.ledger.notifications, default=0) + 1)

    def _next_delivery(self) -> str:
        self.deliveries += 1
        return f"D{self.deliveries}"

    def _next_event(self) -> int:
        self.events += 1
        return self.events

    def define(self, definition: Definition) -> None:
        self.current[definition.name] = definition
        self.versions[definition.name, definition.version] = definition

    def event(self, event: str, state: str) -> list[Action]:
        """An event past duplicate control, with every definition that matches it."""
        subject = Subject("event", f"{event} {state}", f"{event} {state}".encode(), event_id=self._next_event())
        matching = match_event(self.current.values(), event, state)
        return [action for definition in matching for action in self.give(Notify(definition, subject))]

    def give(self, input: Input) -> list[Action]:
        if isinstance(input, NodeChanged):
            self.nodes[input.node] = input.state
        return self.commit(self.engine.handle(input, self.now))

    def tick(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.commit(self.engine.tick(self.now))

    def commit(self, actions: Sequence[Action]) -> list[Action]:
        """Store the actions and all that follows from them, as one transaction; return them in order."""
        return list(self._stored(actions))

    def _stored(self, actions: Sequence[Action]) -> Iterator[Action]:
        for action in actions:
            self.ledger.store(action)
            yield action
            if isinstance(action, RaiseFailure):
                yield from self._tell_failure(action)

    def _tell_failure(self, action: RaiseFailure) -> Iterator[Action]:
        subject = Subject(
            "failure-event",
            f"{FAILURE_EVENT} ERROR",
            action.supplement.encode(),
            event_id=self._next_event(),
            failure_of=action.notification,
        )
        for definition in match_event(self.current.values(), FAILURE_EVENT, "ERROR") or (None,):
            yield from self._stored(self.engine.handle(Notify(definition, subject), self.now))

    def rolled_back(self, work: Callable[[], object]) -> None:
        """Do `work`, then lose it as a transaction that rolls back loses it; take_over has to follow."""
        kept = self.ledger.copy(), dict(self.nodes), self.now, self.deliveries, self.events
        work()
        self.ledger, self.nodes, self.now, self.deliveries, self.events = kept

    def take_over(self, own: str | None = None) -> list[Action]:
        """A new engine, on node `own`, from what the ledger has."""
        self.own = own or self.own
        self.engine = self._new_engine(self.own)
        for node, state in self.nodes.items():
            assert self.engine.handle(NodeChanged(node, state), self.now) == []
        return self.commit(self.engine.restore(self.ledger.unfinished(self.versions.get), self.now))
