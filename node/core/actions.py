"""What the notification engine asks of its shell, with the order of writing and what a crash does.

Write order (spec 4, design section 7). All actions of one `handle`, `tick` or `restore` belong together:

1. in the order given, in one transaction, together with the input that caused them and, for a RaiseFailure, with the
   event it stores and the actions of the Notify that follow from it;
2. commit;
3. then, and only then, send every AttemptStarted and AttemptRepeated.

A crash before the commit: nothing was sent, nothing is known; the input comes again (a report is sent again until it
is acknowledged, a delivery is repeated and answered again). A crash after it: `restore` repeats what was not answered
under the same delivery id, and the node answers a repeat from its record. So a delivery may be sent twice and never
be lost; the program runs once. After a rollback the engine is ahead of the database: throw it away, build a new one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from noroshi.node.core.fig7 import Status
from noroshi.node.core.subject import CHANGE, Cause, Subject
from noroshi.store.model import Application, Procedure


class Opened(msgspec.Struct, frozen=True):
    """Store a new notification, status pending. `definition` is empty and `version` 0 where none was defined.

    It is first of its notification, in the same transaction as its first attempts. Lost in a crash: with the event or
    line it tells of, which is not acknowledged then and comes again.
    """

    notification: int
    definition: str
    version: int
    subject: Subject
    cause: Cause = CHANGE


class Held(msgspec.Struct, frozen=True):
    """Store a notification that is never begun, status held: `by` kept it back. Nothing is sent.

    Lost in a crash: as Opened.
    """

    notification: int
    definition: str
    version: int
    subject: Subject
    by: str
    reason: str


class AttemptStarted(msgspec.Struct, frozen=True):
    """Store the intent (an attempt without outcome); after the commit send it to `node`.

    `timeout` in seconds is the node's own limit. `node` is resolved: never the default. `deferred`: it may wait for a
    periodic packet; the shell says Left when it goes, by whatever way. Crash before the commit: not sent. Crash after
    it, sent or not: repeated by `restore`.
    """

    notification: int
    delivery: str
    priority: int
    node: str
    procedure: Procedure
    application: Application
    wait: Literal["exited", "started"]
    reply: Literal["none", "required"]
    timeout: float
    payload: bytes
    deferred: bool = False


class AttemptRepeated(msgspec.Struct, frozen=True):
    """Send `attempt` again: it is stored already and unanswered. Nothing to store; lost in a crash: repeated again."""

    attempt: AttemptStarted


class AttemptSkipped(msgspec.Struct, frozen=True):
    """Store an attempt with outcome skipped, started and ended now (S3). Nothing is sent."""

    notification: int
    delivery: str
    priority: int
    node: str
    procedure: Procedure
    application: Application
    reason: str


class AttemptEnded(msgspec.Struct, frozen=True):
    """Store how an attempt ended: set outcome, reason, output and the time in its row; it happens once a delivery.

    It comes before what follows from it (the next group's attempts, Closed). Lost in a crash: the delivery is
    repeated and answered again.
    """

    notification: int
    delivery: str
    outcome: Literal["delivered", "failed", "timeout"]
    reason: str
    output: str = ""


class LateAnswer(msgspec.Struct, frozen=True):
    """An answer to an attempt that has ended, or to none that is known: record it, let it change nothing (S5).

    To be kept beside the row's own outcome where that came without an answer (timeout, the node down); where the row
    has an answer this is the repeat of it, and where there is no row it is nobody's. Lost in a crash: lost.
    """

    delivery: str
    outcome: Literal["delivered", "failed"]
    reason: str
    output: str = ""


class Closed(msgspec.Struct, frozen=True):
    """Store the final status of a notification, and the time; it happens once a notification.

    Attempts of it that are still out end later by an AttemptEnded of their own, which changes no status.
    """

    notification: int
    status: Status
    reason: str


class RaiseFailure(msgspec.Struct, frozen=True):
    """S11: store a notification-failure event with this supplement, past duplicate control, and notify it past S1.

    In the same transaction, after the Closed of `notification`: store the event and the state row, then hand
    Notify(definition, subject) for each definition that matches it, or Notify(None, subject), to `handle`; subject
    is a failure-event with failure_of=notification. A crash loses all of it or nothing.
    """

    notification: int
    supplement: str


Action = (
    Opened
    | Held
    | AttemptStarted
    | AttemptRepeated
    | AttemptSkipped
    | AttemptEnded
    | LateAnswer
    | Closed
    | RaiseFailure
)
