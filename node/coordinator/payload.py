"""What an application is given: the JSON of design section 6, without the delivery's id, which is added when it goes.

Rules: an event carries name, state, supplement; a log notification the line; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from noroshi.node.core.subject import Notice, Subject
from noroshi.store.clock import to_iso
from noroshi.store.model import FAILURE_EVENT, Definition
from noroshi.store.tables.events import EventRow
from noroshi.store.tables.logs import LogRow

_NOTHING: Mapping[str, object] = MappingProxyType({})
_encode = msgspec.json.Encoder().encode


def of_event(row: EventRow, failure_of: int | None = None, more: Mapping[str, object] = _NOTHING) -> Subject:
    """The subject of an event's notification; `more` are fields of the payload that say why it is told."""
    payload = {
        "event": row.event,
        "state": row.state,
        "supplement": row.supplement,
        "category": row.category,
        "node": row.node,
        "observed_at": to_iso(row.observed_at),
        "stored_at": to_iso(row.stored_at),
        **more,
    }
    return Subject(
        kind="failure-event" if row.event == FAILURE_EVENT else "event",
        about=f"{row.event} {row.state}",
        payload=_encode(payload),
        event_id=row.id,
        failure_of=failure_of,
        name=row.event,
        node=row.node,
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
    return Subject(kind="line", about=about, payload=_encode(payload), log_id=row.id, name=row.source, node=row.node)


def of_test(row: EventRow, definition: Definition | None) -> Subject:
    """The subject of a test: its event, and for a log definition also fields of a line, so that both can be tried."""
    line = f"{row.state} {row.event}: {row.supplement}"
    more = {} if definition is None or definition.kind == "event" else {"source": definition.source, "line": line}
    return of_event(row, more=more)


def addressed(payload: bytes, delivery: str, definition: str, notice: Notice = "change") -> bytes:
    """The payload with the delivery's id, the definition's name and why it is told before the rest."""
    head: dict[str, object] = {"id": delivery, "definition": definition}
    if notice != "change":
        head["notice"] = notice
    if notice == "test":
        head["test"] = True
    return _encode(head)[:-1] + b"," + payload[1:]
