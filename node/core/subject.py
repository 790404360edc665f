"""What reaches the notification engine: what to notify, answers, node states, and what a database kept of it all.

Rules: frozen values. Durations are seconds. `about` and `payload` are made by the caller and never looked into.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from noroshi.node.core.fig7 import Status
from noroshi.store.model import Definition, Destination

NodeState = Literal["UP", "SUSPECT", "DOWN", "STOPPED"]
Outcome = Literal["delivered", "failed", "timeout", "skipped"]
"""How an attempt ended, as column attempts.outcome has it."""


class Subject(msgspec.Struct, frozen=True):
    """What is notified.

    kind          event (event_id), line (log_id), or failure-event: a notification-failure event (event_id), whoever
                  raised it; failure_of is then the notification whose failure it tells, where there is one
    about         one line for people: event and state, or source and line
    payload       the JSON object the application gets
    name, node    the event's name or the line's source, and the node that saw it
    """

    kind: Literal["event", "line", "failure-event"]
    about: str
    payload: bytes
    event_id: int | None = None
    log_id: int | None = None
    failure_of: int | None = None
    name: str = ""
    node: str = ""


Notice = Literal["change", "resumed", "repeat", "escalation", "recovery", "summary", "test"]
"""Why a notification is begun: an event changed or a line came; what was held back is still so; nobody has
acknowledged, told again or to the next group; it is over; how much was held back; or somebody asked for a test."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom a notification tells, where that is not the definition's own destinations in their order."""

    destinations: tuple[Destination, ...]
    enough: Literal["any", "all"] = "any"


class Cause(msgspec.Struct, frozen=True):
    """Why a notification is begun, of which open trouble (`following.py`), and with which plan."""

    notice: Notice = "change"
    trouble: int | None = None
    plan: Plan | None = None


CHANGE = Cause()


# --- inputs ------------------------------------------------------------------------------------------------------


class Notify(msgspec.Struct, frozen=True):
    """S1 said yes: `definition` matches `subject`; one input for each definition that does.

    None is for a failure-event that no definition matches: it goes to the coordinator's own node (spec 4.9).
    """

    definition: Definition | None
    subject: Subject
    cause: Cause = CHANGE


class Hold(msgspec.Struct, frozen=True):
    """S1 said yes, and it is not to be told now: `by` holds it back, `reason` says why (spec 7)."""

    definition: Definition
    subject: Subject
    by: str
    reason: str


class Answered(msgspec.Struct, frozen=True):
    """A node's answer to a delivery; `reason` and `output` are the node's own words."""

    delivery: str
    outcome: Literal["delivered", "failed"]
    reason: str = ""
    output: str = ""


class NodeChanged(msgspec.Struct, frozen=True):
    """A node's state is now this. A node never named is tried, as SUSPECT is (spec 4.3)."""

    node: str
    state: NodeState


class Left(msgspec.Struct, frozen=True):
    """A deferred delivery is on its way: its time limit begins (spec 5). Any other delivery: nothing happens."""

    delivery: str


Input = Notify | Hold | Answered | NodeChanged | Left


# --- what the database kept, for Engine.restore ------------------------------------------------------------------


class PastAttempt(msgspec.Struct, frozen=True):
    """One row of attempts; `outcome` None while it is unanswered."""

    delivery: str
    priority: int
    node: str
    outcome: Outcome | None
    reason: str = ""


class PendingNotification(msgspec.Struct, frozen=True):
    """One notification that is not finished: its status is pending, or an attempt of it has no outcome yet.

    `definition` is the version it began with, None where the row names none. `attempts` are all its rows in the order
    they were stored; that order is the definition's own, priority first, so each row tells its destination.
    """

    id: int
    definition: Definition | None
    subject: Subject
    status: Literal["pending"] | Status
    attempts: tuple[PastAttempt, ...]
    cause: Cause = CHANGE
