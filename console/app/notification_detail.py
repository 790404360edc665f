"""All about one notification, as the detail screen shows it; and the jobs behind it. Pure but for the jobs."""

from __future__ import annotations

from collections.abc import Iterator

from textual.message import Message

from noroshi.console.app.detail import Fields, damage
from noroshi.console.app.messages import DetailRead
from noroshi.console.app.notification_rows import NOTICES, duration, outcome, took
from noroshi.console.app.reading import Job
from noroshi.console.output import application_text
from noroshi.console.queries import Queries
from noroshi.console.severity import mark_of
from noroshi.console.times import Clockface, age
from noroshi.store.model import Destination
from noroshi.store.views import Acknowledgement, Attempt, Notification, WholeNotification


def brief_detail(row: Notification, now: int, face: Clockface) -> Fields:
    """What a row of the list knows, until the whole is read."""
    return whole_detail(WholeNotification(row, (), (), ()), now, face)


def whole_detail(whole: WholeNotification, now: int, face: Clockface) -> Fields:
    """Everything: how it stands, what it told of, who took it on, then the chain with what was printed."""
    row = whole.notification
    return [
        *_standing(row, now, face),
        *_failure(row, whole.told_by),
        *_told_of(row, now, face),
        *(field for one in whole.acknowledgements for field in _acknowledgement(one, face)),
        ("", ""),
        *_chain(row, now, face),
        *_to_come(whole.to_come),
    ]


def _standing(row: Notification, now: int, face: Clockface) -> Fields:
    mark = mark_of(row.status)
    begun = f"{face.precise(row.created_at)} ({age(row.created_at, now)} ago)"
    name = f"{row.definition}, version {row.version}" if row.definition else "none: told to the coordinator's node"
    fields = [
        ("status", f"{mark.shape} {mark.word}" + (f": {row.reason}" if row.reason else "")),
        ("begun", begun if row.status == "held" else f"{begun}, {'took' if row.ended_at else 'for'} {took(row, now)}"),
        ("because", NOTICES.get(row.notice, row.notice) + f" ({row.notice})"),
        ("definition", name),
    ]
    return fields + ([("held back by", row.held_by)] if row.held_by else []) + damage(row.damaged)


def _failure(row: Notification, told_by: tuple[tuple[int, str], ...]) -> Fields:
    fields = [("tells of", f"the failure of notification {row.failure_of}")] if row.failure_of else []
    return fields + [("its failure", f"was told by notification {number}: {status}") for number, status in told_by]


def _told_of(row: Notification, now: int, face: Clockface) -> Fields:
    seen = [] if row.observed_at is None else [("seen by", f"{row.node}, {_at(row.observed_at, now, face)}")]
    if row.event is not None:
        return [
            ("", ""),
            ("event", row.event),
            ("state", row.state or ""),
            ("supplement", row.supplement or "-"),
            ("category", row.category or ""),
            *seen,
        ]
    if row.source is not None:
        return [("", ""), ("source", row.source), ("line", row.line or ""), *seen]
    return [("", ""), ("told of", "what is no longer kept")]


def _acknowledgement(one: Acknowledgement, face: Clockface) -> Fields:
    until = "while that lasts" if one.until is None else f"until {face.full(one.until)}"
    ended = f"; ended {face.full(one.ended_at)}: {one.reason}" if one.ended_at else ""
    comment = f": {one.comment}" if one.comment else ""
    who = f"by {one.author} at {face.full(one.created_at)}, {until}{comment}{ended}"
    return [("acknowledged", who), *damage(one.damaged)]


def _chain(row: Notification, now: int, face: Clockface) -> Fields:
    if not row.attempts:
        return [("attempts", "none: it was held back" if row.status == "held" else "none yet")]
    return [field for attempt in row.attempts for field in _attempt(attempt, now, face)]


def _attempt(attempt: Attempt, now: int, face: Clockface) -> Fields:
    mark = outcome(attempt)
    reason = f": {attempt.reason}" if attempt.reason else ""
    application = f" {application_text(attempt)}" if application_text(attempt) else ""
    fields = [
        (f"{attempt.priority}. {attempt.node}", f"{mark.shape} {mark.word}{reason}"),
        ("", f"{attempt.procedure}{application}"),
        ("", _when(attempt, now, face)),
    ]
    fields += damage(attempt.damaged)
    if attempt.late:
        fields.append(("later", attempt.late))
    return fields + ([("printed", attempt.output)] if attempt.output.strip() else [])


def _when(attempt: Attempt, now: int, face: Clockface) -> str:
    begun = face.precise(attempt.started_at)
    if attempt.ended_at is None:
        return f"{begun}, for {age(attempt.started_at, max(now, attempt.started_at))}"
    ended = face.moment(attempt.ended_at)
    clock = f"{ended:%H:%M:%S}.{ended.microsecond // 1000:03d}"
    return f"{begun} to {clock}, {duration(attempt.ended_at - attempt.started_at)}"


def _to_come(destinations: tuple[Destination, ...]) -> Fields:
    return [
        (f"{one.priority}. {one.node or '(coordinator)'}", f"to come: {one.procedure}, if those before it fail")
        for one in destinations
    ]


def _at(instant: int, now: int, face: Clockface) -> str:
    return f"{face.full(instant)} ({age(instant, now)} ago)"


def notification_job(number: int) -> Job:
    """Read one with all that belongs to it."""

    def job(queries: Queries) -> Iterator[Message]:
        yield DetailRead(f"notification {number}", notification=queries.whole_notification(number))

    return job
