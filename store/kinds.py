"""The leaves of the YAML files: text, names, numbers, durations, choices, regular expressions, paths.

Role and rules: as in `validation`; each function here makes a kind. Text that YAML takes for something else (`on`,
`1:30`, `2026-01-01`) is refused with the quotes it needs, never turned into text by guess.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from noroshi.store.validation import Kind, Report, describe, shown, suggestion
from noroshi.store.yamlfile import Scalar, Value

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Milliseconds each, smallest first."""

SIZES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
"""Bytes each, smallest first."""

MAX_PATTERN = 1000
"""Characters of a regular expression."""

_DURATION = re.compile("(0|[1-9][0-9]{0,8})(ms|s|m|h|d)")
_SIZE = re.compile("([1-9][0-9]{0,5})(KiB|MiB|GiB|TiB)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD_IN_NAME = re.compile(
    "[\x00-\x20\x7f-\xa0\xad/*\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"  # white, control, invisible
)


def text(what: str, *, longest: int = 4096) -> Kind[str]:
    """A string of one line, neither empty nor with control characters."""

    def kind(value: Value, report: Report) -> str:
        result = string(value, report, what)
        if not result:
            raise report.refuse(value, f"{what} is empty")
        if len(result) > longest:
            raise report.refuse(value, f"{what} is longer than {longest} characters")
        if found := _CONTROL.search(result):
            raise report.refuse(value, f"{what} holds the control character U+{ord(found[0]):04X}")
        return result

    return kind


def argument(value: Value, report: Report) -> str:
    """An argument of a program: any text without NUL, the empty one included."""
    result = string(value, report, "an argument")
    if "\0" in result:
        raise report.refuse(value, "an argument holds a NUL character", "no program can be given one")
    return result


def string(value: Value, report: Report, what: str) -> str:
    """The string a scalar is."""
    match value:
        case Scalar(kind="string", value=str(result)):
            if _SURROGATE.search(result):
                raise report.refuse(value, f"{what} holds half of a surrogate pair", r"write it as \U and 8 digits")
            return result
        case Scalar(kind="null"):
            raise report.refuse(value, f"{what} must be text, here is nothing", "give a value or leave the key out")
        case Scalar():
            hint = f'write it in quotes: "{value.text}"'
            raise report.refuse(value, f"{what} must be text, here is {describe(value)}", hint)
        case _:
            raise report.refuse(value, f"{what} must be text, here is {describe(value)}")


def name(what: str, longest: int = 63) -> Kind[str]:
    """A name of ours: no `/`, `*`, white space, control or invisible characters; not beginning with `.` or `-`.

    So that it can be a segment of an event name, a file's name and an argument of a command.
    """
    base = text(what, longest=longest)

    def kind(value: Value, report: Report) -> str:
        result = base(value, report)
        if found := _BAD_IN_NAME.search(result):
            hint = "use letters, digits, '-', '_' and '.'"
            raise report.refuse(value, f"{what} {shown(result)} holds {found[0]!r}", hint)
        if result[0] in ".-":
            raise report.refuse(value, f"{what} {shown(result)} begins with {result[0]!r}", "begin it with a letter")
        return result

    return kind


def integer(what: str, low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`, decimal or 0x…."""

    def kind(value: Value, report: Report) -> int:
        if not isinstance(value, Scalar) or value.kind != "integer" or not isinstance(value.value, int):
            hint = "leave the quotes out" if isinstance(value, Scalar) and value.text.isdecimal() else ""
            raise report.refuse(value, f"{what} must be a whole number, here is {describe(value)}", hint)
        if not low <= value.value <= high:
            raise report.refuse(value, f"{what} must be from {low} to {high}, here is {value.text}")
        return value.value

    return kind


def boolean(what: str) -> Kind[bool]:
    """true or false."""

    def kind(value: Value, report: Report) -> bool:
        if isinstance(value, Scalar) and isinstance(value.value, bool):
            return value.value
        raise report.refuse(value, f"{what} must be true or false, here is {describe(value)}")

    return kind


def duration(what: str, low: float, high: float) -> Kind[float]:
    """Seconds, from text like `500ms`, `10s`, `5m`, `2h`, `1d`."""

    def kind(value: Value, report: Report) -> float:
        if isinstance(value, Scalar) and value.kind in ("integer", "number"):
            raise report.refuse(value, f"{what} has no unit, here is {value.text}", "like 500ms, 10s, 5m, 2h or 1d")
        found = _DURATION.fullmatch(string(value, report, what))
        if not found:
            hint = "whole numbers, like 500ms, 10s, 5m, 2h or 1d"
            raise report.refuse(value, f"{what} is not a duration: {describe(value)}", hint)
        seconds = int(found[1]) * UNITS[found[2]] / 1000
        if not low <= seconds <= high:
            between = f"from {format_duration(low)} to {format_duration(high)}"
            raise report.refuse(value, f"{what} must be {between}, here is {found[0]}")
        return seconds

    return kind


def format_duration(seconds: float) -> str:
    """The shortest text that `duration` reads as these seconds, to the millisecond."""
    milliseconds = round(seconds * 1000)
    unit = next((each for each in reversed(UNITS) if milliseconds and milliseconds % UNITS[each] == 0), "s")
    return f"{milliseconds // UNITS[unit]}{unit}"


def size(what: str, low: int, high: int) -> Kind[int]:
    """Bytes, from text like `512KiB`, `64MiB`, `10GiB`."""

    def kind(value: Value, report: Report) -> int:
        if isinstance(value, Scalar) and value.kind in ("integer", "number"):
            raise report.refuse(value, f"{what} has no unit, here is {value.text}", "like 512KiB, 64MiB or 10GiB")
        found = _SIZE.fullmatch(string(value, report, what))
        if not found:
            hint = "whole numbers, like 512KiB, 64MiB or 10GiB"
            raise report.refuse(value, f"{what} is not a size: {describe(value)}", hint)
        amount = int(found[1]) * SIZES[found[2]]
        if not low <= amount <= high:
            between = f"from {format_size(low)} to {format_size(high)}"
            raise report.refuse(value, f"{what} must be {between}, here is {found[0]}")
        return amount

    return kind


def format_size(amount: int) -> str:
    """The shortest text that `size` reads as so many bytes, which are whole KiB."""
    unit = next(each for each in reversed(SIZES) if amount % SIZES[each] == 0 or each == "KiB")
    return f"{amount // SIZES[unit]}{unit}"


def choice(what: str, *known: str) -> Kind[Any]:
    """One of a few words."""

    def kind(value: Value, report: Report) -> str:
        found = string(value, report, what)
        if found not in known:
            raise report.refuse(value, f"unknown {what} {shown(found)}", suggestion(found, known))
        return found

    return kind


def pattern(what: str, *, empty: bool = False) -> Kind[str]:
    """A regular expression that compiles, with the place of the error where it does not."""

    def kind(value: Value, report: Report) -> str:
        result = string(value, report, what)
        if not result and not empty:
            raise report.refuse(value, f"{what} is empty")
        if len(result) > MAX_PATTERN:
            raise report.refuse(value, f"{what} is longer than {MAX_PATTERN} characters")
        if why := _why_not_compiled(result):
            message = f"{what} {shown(result)} is not a regular expression: {why}"
            raise report.refuse(value, message, "to mean a character itself, put \\ before it")
        return result

    return kind


def _why_not_compiled(expression: str) -> str:
    try:
        with warnings.catch_warnings():
            # What Python only warns of today ("possible nested set") means something else tomorrow.
            warnings.simplefilter("error")
            re.compile(expression)
    except re.error as error:
        return error.msg + ("" if error.pos is None else f" at character {error.pos + 1}")
    except RecursionError:
        return "it is nested too deeply"
    except (OverflowError, Warning) as error:
        return str(error)
    return ""


def path(what: str) -> Kind[Path]:
    """A path; a relative one starts from the directory of the file it stands in. `..` and links stay as written."""
    base = text(what)

    def kind(value: Value, report: Report) -> Path:
        written = base(value, report)
        if written.startswith("~"):
            raise report.refuse(value, f"{what} begins with '~', which is not replaced here", "write the whole path")
        return report.directory / written

    return kind


def raw(value: Value, report: Report) -> Value:
    """The value itself, for a rule that decides with other fields."""
    return value
