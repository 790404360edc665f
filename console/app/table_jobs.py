"""The jobs of a list over pages: rows, the filter through all of them, jumps, saving to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textual.message import Message

from noroshi.console.app.messages import LookedAgain, PlaceFound, RowsRead, RowsSaved, ScanStepped
from noroshi.console.app.reading import Job
from noroshi.console.app.tables import Table, Which
from noroshi.console.queries import Queries
from noroshi.console.sanitise import escaped_json, visible
from noroshi.store.errors import NoroshiError


def rows_job(table: Table[Any, Any], ids: tuple[int, ...]) -> Job:
    """Read these rows."""

    def job(queries: Queries) -> Iterator[Message]:
        yield RowsRead(table.name, ids, table.rows(queries, ids))

    return job


def scan_job(table: Table[Any, Which], which: Which, position: int | None, generation: int, *, backward: bool) -> Job:
    """Find the rows of a filter from `position` to that end, newest first or oldest first."""

    def job(queries: Queries) -> Iterator[Message]:
        for found in table.scan(queries, which, position, backward=backward):
            yield ScanStepped(generation, backward, found)

    return job


def look_again_job(table: Table[Any, Which], which: Which, ids: tuple[int, ...], generation: int) -> Job:
    """Find out which of these rows, that may have changed, the filter finds now."""

    def job(queries: Queries) -> Iterator[Message]:
        yield LookedAgain(generation, ids, *table.look_again(queries, which, ids))

    return job


def trouble_job(table: Table[Any, Any], position: int | None, no: str, *, backward: bool) -> Job:
    """Find the next row that tells of trouble; `no`: of which kind it is said that there is none."""
    sought = f"{no}{table.trouble_name}"

    def job(queries: Queries) -> Iterator[Message | None]:
        for found in table.scan(queries, table.trouble, position, backward=backward, limit=1):
            if found.ids:
                yield PlaceFound(table.name, found.ids[0], sought)
                return
            yield None
        yield PlaceFound(table.name, None, sought)

    return job


def time_job(table: Table[Any, Any], instant: int, typed: str) -> Job:
    """Find the first row at or after an instant."""

    def job(queries: Queries) -> Iterator[Message]:
        yield PlaceFound(table.name, table.id_at(queries, instant), f"{table.one} at or after {visible(typed)}")

    return job


def save_job(table: Table[Any, Which], which: Which, typed: str) -> Job:
    """Write every row of the filter as JSON lines to a new file, for its owner alone; `typed` may begin with ~."""

    def job(queries: Queries) -> Iterator[Message | None]:
        count = 0
        path = _path(typed)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for page in table.whole(queries, which):
                for row in page:
                    file.write(escaped_json(json.dumps(table.as_json(row), ensure_ascii=False)) + "\n")
                count += len(page)
                yield None
        yield RowsSaved(str(path), f"{count:,} {table.noun}")

    return job


def _path(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError as error:  # ~NAME of nobody
        raise NoroshiError("no such home", on=typed, why=str(error)) from error
