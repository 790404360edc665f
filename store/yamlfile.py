"""YAML with places: text to values that know their line and column, and every problem found on the way.

Role: the one reader of YAML. What the values must be is said with `validation`, for each file in its own module.
Rules: nothing a file can hold escapes as another error than ConfigError. The tree is built from parser events with a
bound on size, depth and what aliases unfold to, so that neither a deep nor a self-multiplying file costs anything.
YAML 1.1 decides what a plain scalar is (`on`, `no` are booleans, `1:30` a number): a `Scalar` keeps the text as
written beside the kind, so that a refusal can say what to quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from noroshi.store.errors import ConfigError, Problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 200_000
"""Values of one file with every alias unfolded."""

ScalarKind = Literal["string", "integer", "number", "boolean", "null", "other"]

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18}|0x[0-9a-fA-F]{1,16})")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf: `value` is str, int, float, bool or None as `kind` says ("other": the text); `text` is as written."""

    kind: ScalarKind
    value: str | int | float | bool | None
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    values: tuple[Value, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in file order; keys are scalars and unique."""

    entries: tuple[tuple[Scalar, Value], ...]
    line: int
    column: int


Value = Scalar | Items | Mapping


def read_text(file: Path) -> str:
    """The text of a YAML file. Raises ConfigError: unreadable, not a regular file, over 1 MiB, not UTF-8."""
    try:
        if not file.is_file():
            raise _refusal(file, _missing(file), "check the path, and that the directory it lies in is mounted")
        with file.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise _refusal(file, f"cannot be read: {why}", "check its permissions and the user that runs this") from None
    return decode(data, file)


def compose(text: str, file: Path) -> Value:
    """The values of the one document in `text`; an empty text is a null scalar. Raises ConfigError with all problems.

    A syntax error ends the reading; duplicate keys, foreign tags and the like are gathered over the whole file.
    """
    _check_characters(text, file)
    tree = _Tree(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            tree.take(event)
    except yaml.MarkedYAMLError as error:
        tree.problems.append(_syntax_problem(error, text, file))
    except (yaml.YAMLError, ValueError) as error:
        tree.problems.append(Problem(file, 0, 0, f"is not YAML: {error}"))
    except _TooMuch as error:
        tree.problems.append(error.problem)
    if tree.problems:
        raise ConfigError(tree.problems)
    return tree.root


def decode(data: bytes, file: Path) -> str:
    """The text in the bytes of `file`. Raises ConfigError: over 1 MiB, not UTF-8."""
    if len(data) > MAX_BYTES:
        raise _refusal(file, "is larger than 1 MiB", "is this the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"is not UTF-8: byte 0x{data[error.start]:02x}"
        raise ConfigError([Problem(file, line, column, message, "save the file as UTF-8")]) from None


def _missing(file: Path) -> str:
    return "is not a regular file" if file.exists() else "does not exist"


def _refusal(file: Path, message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(file, 0, 0, message, hint)])


def _check_characters(text: str, file: Path) -> None:
    if len(text) > MAX_BYTES:
        raise _refusal(file, "is larger than 1 MiB", "is this the right file?")
    if found := _UNPRINTABLE.search(text):
        before = text[: found.start()]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = f"holds the character U+{ord(found[0]):04X}, which YAML does not allow"
        raise ConfigError(
            [Problem(file, line, column, message, r'write it as an escape in double quotes, like "\x1b"')]
        )


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: Path) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    message = f"is not YAML: {error.problem or 'syntax error'}"
    if error.context and error.context_mark:
        message += f", {error.context} that began in line {error.context_mark.line + 1}"
    return Problem(file, line, column, message, _syntax_hint(f"{error.context} {message}", _line(text, line), column))


_QUOTE_STAR = "text that begins with * must be in quotes"


def _syntax_hint(message: str, line: str, column: int) -> str:
    """For the mistakes that people make most."""
    if "\t" in line[: max(column, len(line) - len(line.lstrip()))]:
        return "indent with spaces, not with tabs"
    if "alias" in message:
        return _QUOTE_STAR
    if "mapping values are not allowed" in message:
        return "text with ': ' in it must be in quotes; keys of one level begin in one column"
    return "text that begins with % @ ` ! & must be in quotes" if "cannot start any token" in message else ""


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""


class _TooMuch(Exception):
    """The file is deeper or unfolds to more than any configuration."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet; `children` alternates keys and values in a mapping."""

    mapping: bool
    anchor: str | None
    line: int
    column: int
    children: list[Value]
    size: int = 1


class _Tree:
    """Builds the values from parser events, without recursion."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Value = Scalar("null", None, "", 1, 1)
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        match event:
            case yaml.DocumentStartEvent():
                self._begin_document(line, column)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line, column)
            case yaml.ScalarEvent():
                self._add(self._scalar(event, line, column), 1, event.anchor)
            case yaml.CollectionStartEvent():
                self._begin(event, line, column)
            case yaml.CollectionEndEvent():
                self._end()

    def _problem(self, line: int, column: int, message: str, hint: str = "") -> Problem:
        return Problem(self.file, line, column, message, hint)

    def _begin_document(self, line: int, column: int) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _TooMuch(self._problem(line, column, "a second document begins here", "keep one document in a file"))

    def _begin(self, event: yaml.CollectionStartEvent, line: int, column: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _TooMuch(self._problem(line, column, f"is nested deeper than {MAX_DEPTH} levels"))
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            self._foreign_tag(event.tag, line, column)
        self._open.append(_Open(mapping, event.anchor, line, column, []))

    def _end(self) -> None:
        done = self._open.pop()
        self._add(self._closed(done), done.size, done.anchor)

    def _closed(self, done: _Open) -> Value:
        if not done.mapping:
            return Items(tuple(done.children), done.line, done.column)
        pairs = zip(done.children[::2], done.children[1::2], strict=True)
        return Mapping(tuple(self._unique(pairs)), done.line, done.column)

    def _unique(self, pairs: Iterator[tuple[Value, Value]]) -> Iterator[tuple[Scalar, Value]]:
        seen: dict[str, int] = {}
        for key, value in pairs:
            if not isinstance(key, Scalar):
                self.problems.append(self._problem(key.line, key.column, "a key must be a single word or text"))
            elif key.text in seen:
                message = f"{key.text!r} stands twice, first in line {seen[key.text]}"
                self.problems.append(self._problem(key.line, key.column, message, "keep one of them"))
            else:
                seen[key.text] = key.line
                yield key, value

    def _add(self, value: Value, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        parent.children.append(value)
        parent.size += size
        if parent.size > MAX_VALUES:
            message = f"holds more than {MAX_VALUES} values, aliases unfolded"
            raise _TooMuch(self._problem(value.line, value.column, message))

    def _alias(self, anchor: str, line: int, column: int) -> None:
        if anchor not in self._anchors:
            inside = any(each.anchor == anchor for each in self._open)
            why = f"the alias *{anchor} stands inside its own anchor" if inside else f"there is no anchor &{anchor}"
            raise _TooMuch(self._problem(line, column, why, _QUOTE_STAR))
        value, size = self._anchors[anchor]
        self._add(value, size, None)

    def _foreign_tag(self, tag: str, line: int, column: int) -> None:
        shown = tag.replace(_TAG, "!!")
        self.problems.append(self._problem(line, column, f"the tag {shown} is not allowed", "leave the tag out"))

    def _scalar(self, event: yaml.ScalarEvent, line: int, column: int) -> Scalar:
        tag = event.tag
        if tag in (None, "!"):
            tag = _resolve(event.value) if event.implicit[0] else _TAG + "str"
        elif tag != _TAG + "str":
            self._foreign_tag(tag, line, column)
        kind, value = _typed(tag.removeprefix(_TAG), event.value)
        return Scalar(kind, value, event.value, line, column)


def _resolve(text: str) -> str:
    """The tag YAML 1.1 gives a plain scalar."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag


def _typed(tag: str, text: str) -> tuple[ScalarKind, str | int | float | bool | None]:
    match tag:
        case "str":
            return "string", text
        case "null":
            return "null", None
        case "bool":
            return "boolean", text.lower() in ("yes", "true", "on")
        case "int" if _INTEGER.fullmatch(text):
            return "integer", int(text, 0)
        case "float":
            return "number", text
        case _:
            return "other", text


def flow(value: object) -> str:
    """`value` (text, numbers, lists, dicts of them) as YAML on one line that reads back equal; text only as needed
    in quotes, with every unprintable character as an escape."""
    match value:
        case str():
            return value if _is_plain(value) else _quoted(value)
        case dict():
            return "{" + ", ".join(f"{flow(key)}: {flow(each)}" for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
        case _:
            return "null" if value is None else str(value).lower()


_PLAIN = re.compile(r"-{0,2}[A-Za-z_/][A-Za-z0-9_./-]*")


def _is_plain(text: str) -> bool:
    is_word = _PLAIN.fullmatch(text) and text.lower() not in ("y", "n")
    return bool(is_word) and _resolve(text) == _TAG + "str"


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
