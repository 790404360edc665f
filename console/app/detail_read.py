"""What was read for a detail, as its fields: one place that knows every kind; pure."""

from __future__ import annotations

from noroshi.console.app.detail import TERMS, Fields, leaders, line_detail, past
from noroshi.console.app.holding_detail import holding_detail
from noroshi.console.app.messages import DetailRead
from noroshi.console.app.notification_detail import whole_detail
from noroshi.console.times import Clockface


def fields_of(read: DetailRead, before: Fields, now: int, face: Clockface) -> Fields | None:
    """What the detail shows from now on, `before` being what it showed; None where nothing was found."""
    if read.line is not None:
        return line_detail(read.line, now, face)
    if read.key == TERMS:
        return leaders(read.terms, now, face)
    if read.holding is not None:
        return holding_detail(read.holding, now, face)
    if read.notification is not None:
        return whole_detail(read.notification, now, face)
    return before + past(read.events, face) if read.key.startswith("event ") else None
