"""From a line of JSON to an event, from an event to the bytes a spool keeps, and on to the report that is sent.

Rules: a request is refused with the field and the reason; an unknown field is refused too, since a misspelt
`deferred` would otherwise be taken for an urgent event.
"""

from __future__ import annotations

import difflib

import msgspec

from noroshi.node.core.spool import Item
from noroshi.node.wire.messages import Report
from noroshi.node.wire.raising import BadRequest, Raise

FIELDS = ("event", "state", "supplement", "deferred", "token")


class Observed(msgspec.Struct, frozen=True, array_like=True):
    """What a spool keeps of one event; `observed_at` in microseconds UTC.

    Decodes as a messages.Report too, which is what a periodic packet carries; `sequence` stays 0, the spool counts.
    """

    sequence: int
    event: str
    state: str
    supplement: str
    observed_at: int
    token: str = ""


_decoder = msgspec.msgpack.Decoder(Observed)
_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.json.Decoder().decode


def body(said: Raise, observed_at: int) -> bytes:
    """An event as a spool keeps it and a periodic packet carries it."""
    return _encode(Observed(0, said.event, said.state, said.supplement, observed_at, said.token))


def observed(body: bytes) -> Observed:
    """The inverse of `body`. Raises ValueError."""
    return _decoder.decode(body)


def report(item: Item) -> Report:
    """A safe item as it is sent. Raises ValueError for a body that is none of ours."""
    seen = _decoder.decode(item.body)
    return Report(item.sequence, seen.event, seen.state, seen.supplement, seen.observed_at)


def read_object(line: bytes) -> dict[str, object]:
    """One request line as JSON. Raises BadRequest."""
    try:
        request = _read(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"not JSON: {error}", 'send one line like {"event": "app/x", "state": "OK"}') from error
    if not isinstance(request, dict):
        raise BadRequest("not a JSON object", 'send one line like {"event": "app/x", "state": "OK"}')
    return request


def read_raise(request: dict[str, object]) -> Raise:
    """A request's event. A supplement that is not text is kept as compact JSON. Raises BadRequest."""
    for field in request.keys() - FIELDS:
        raise BadRequest(f"unknown field {field!r}", _suggestion(field))
    deferred = request.get("deferred", False)
    if not isinstance(deferred, bool):
        raise BadRequest(f"deferred must be true or false, not {_kind(deferred)}")
    return Raise(
        _text(request, "event"), _text(request, "state"), _supplement(request), deferred, _text(request, "token", "")
    )


def _text(request: dict[str, object], field: str, default: str | None = None) -> str:
    value = request.get(field, default)
    if value is None and field not in request:
        raise BadRequest(f"{field} is missing", "an event needs event and state")
    if not isinstance(value, str):
        raise BadRequest(f"{field} must be text, not {_kind(value)}")
    return value


def _supplement(request: dict[str, object]) -> str:
    value = request.get("supplement", "")
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else msgspec.json.encode(value).decode()
    except RecursionError as error:
        raise BadRequest("the supplement is nested too deeply", "send it as text") from error


def _suggestion(field: str) -> str:
    close = difflib.get_close_matches(field, FIELDS, 1)
    return f"did you mean {close[0]!r}?" if close else f"the fields are {', '.join(FIELDS)}"


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}.get(
        type(value), "a number"
    )
