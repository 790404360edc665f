"""`logs:` of node.yaml: which files to follow, what a line or record in them is, which are wanted, how many.

Rules: an encoding is one of Python's in which the byte 0x0A is a newline and nothing else, or UTF-16.
"""

from __future__ import annotations

import codecs
import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noroshi.store import kinds, validation
from noroshi.store.validation import Field, Given, Report, Rule, describe, record
from noroshi.store.yamlfile import Scalar, Value

SECONDS = {"s": 1, "m": 60, "h": 3600}

_RATE = re.compile("([1-9][0-9]{0,6})/(s|m|h)")
_COMMON = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "shift_jis", "euc_jp", "gb18030", "koi8-r")


@dataclass(frozen=True)
class RecordRule:
    """Where a record of several lines begins: at a line in which `start` is found (`re.search`); None: at one that is
    neither indented nor empty."""

    start: str | None


@dataclass(frozen=True)
class Rate:
    """So many lines in so many seconds; `text` is how the file says it."""

    lines: int
    seconds: int
    text: str


@dataclass(frozen=True)
class LogRule:
    """Files to follow (a path or glob, absolute) and the lines wanted: `re.search` with any of `select`, none of
    `except_`; no `select` means every line. `deferred` lines ride in the periodic packets.

    With `record`, several lines are one record, to which the patterns apply as a whole; one that nothing follows for
    `record_timeout` seconds is complete. What is beyond `rate` is held back and counted; `burst` lines may come at
    once (None: as many as the rate names).
    """

    path: str
    select: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()
    deferred: bool = False
    encoding: str = "utf-8"
    record: RecordRule | None = None
    record_timeout: float | None = None
    rate: Rate | None = None
    burst: int | None = None


RECORD_TIMEOUT = 2.0
"""Seconds, where the rule does not say."""


def _glob(value: Value, report: Report) -> str:
    """A path or glob; the directory it starts from is no part of the pattern, whatever it is called."""
    kinds.path("path")(value, report)
    written = kinds.text("path")(value, report)
    return str(Path(glob.escape(str(report.directory))) / written)


def _expressions(what: str) -> Field:
    return Field(validation.list_of(what, kinds.pattern(f"a pattern in {what}")), ())


def _encoding(value: Value, report: Report) -> str:
    name = kinds.text("encoding")(value, report)
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        hint = validation.suggestion(name, _COMMON)
        raise report.refuse(value, f"unknown encoding {validation.shown(name)}", hint) from None
    if not codec.startswith("utf-16") and not _keeps_newlines(codec):
        message = f"encoding {validation.shown(name)} is none in which a newline is the byte 0x0A, nor UTF-16"
        raise report.refuse(value, message, f"known here, among others: {', '.join(_COMMON)}")
    return name


def _keeps_newlines(codec: str) -> bool:
    try:
        bytes(range(256)).decode(codec, "replace")
        return b"a\nb".decode(codec) == "a\nb" and "\n".encode(codec) == b"\n"
    except (LookupError, ValueError):
        return False


def _rate(value: Value, report: Report) -> Rate:
    found = _RATE.fullmatch(kinds.text("rate")(value, report))
    if found is None:
        raise report.refuse(value, f"rate is no rate: {describe(value)}", "lines in a time, like 1000/s, 60/m or 500/h")
    return Rate(int(found[1]), SECONDS[found[2]], found[0])


_START = record("record", {"start": Field(kinds.pattern("start"))}, RecordRule)


def _record(value: Value, report: Report) -> RecordRule:
    if isinstance(value, Scalar):
        kinds.choice("record", "indented")(value, report)
        return RecordRule(None)
    return _START(value, report)


def _belongs(name: str, to: str) -> Rule:
    """A key that means nothing without another."""

    def apply(given: Given) -> None:
        if given.values[name] is not None and given.values[to] is None:
            given.note(name, f"{name} without {to!r} means nothing", f"say what the {to} is, or leave it out")

    return Rule((name, to), apply)


def _build(**values: Any) -> LogRule:
    """`except` is a key of the files and a keyword of the language."""
    return LogRule(except_=values.pop("except"), **values)


LOG_RULE = record(
    "a log rule",
    {
        "path": Field(_glob),
        "select": _expressions("select"),
        "except": _expressions("except"),
        "deferred": Field(kinds.boolean("deferred"), False),
        "encoding": Field(_encoding, "utf-8"),
        "record": Field(_record, None),
        "record_timeout": Field(kinds.duration("record_timeout", 0.1, 600), None),
        "rate": Field(_rate, None),
        "burst": Field(kinds.integer("burst", 1, 10_000_000), None),
    },
    _build,
    [_belongs("record_timeout", "record"), _belongs("burst", "rate")],
)
