"""Saying what a YAML file must be, and finding everything in it that is not so.

Role: the report, lists, mappings and records; `kinds` has the leaves; a file's own module puts them together.
Rules: a kind is a function (value, report) -> result. It writes what is wrong into the report, with place and hint, and
raises `Refused`; containers catch that for each part and go on, so one run finds every problem. Nobody else catches it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from noroshi.store import yamlfile
from noroshi.store.errors import ConfigError, Problem
from noroshi.store.yamlfile import Items, Mapping, Scalar, Value

T = TypeVar("T")

MAX_PROBLEMS = 200
"""Of one file; with more, it is not the file it was taken for, and the rest is not looked for."""


class Refused(Exception):
    """The value is wrong and the report already says so."""


class Report:
    """The problems of one file; `directory` is what its relative paths start from."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.directory = file.absolute().parent
        self.problems: list[Problem] = []

    def note(self, value: Value, message: str, hint: str = "") -> None:
        """Add a problem at the place of `value` and go on. Raises ConfigError at once when there are too many."""
        self.problems.append(Problem(self.file, value.line, value.column, message, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(Problem(self.file, 0, 0, f"has more problems than these {MAX_PROBLEMS}"))
            raise ConfigError(self.problems)

    def refuse(self, value: Value, message: str, hint: str = "") -> Refused:
        """Add a problem; `raise report.refuse(...)`."""
        self.note(value, message, hint)
        return Refused(message)

    def finish(self) -> None:
        """Raises ConfigError if anything was wrong, in the order of the file."""
        if self.problems:
            raise ConfigError(sorted(self.problems, key=lambda each: (each.line, each.column)))


Kind = Callable[[Value, Report], T]


def check(text: str, file: Path, kind: Kind[T]) -> T:
    """What `kind` makes of a whole file. Raises ConfigError with all problems."""
    report = Report(file)
    tree = yamlfile.compose(text, file)
    with suppress(Refused):
        result = kind(tree, report)
        report.finish()
        return result
    report.finish()
    raise AssertionError("a value was refused without a problem in the report")


# --- words for messages ------------------------------------------------------------------------------------------


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or what is known where that is a short list, or nothing."""
    choices = sorted(known)
    lowered = {each.lower(): each for each in choices}
    close = difflib.get_close_matches(wrong.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    return f"known here: {', '.join(choices)}" if 0 < len(choices) <= 12 else ""


def shown(text: str) -> str:
    """Text of the file in quotes, printable, cut where it is long."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def describe(value: Value) -> str:
    """What the file has there."""
    match value:
        case Scalar(kind="null"):
            return "nothing"
        case Scalar(kind="string"):
            return shown(value.text)
        case Scalar():
            return f"{value.text} (for YAML {_NOUNS[value.kind]})"
        case Items():
            return "a list"
        case _:
            return "a mapping"


def is_nothing(value: Value) -> bool:
    """A key with no value behind it, `~` or null."""
    return isinstance(value, Scalar) and value.kind == "null"


_LEAVE_OUT = "give a value or leave the key out"

_NOUNS = {
    "boolean": "true or false",
    "integer": "a number",
    "number": "a number",
    "other": "a date or an odd number",
}


# --- lists and mappings ------------------------------------------------------------------------------------------


def gather(parts: Iterable[Callable[[], T]]) -> list[T]:
    """The result of each part; every part is tried, then Refused is raised if one was refused."""
    results, refused = [], False
    for part in parts:
        try:
            results.append(part())
        except Refused:
            refused = True
    if refused:
        raise Refused
    return results


def list_of(what: str, kind: Kind[T], *, least: int = 0) -> Kind[tuple[T, ...]]:
    """A list, each item by `kind`."""

    def whole(value: Value, report: Report) -> tuple[T, ...]:
        if not isinstance(value, Items):
            hint = _LEAVE_OUT if is_nothing(value) else "write [first, second]"
            raise report.refuse(value, f"{what} must be a list, here is {describe(value)}", hint)
        if len(value.values) < least:
            raise report.refuse(value, f"{what} is empty")
        return tuple(gather(partial(kind, each, report) for each in value.values))

    return whole


def one_or_many(what: str, kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A single value or a list of them; what stands twice counts once."""
    many = list_of(what, kind, least=1)

    def whole(value: Value, report: Report) -> tuple[T, ...]:
        results = many(value, report) if isinstance(value, Items) else (kind(value, report),)
        return tuple(dict.fromkeys(results))

    return whole


def mapping_of(
    what: str, key: Kind[str], kind: Callable[[Scalar, Value, Report], T], *, least: int = 0
) -> Kind[dict[str, T]]:
    """A mapping whose keys are the user's; `kind` sees key and value."""

    def entry(pair: tuple[Scalar, Value], report: Report) -> tuple[str, T]:
        try:
            name = key(pair[0], report)
        except Refused:
            with suppress(Refused):
                kind(*pair, report)
            raise
        return name, kind(*pair, report)

    def whole(value: Value, report: Report) -> dict[str, T]:
        entries = _mapping(value, report, what).entries
        if len(entries) < least:
            raise report.refuse(value, f"{what} is empty")
        return dict(gather(partial(entry, pair, report) for pair in entries))

    return whole


def _mapping(value: Value, report: Report, what: str) -> Mapping:
    if not isinstance(value, Mapping):
        hint = _LEAVE_OUT if is_nothing(value) else "write key: value"
        raise report.refuse(value, f"{what} must be a mapping, here is {describe(value)}", hint)
    return value


# --- records -----------------------------------------------------------------------------------------------------

REQUIRED: Any = object()


@dataclass(frozen=True)
class Field:
    """One key of a record: its kind, and what it is when left out."""

    kind: Kind[Any]
    default: Any = REQUIRED


class Given:
    """The fields of one record that were right, defaults included, and where those of the file stand."""

    def __init__(self, at: Mapping, report: Report) -> None:
        self.at, self.report = at, report
        self.values: dict[str, Any] = {}
        self.places: dict[str, Value] = {}

    def note(self, name: str, message: str, hint: str = "") -> None:
        """A problem at the value of field `name`, or at the record where the file leaves it out."""
        self.report.note(self.places.get(name, self.at), message, hint)


@dataclass(frozen=True)
class Rule:
    """What several fields must be together: `apply` runs once all `needs` are right; it notes, or changes `values`."""

    needs: tuple[str, ...]
    apply: Callable[[Given], None]


def record(what: str, fields: dict[str, Field], build: Callable[..., T], rules: Iterable[Rule] = ()) -> Kind[T]:
    """A mapping with our own keys, then `build(**fields)`; unknown and missing keys are problems."""
    laws = tuple(rules)

    def whole(value: Value, report: Report) -> T:
        before = len(report.problems)
        given = Given(_mapping(value, report, what), report)
        for key, each in given.at.entries:
            _take(what, fields, key, each, given)
        _complete(what, fields, given)
        for law in laws:
            if all(need in given.values for need in law.needs):
                law.apply(given)
        if len(report.problems) > before:
            raise Refused
        return build(**given.values)

    return whole


def _take(what: str, fields: dict[str, Field], key: Scalar, value: Value, given: Given) -> None:
    field = fields.get(key.text)
    if field is None:
        given.report.note(key, f"unknown key {shown(key.text)} in {what}", suggestion(key.text, fields))
        return
    given.places[key.text] = value
    with suppress(Refused):
        given.values[key.text] = field.kind(value, given.report)


def _complete(what: str, fields: dict[str, Field], given: Given) -> None:
    for name, field in fields.items():
        if name in given.places:
            continue
        if field.default is REQUIRED:
            given.report.note(given.at, f"{what} lacks {name!r}")
        else:
            given.values[name] = field.default
