"""The two tables people page through, the log and the notification history, behind one shape.

Role: what a list, its filter and its jumps ask of a table, so that they are written once. Rules: nothing is kept here;
what asks the disk takes the queries of the thread it runs in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from noroshi.console.app.filtering import TextFilter, parse_history, parse_log
from noroshi.console.output import log_json, notification_json
from noroshi.console.queries import ERROR_WORDS, PAGE, Picture, Queries
from noroshi.store.views import UNCUT, Bounds, HistorySearch, LogFilter, LogLine, Notification

UNTOLD = ("failed", "abandoned")
"""The statuses that say nobody was told."""


class Numbered(Protocol):
    """A row of a table, known by its id; ids are in the order of arrival."""

    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=Numbered)
Which = TypeVar("Which")


@dataclass(frozen=True)
class Found:
    """One step of a filter: `ids` found, oldest first, with the `rows` that were read on the way.

    Go on from `position`; `done`: the end was reached; `open`: ids that were passed and may still change.
    """

    ids: tuple[int, ...]
    position: int
    done: bool
    rows: tuple[Numbered, ...] = ()
    open: tuple[int, ...] = ()


class Table(ABC, Generic[Row, Which]):
    """`name` is that of the screen; `noun` counts rows, `one` names a single one; `trouble` is for e and E."""

    name: str
    noun: str
    one: str
    trouble: Which
    trouble_name: str
    everything: Which

    @abstractmethod
    def parse(self, typed: str) -> tuple[Which, TextFilter]:
        """What an operator typed: the filter to search by, and the text alone to highlight."""

    @abstractmethod
    def bounds(self, picture: Picture) -> Bounds:
        """Where the table begins and ends now."""

    @abstractmethod
    def rows(self, queries: Queries, ids: tuple[int, ...]) -> tuple[Row, ...]:
        """The rows with these ids, as a list shows them."""

    @abstractmethod
    def scan(
        self, queries: Queries, which: Which, position: int | None, *, backward: bool, limit: int = PAGE
    ) -> Iterator[Found]:
        """The filter step by step from `position` (None: from that end)."""

    def look_again(
        self, queries: Queries, which: Which, ids: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of these rows: those that match now, and those that may still change. For rows that never change: none."""
        raise NotImplementedError

    @abstractmethod
    def id_at(self, queries: Queries, instant: int) -> int | None:
        """The first row at or after an instant, microseconds UTC."""

    @abstractmethod
    def whole(self, queries: Queries, which: Which) -> Iterator[tuple[Row, ...]]:
        """Every row of the filter, whole, page by page."""

    @abstractmethod
    def as_json(self, row: Row) -> dict[str, Any]:
        """A row as the reading commands print it."""


class LogTable(Table[LogLine, LogFilter]):
    """The shared log; a line never changes."""

    name, noun, one = "log", "lines", "line"
    trouble, trouble_name = ERROR_WORDS, "line that tells of an error"
    everything = LogFilter()

    def parse(self, typed: str) -> tuple[LogFilter, TextFilter]:
        return parse_log(typed)

    def bounds(self, picture: Picture) -> Bounds:
        return picture.bounds

    def rows(self, queries: Queries, ids: tuple[int, ...]) -> tuple[LogLine, ...]:
        return queries.log_lines(ids)

    def scan(
        self, queries: Queries, which: LogFilter, position: int | None, *, backward: bool, limit: int = PAGE
    ) -> Iterator[Found]:
        for step in queries.scan_log(which, position, backward=backward, limit=limit):
            yield Found(tuple(line.id for line in step.lines), step.position, step.done, step.lines)

    def id_at(self, queries: Queries, instant: int) -> int | None:
        return queries.log_id_at(instant)

    def whole(self, queries: Queries, which: LogFilter) -> Iterator[tuple[LogLine, ...]]:
        for step in queries.scan_log(which, None, backward=False, cut=UNCUT):
            yield step.lines

    def as_json(self, row: LogLine) -> dict[str, Any]:
        return log_json(row)


class HistoryTable(Table[Notification, HistorySearch]):
    """The notifications; one changes until it has ended."""

    name, noun, one = "notifications", "notifications", "notification"
    trouble, trouble_name = HistorySearch(statuses=UNTOLD), "notification that failed"
    everything = HistorySearch()

    def parse(self, typed: str) -> tuple[HistorySearch, TextFilter]:
        return parse_history(typed)

    def bounds(self, picture: Picture) -> Bounds:
        return picture.history

    def rows(self, queries: Queries, ids: tuple[int, ...]) -> tuple[Notification, ...]:
        return queries.history_rows(ids)

    def scan(
        self, queries: Queries, which: HistorySearch, position: int | None, *, backward: bool, limit: int = PAGE
    ) -> Iterator[Found]:
        for step in queries.scan_history(which, position, backward=backward, limit=limit):
            yield Found(step.ids, step.position, step.done, open=step.unfinished)

    def look_again(
        self, queries: Queries, which: HistorySearch, ids: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return queries.still_matching(which, ids)

    def id_at(self, queries: Queries, instant: int) -> int | None:
        return queries.history_id_at(instant)

    def whole(self, queries: Queries, which: HistorySearch) -> Iterator[tuple[Notification, ...]]:
        yield from queries.whole_notifications(which)

    def as_json(self, row: Notification) -> dict[str, Any]:
        return notification_json(row)
