"""Reading the whole database in the background, piece by piece, for damage nobody has met yet.

Role: run by the coordinator's helper (care.py) after a take-over, beside a leader at work.
Rules: each piece is one query of the shared reader, short enough to fit between two changes of the mark; one that does
not is made smaller. So nothing is locked or held up and nothing of a busy database is found wrong that is only moving.
Of a big table every row is read with all its columns, and looked up in each of its indexes; small ones SQLite checks
itself. What this passes over (the list of free pages, entries of an index without a row) is met at work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import apsw

from noroshi.store.errors import DamagedRead, ReadFailed
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.soundness import missing_tables

BIG = 20_000
"""Rows from which on a table is read in pieces; the size of the first piece, too."""
_LEAST, _MOST = 200, 50_000
_PATIENCE = 2.0
"""Seconds for which a piece is tried before a smaller one is."""


def check(layout: Layout, step: Callable[[], None] = lambda: None) -> str:
    """What is wrong with the database, empty where nothing was found. `step` is called after each piece.

    Raises NoDatabase, ReadFailed.
    """
    reader = SharedReader(layout)
    try:
        lost = reader.query(missing_tables, _PATIENCE)
        if lost:
            return lost
        for table in reader.query(_tables, _PATIENCE):
            if found := _check_table(reader, table, step):
                return f"table {table.name}: {found}"
    except DamagedRead as error:
        return error.why
    return ""


@dataclass(frozen=True)
class _Table:
    """`columns` that are read; `indexes`: name, columns, and the condition of a partial one.

    `last`: of a big table, the row id up to which it is read; what came later the leader has just written. Else None.
    """

    name: str
    last: int | None = None
    columns: tuple[str, ...] = ()
    indexes: tuple[tuple[str, tuple[str, ...], str], ...] = ()


def _tables(connection: apsw.Connection) -> list[_Table]:
    names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [_table(connection, name) for name in names if not name.startswith("sqlite_")]


def _table(connection: apsw.Connection, name: str) -> _Table:
    columns = tuple(str(row[1]) for row in connection.execute(f'PRAGMA table_info("{name}")'))
    if "id" not in columns or not _has_row_ids(connection, name):
        return _Table(name)
    low, high = next(connection.execute(f'SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM "{name}"'))  # noqa: S608
    if high - low < BIG:
        return _Table(name)
    listed = [(str(row[1]), bool(row[4])) for row in connection.execute(f'PRAGMA index_list("{name}")')]
    indexes = tuple((index, _key(connection, index), _condition(connection, index, part)) for index, part in listed)
    return _Table(name, high, columns, indexes)


def _has_row_ids(connection: apsw.Connection, name: str) -> bool:
    return not next(connection.execute("SELECT wr FROM pragma_table_list(?)", (name,)))[0]


def _key(connection: apsw.Connection, index: str) -> tuple[str, ...]:
    return tuple(str(row[2]) for row in connection.execute(f'PRAGMA index_info("{index}")'))


def _condition(connection: apsw.Connection, index: str, partial: bool) -> str:
    if not partial:
        return "true"
    text = str(next(connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (index,)))[0])
    return re.split(r"\bWHERE\b", text, maxsplit=1, flags=re.IGNORECASE)[1]


def _check_table(reader: SharedReader, table: _Table, step: Callable[[], None]) -> str:
    if table.last is None:
        found = _patiently(reader, lambda connection: _sqlite_check(connection, table.name))
        step()
        return found
    after, size = -(2**63), BIG
    while True:
        try:
            until, found = reader.query(lambda c, at=after, rows=size: _check_piece(c, table, at, rows), _PATIENCE)  # type: ignore[misc]
        except DamagedRead:
            raise
        except ReadFailed:
            if size == _LEAST:
                raise
            size = max(size // 4, _LEAST)
            continue
        if found or until is None:
            return found
        after, size = until, min(size * 2, _MOST)
        step()


def _patiently(reader: SharedReader, function: Callable[[apsw.Connection], str]) -> str:
    """A small table: between two changes of the mark, sooner or later."""
    return reader.query(function, 30.0)


def _sqlite_check(connection: apsw.Connection, table: str) -> str:
    found = " ".join(str(next(connection.execute(f'PRAGMA integrity_check("{table}")'))[0]).split())
    return "" if found == "ok" else found


def _check_piece(connection: apsw.Connection, table: _Table, after: int, rows: int) -> tuple[int | None, str]:
    """The last row id of the piece, None behind the end; what is wrong in it."""
    piece = f'SELECT id FROM "{table.name}" NOT INDEXED WHERE id > ? AND id <= ? ORDER BY id LIMIT ?'  # noqa: S608
    until = next(connection.execute(f"SELECT max(id) FROM ({piece})", (after, table.last, rows)))[0]  # noqa: S608
    if until is None:
        return None, ""
    read = " + ".join(f'total(length(CAST("{column}" AS BLOB)))' for column in table.columns)
    bounds = (after, until)
    for _ in connection.execute(f'SELECT {read} FROM "{table.name}" NOT INDEXED WHERE id > ? AND id <= ?', bounds):  # noqa: S608
        pass
    for index, key, condition in table.indexes:
        for (number,) in connection.execute(_missing(table.name, index, key, condition), bounds):
            return int(until), f"row {number} is missing from index {index}"
    return int(until), ""


def _missing(table: str, index: str, key: tuple[str, ...], condition: str) -> str:
    """The statement that finds a row of a piece which an index has not."""
    same = " AND ".join(f'"{column}" IS o."{column}"' for column in key)
    return (
        f'SELECT o.id FROM "{table}" AS o NOT INDEXED WHERE o.id > ? AND o.id <= ? AND ({condition})'  # noqa: S608
        f' AND NOT EXISTS (SELECT 1 FROM "{table}" INDEXED BY "{index}" WHERE {same} AND ({condition}) AND id = o.id)'
        " LIMIT 1"
    )
