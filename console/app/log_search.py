"""The jobs of the log screen: pages, the filter through all lines, jumps, saving to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from textual.message import Message

from noroshi.console.app.messages import LinesRead, LogSaved, PlaceFound, ScanStepped
from noroshi.console.app.reading import Job
from noroshi.console.output import log_json
from noroshi.console.queries import ERROR_WORDS, Queries
from noroshi.console.sanitise import escaped_json, visible
from noroshi.store.views import UNCUT, LogFilter


def lines_job(ids: tuple[int, ...]) -> Job:
    """Read these lines."""

    def job(queries: Queries) -> Iterator[Message]:
        yield LinesRead(ids, queries.log_lines(ids))

    return job


def scan_job(which: LogFilter, position: int | None, generation: int, *, backward: bool) -> Job:
    """Find the lines of a filter from `position` to that end, newest first or oldest first."""

    def job(queries: Queries) -> Iterator[Message]:
        for step in queries.scan_log(which, position, backward=backward):
            yield ScanStepped(generation, backward, step)

    return job


def error_job(position: int | None, *, backward: bool) -> Job:
    """Find the next line that tells of an error."""

    def job(queries: Queries) -> Iterator[Message | None]:
        for step in queries.scan_log(ERROR_WORDS, position, backward=backward, limit=1):
            if step.lines:
                yield PlaceFound(step.lines[0].id, "line that tells of an error")
                return
            yield None
        yield PlaceFound(None, "line that tells of an error")

    return job


def time_job(instant: int, typed: str) -> Job:
    """Find the first line at or after an instant."""

    def job(queries: Queries) -> Iterator[Message]:
        yield PlaceFound(queries.log_id_at(instant), f"line at or after {visible(typed)}")

    return job


def save_job(which: LogFilter, path: Path) -> Job:
    """Write every line of the filter as JSON lines to a new file, for its owner alone."""

    def job(queries: Queries) -> Iterator[Message | None]:
        count = 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for step in queries.scan_log(which, None, backward=False, cut=UNCUT):
                for line in step.lines:
                    file.write(escaped_json(json.dumps(log_json(line), ensure_ascii=False)) + "\n")
                count += len(step.lines)
                yield None
        yield LogSaved(str(path), count)

    return job
