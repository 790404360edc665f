"""What an application is given: the JSON of design section 6, without the delivery's id, which is added when it goes.

Rules: an event carries name, state, supplement; a log notification the line; nothing here decides anything.
"""

from __future__ import annotations

import msgspec

from noroshi.node.core.subject import Subject
from noroshi.store.clock import to_iso
from noroshi.store.model import FAILURE_EVENT
from noroshi.store.tables.events import EventRow
from noroshi.store.tables.logs import LogRow

_encode = msgspec.json.Encoder().encode


def of_event(row: EventRow, failure_of: int | None = None) -> Subject:
    """The subject of an event's notification."""
    payload = {
        "event": row.event,
        "state": row.state,
        "supplement": row.supplement,
        "category": row.category,
        "node": row.node,
        "observed_at": to_iso(row.observed_at),
        "stored_at": to_iso(row.stored_at),
    }
    return Subject(
        kind="failure-event" if row.event == FAILURE_EVENT else "event",
        about=f"{row.event} {row.state}",
        payload=_encode(payload),
        event_id=row.id,
        failure_of=failure_of,
    )


def of_line(row: LogRow) -> Subject:
    """The subject of a log line's notification."""
    payload = {
        "source": row.source,
        "line": row.line,
        "node": row.node,
        "observed_at": to_iso(row.observed_at),
        "stored_at": to_iso(row.stored_at),
    }
    about = f"{row.source}: {row.line[:200]}"
    return Subject(kind="line", about=about, payload=_encode(payload), log_id=row.id)


def addressed(payload: bytes, delivery: str, definition: str) -> bytes:
    """The payload with the delivery's id and the definition's name before the rest."""
    return _encode({"id": delivery, "definition": definition})[:-1] + b"," + payload[1:]
