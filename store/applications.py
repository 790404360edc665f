"""What an application is, procedure by procedure (spec 4.7), as the files name it.

process  a program and its arguments, the program by its absolute path
message  {key: …, type: …}, a System V message queue
socket   "tcp://HOST:PORT", "udp://HOST:PORT" or "unix:///PATH"
"""

from __future__ import annotations

import re

from noroshi.store import kinds, validation
from noroshi.store.model import Application, Procedure
from noroshi.store.validation import Field, Given, Kind, Refused, Report, record
from noroshi.store.yamlfile import Items, Scalar, Value

PROCEDURES: tuple[Procedure, ...] = ("process", "message", "socket")

MAX_KEY = 0xFFFFFFFF
"""Keys are written unsigned, as `ipcs` shows them; 0 is IPC_PRIVATE and names no queue."""

MAX_TYPE = 0x7FFFFFFF

_HEX = re.compile("0x[0-9a-fA-F]{1,8}")
_INTERNET = re.compile(r"(tcp|udp)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):([1-9][0-9]{0,4})")
_UNIX = re.compile(r"unix://(/.+)")
_SOCKET_PATH = 107

PROCEDURE = kinds.choice("procedure", *PROCEDURES)


def settle(given: Given) -> None:
    """Rule for a record with `procedure` and a raw `application`: checks it and puts the result into its place."""
    kind = _KINDS[given.values["procedure"]]
    try:
        given.values["application"] = kind(given.values["application"], given.report)
    except Refused:
        given.values["application"] = None


def _process(value: Value, report: Report) -> Application:
    if isinstance(value, Scalar):
        raise report.refuse(value, "application of a process must be a list", f"write [{value.text}]")
    words = _WORDS(value, report)
    if not words[0].startswith("/"):
        first = value.values[0] if isinstance(value, Items) else value
        raise report.refuse(first, f"the program {words[0]!r} must be an absolute path", "no search path is used")
    return list(words)


_WORDS = validation.list_of("application", kinds.argument, least=1)


def _message(value: Value, report: Report) -> Application:
    return _MESSAGE(value, report)


def _key(value: Value, report: Report) -> int:
    if isinstance(value, Scalar) and value.kind == "string" and _HEX.fullmatch(value.text):
        value = Scalar("integer", int(value.text, 16), value.text, value.line, value.column)
    return kinds.integer("key", 1, MAX_KEY)(value, report)


def _queue(key: int, type: int | None) -> dict[str, int | str]:
    return {"key": key} if type is None else {"key": key, "type": type}


_MESSAGE = record(
    "application",
    {"key": Field(_key), "type": Field(kinds.integer("type", 1, MAX_TYPE), None)},
    _queue,
)


def _socket(value: Value, report: Report) -> Application:
    address = kinds.text("application")(value, report)
    if why := _socket_problem(address):
        raise report.refuse(value, f"{address!r} {why}", "tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH")
    return address


def _socket_problem(address: str) -> str:
    if found := _UNIX.fullmatch(address):
        return "has too long a path for a socket" if len(found[1].encode()) > _SOCKET_PATH else ""
    internet = _INTERNET.fullmatch(address)
    if not internet:
        return "is not the address of a socket"
    return "" if int(internet[3]) <= 65_535 else "has a port over 65535"


_KINDS: dict[str, Kind[Application]] = {"process": _process, "message": _message, "socket": _socket}
