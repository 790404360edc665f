"""One notification under way: its destinations in order, the group it is in, its attempts.

Role: the state that the engine moves along fig. 7; it knows groups and counts, the engine knows what to do.
Rules: destinations are in total order, priority first and then their place in the definition; every destination of a
group gives exactly one attempt, sent or skipped, in that order. So the n-th attempt belongs to the n-th destination,
here and in the database.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Literal

from noroshi.node.core.fig7 import FINAL, Found, Step, judge
from noroshi.node.core.reasons import Reason, because, shorten
from noroshi.node.core.subject import CHANGE, Cause, Outcome, PastAttempt, PendingNotification, Subject
from noroshi.store.model import FAILURE_EVENT, Definition, Destination

NOWHERE = (Destination(priority=1),)
"""What a definition without destinations means: the coordinator's own node, its default procedure (spec 4.2)."""

UNDEFINED = Definition(name="", kind="event", event=FAILURE_EVENT)
"""What a notification-failure event that no definition matches is notified by (S10)."""

ABOUT_LIMIT = 120
"""Characters of `about` in the supplement of a notification-failure event."""


def in_order(definition: Definition) -> tuple[Destination, ...]:
    """The destinations in the order they are tried; never empty."""
    return tuple(sorted(definition.notify, key=lambda destination: destination.priority)) or NOWHERE


@dataclass(slots=True, eq=False)
class Attempt:
    """One destination tried or skipped. `outcome` None: under way, until `deadline` (monotonic seconds, infinite while
    a deferred one waits for its packet)."""

    notification: Notification
    number: int
    delivery: str
    node: str
    outcome: Outcome | None = None
    reason: str = ""
    deadline: float = math.inf

    @property
    def order(self) -> tuple[int, int]:
        """The total order of attempts, the same in an engine restored from the database."""
        return self.notification.id, self.number

    @property
    def destination(self) -> Destination:
        return self.notification.plan[self.number]

    @property
    def deferred(self) -> bool:
        return self.notification.definition.delivery == "deferred"

    @property
    def timeout(self) -> float:
        """The node's time limit, seconds: the destination's own or the definition's."""
        own = self.destination.timeout
        return self.notification.definition.timeout if own is None else own


@dataclass(slots=True, eq=False)
class Notification:
    """`plan[first:end]` is the present group; the counts are those of its attempts that were sent."""

    id: int
    definition: Definition
    subject: Subject
    plan: tuple[Destination, ...]
    step: Step
    cause: Cause = CHANGE
    attempts: list[Attempt] = field(default_factory=list)
    first: int = 0
    end: int = 0
    delivered: int = 0
    failed: int = 0
    waiting: int = 0

    @classmethod
    def new(cls, number: int, definition: Definition | None, subject: Subject, cause: Cause = CHANGE) -> Notification:
        """One that stands before its first group: at S1, or at S11 where it tells of a failure, past S1.

        Raises ValueError where nothing is defined for what is no notification failure: S1 ends that.
        """
        if definition is None and subject.kind != "failure-event":
            raise ValueError(f"notification {number}: nothing is defined for {subject.about}")
        used = definition or UNDEFINED
        step = Step.RAISE if subject.kind == "failure-event" else Step.DEFINED
        plan = in_order(used) if cause.plan is None else cause.plan.destinations
        return cls(number, used, subject, plan, step, cause)

    @classmethod
    def restored(cls, past: PendingNotification) -> Notification:
        """One as the database has it, resting where it rested. Raises ValueError if its attempts do not fit."""
        new = cls.new(past.id, past.definition, past.subject, past.cause)
        for number, row in enumerate(past.attempts):
            new._take_up(number, row)
        if past.attempts:
            new.step = next((step for step, status in FINAL.items() if status == past.status), Step.WAIT)
        return new

    def _take_up(self, number: int, row: PastAttempt) -> None:
        if number >= len(self.plan) or self.plan[number].priority != row.priority:
            raise ValueError(f"notification {self.id}: attempt {row.delivery} fits no destination of its definition")
        if number == self.end:
            self.take_group()
        attempt = Attempt(self, number, row.delivery, row.node)
        self.add(attempt, skipped=row.outcome == "skipped", reason=row.reason)
        if row.outcome not in (None, "skipped"):
            self.ended(attempt, row.outcome, row.reason)

    @property
    def enough(self) -> Literal["any", "all"]:
        return self.definition.enough if self.cause.plan is None else self.cause.plan.enough

    @property
    def has_next(self) -> bool:
        return self.end < len(self.plan)

    def take_group(self) -> None:
        """S2, S9: the destinations of the next priority become the present group."""
        self.first = self.end
        priority = self.plan[self.first].priority
        while self.end < len(self.plan) and self.plan[self.end].priority == priority:
            self.end += 1
        self.delivered = self.failed = self.waiting = 0

    def add(self, attempt: Attempt, *, skipped: bool, reason: str = "") -> None:
        """The next destination of the group was sent to, or skipped for `reason`."""
        self.attempts.append(attempt)
        if skipped:
            attempt.outcome, attempt.reason = "skipped", reason
        else:
            self.waiting += 1

    def ended(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        """Keep how an attempt ended; it counts where it is of the present group."""
        attempt.outcome, attempt.reason = outcome, reason
        if attempt.number < self.first:
            return
        self.waiting -= 1
        if outcome == "delivered":
            self.delivered += 1
        else:
            self.failed += 1

    def waits_for(self, attempt: Attempt) -> bool:
        """Whether it still matters to S5 how this attempt ends."""
        return self.step is Step.WAIT and attempt.number >= self.first

    def verdict(self) -> Found:
        """S6: how the present group stands."""
        return judge(self.enough, self.delivered, self.failed, self.waiting)

    def why_delivered(self) -> str:
        nodes = [attempt.node for attempt in self.attempts[self.first :] if attempt.outcome == "delivered"]
        kept = Reason.ALL_DELIVERED if self.enough == "all" else Reason.ONE_DELIVERED
        return because(kept, ", ".join(nodes))

    def why_failed(self) -> str:
        """Each attempt that did not deliver: node and reason."""
        lost = (attempt for attempt in self.attempts if attempt.outcome not in (None, "delivered"))
        return shorten("; ".join(f"{attempt.node}: {attempt.reason}" for attempt in lost))

    def failure_supplement(self) -> str:
        """Small JSON for the notification-failure event: which notification, by what, about what, why it failed."""
        told = {
            "notification": self.id,
            "definition": self.definition.name,
            "about": shorten(self.subject.about, ABOUT_LIMIT),
            "why": self.why_failed(),
        }
        return json.dumps(told, ensure_ascii=False)
