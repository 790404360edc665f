"""Rows for people to read, also those that a bad disk has left: SQLite's own check says nothing of what stands in one.

Role: `rows` and `each` fetch, `made` makes a value of a row; every view reads by these two.
Rules: no row is left out and none raises. In place of what cannot be there stands the nearest there is: of text that is
no UTF-8 each bad byte as `\\xff`, of anything else in a text's place its text, of what is no number where one belongs
none, or 0. `damaged` of the value says which columns that concerns, and what stands in them; it is empty mostly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_type_hints

import apsw

T = TypeVar("T")

_SHOWN = 40
"""Characters of what stands in a damaged column that are told."""


def rows(connection: apsw.Connection, statement: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of a statement; text that is no UTF-8 comes as bytes."""
    try:
        return connection.execute(statement, bindings).fetchall()
    except UnicodeDecodeError:
        return list(_rescued(connection, statement, bindings))


def each(connection: apsw.Connection, statement: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Likewise, one by one, for who stops early."""
    given = 0
    try:
        for row in connection.execute(statement, bindings):
            yield row
            given += 1
    except UnicodeDecodeError:
        yield from islice(_rescued(connection, statement, bindings), given, None)


class _Forgiving:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        return each(self._connection, statement, bindings)


def forgiving(connection: apsw.Connection) -> apsw.Connection:
    """A connection for the statements of `store.tables` that read: what it executes gives rows as `each` does."""
    return cast("apsw.Connection", _Forgiving(connection))


def _rescued(connection: apsw.Connection, statement: str, bindings: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Every text fetched as bytes, which costs; those that are sound become text here."""
    count = len(connection.execute(statement, bindings).get_description())
    names = [f"c{at}" for at in range(count)]
    fetched = ", ".join(f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END" for name in names)
    wrapped = f"WITH fetched({', '.join(names)}) AS ({statement}) SELECT {fetched} FROM fetched"  # noqa: S608 - ours
    return (tuple(map(_text_if_sound, row)) for row in connection.execute(wrapped, bindings))


def _text_if_sound(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def made(kind: Callable[..., T], row: Sequence[Any]) -> T:
    """`kind` of a row whose columns are its first fields; see the rules above."""
    if _fits(kind, tuple(map(type, row))):
        return kind(*row)
    found = [(name, wanted, value) for (name, wanted), value in zip(_columns(kind), row, strict=False)]
    values = [_nearest(wanted, value) for _, wanted, value in found]
    wrong = [f"{name} is {_shown(value)}" for name, wanted, value in found if type(value) not in wanted]
    return kind(*values, damaged=", ".join(wrong))


def all_made(kind: Callable[..., T], found: Iterable[Sequence[Any]]) -> tuple[T, ...]:
    """One of each row."""
    return tuple(made(kind, row) for row in found)


@lru_cache(4096)
def _fits(kind: Callable[..., object], types: tuple[type, ...]) -> bool:
    return all(one in wanted for one, (_, wanted) in zip(types, _columns(kind), strict=False))


@lru_cache(64)
def _columns(kind: Callable[..., object]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """The name of each field, and the types that its column may have."""
    return tuple((name, get_args(hint) or (hint,)) for name, hint in get_type_hints(kind).items())


_AS_TEXT: dict[type, Callable[[Any], str]] = {
    bytes: lambda value: value.decode(errors="backslashreplace"),
    NoneType: lambda value: "",
}


def as_text(value: Any) -> str:
    """What stands in a text's place, as the nearest text."""
    return _AS_TEXT.get(type(value), str)(value)


def _nearest(wanted: tuple[type, ...], value: Any) -> Any:
    if type(value) in wanted:
        return value
    if str in wanted:
        return as_text(value)
    return None if NoneType in wanted else 0


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
