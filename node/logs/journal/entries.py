"""One entry of the journal as `journalctl -o json` prints it: whose it is, and its line. Without I/O.

Rules: a value is text, an array of bytes (it is no UTF-8), null (it is too long to show) or an array of those (the
field is there several times). Whose an entry is, is believed only of the service manager and of root: anybody may
write any field without an underscore. The line is `IDENTIFIER[PID]: MESSAGE`, as syslog has it behind time and host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from noroshi.node.logs.lines import text
from noroshi.store.config.journal import PRIORITIES

Value = str | list[str | int | list[int] | None] | None
Part = str | Sequence[str | int | list[int] | None] | None
"""A value, or one of the values of a field that is there several times."""

TOO_LONG = "…[the message is too long for journalctl]"

_SESSION = re.compile(r"session-[^.]*\.scope")
_ODD = re.compile(r"[^\w@.:\\-]", re.ASCII)
_NAME_MOST = 128
_DIGITS = 19


class Entry(msgspec.Struct, frozen=True, rename=str.upper):
    """The fields that matter; `journalctl` is asked for no other."""

    cursor: str = msgspec.field(name="__CURSOR")
    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP", default="0")
    message: Value | msgspec.UnsetType = msgspec.UNSET
    priority: Value = None
    syslog_identifier: Value = None
    syslog_pid: Value = None
    unit: Value = None
    object_systemd_unit: Value = None
    coredump_unit: Value = None
    transport: Value = msgspec.field(name="_TRANSPORT", default=None)
    systemd_unit: Value = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    comm: Value = msgspec.field(name="_COMM", default=None)
    pid: Value = msgspec.field(name="_PID", default=None)
    uid: Value = msgspec.field(name="_UID", default=None)

    @property
    def time(self) -> int:
        """When journald received it, in microseconds UTC; 0 where it does not say."""
        given = self.realtime
        return int(given) if given.isascii() and given.isdigit() and len(given) < _DIGITS else 0


_NAMES = [field.encode_name for field in msgspec.structs.fields(Entry)]
FIELDS = ",".join(name for name in _NAMES if not name.startswith("__"))

_decoder = msgspec.json.Decoder(Entry)


def decode(line: bytes) -> Entry:
    """Raises ValueError (msgspec's are such) or RecursionError where it is no entry."""
    return _decoder.decode(line)


def line_of(entry: Entry) -> str | None:
    """The entry's line, which may be several; None where it has no message."""
    if entry.message is msgspec.UNSET:
        return None
    message = _message(entry.message)
    identifier = (_first(entry.syslog_identifier) or _first(entry.comm))[:_NAME_MOST]
    pid = (_first(entry.pid) or _first(entry.syslog_pid))[:_DIGITS]
    if not identifier:
        return message
    return f"{identifier}[{pid}]: {message}" if pid else f"{identifier}: {message}"


def source_of(entry: Entry) -> str:
    """What the shared log calls its source: `journal/UNIT`, or the identifier of what is no unit's."""
    name = next(_units(entry), "") or ("kernel" if _first(entry.transport) == "kernel" else "")
    name = name or _first(entry.syslog_identifier) or "unknown"
    return f"journal/{_ODD.sub('_', _SESSION.sub('session.scope', name))[:_NAME_MOST]}"


def covers(units: Sequence[str], priority: str | None, entry: Entry) -> bool:
    """Whether a rule with these units (none: all) and this priority means the entry."""
    if priority is not None and not _severe(entry, PRIORITIES.index(priority)):
        return False
    return not units or any(fnmatchcase(unit, whole(pattern)) for unit in _units(entry) for pattern in units)


def literal(unit: str) -> bool:
    """Whether a unit's name is no pattern: `journalctl` looks up what a pattern means only once, when it starts."""
    return not any(character in unit for character in "*?[")


@lru_cache(maxsize=1024)
def whole(unit: str) -> str:
    """The name with its type; without one it is a service's."""
    return unit if "." in unit or unit.endswith("*") else f"{unit}.service"


def _units(entry: Entry) -> Iterator[str]:
    """Whom the entry is about, then who wrote it."""
    if _first(entry.uid) == "0":
        if coredump := _first(entry.coredump_unit):
            yield coredump
        if other := _first(entry.object_systemd_unit):
            yield other
    if _first(entry.pid) == "1" and (unit := _first(entry.unit)):
        yield unit
    if writer := _first(entry.systemd_unit):
        yield writer


def _severe(entry: Entry, least: int) -> bool:
    priority = _first(entry.priority)
    return priority.isdigit() and int(priority) <= least


def _message(value: Part) -> str:
    """All of it, cut as a line of a file is; a final newline is no line of its own."""
    if value is None:
        return TOO_LONG
    if not isinstance(value, str) and not _is_bytes(value):
        return text("\n".join(_message(each) for each in value if not isinstance(each, int)).encode())
    return text(_bytes(value).rstrip(b"\n"))


def _first(value: Value) -> str:
    """The first value of a field that has one line; empty where it has none."""
    first: Part = value[0] if isinstance(value, list) and value and not isinstance(value[0], int) else value
    return "" if first is None else _bytes(first).decode("utf-8", "replace")


def _is_bytes(value: Sequence[str | int | list[int] | None]) -> bool:
    return all(isinstance(each, int) for each in value)


def _bytes(value: str | Sequence[str | int | list[int] | None]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return bytes(each & 0xFF for each in value if isinstance(each, int))
