"""What people ask of the system, headless: every answer a frozen dataclass read from the shared disk.

Role: the only way the console and the reading commands see data (design section 8).
Rules: reads alone, through the shared reader and the lock file; each call may block as long as the disk does, so a
user interface calls it from a thread. Raises NoroshiError (ReadFailed, NoDatabase, ConfigError) or OSError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from noroshi.store import lock, views
from noroshi.store.claims import read_claims
from noroshi.store.clock import now_us
from noroshi.store.config import load_cluster, load_node
from noroshi.store.errors import ConfigError, NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.views import Bounds, HistorySearch, LogFilter, LogLine, Notification, Window

T = TypeVar("T")

CUT = 4096
"""Bytes of a line a screen asks for; the detail asks for all."""

PAGE = 2000
"""Lines read at once by a command."""

ERROR_WORDS = LogFilter(text=("error", "fail", "fatal", "panic", "crit"))
"""What counts as an error in a line, for jumping from one to the next."""

WHY_UNHEARD = "its host hangs or is cut off; while it holds the lock nobody takes over: end it or mend its network"
"""What it means that nodes run and do not hear whoever holds the role."""


@dataclass(frozen=True)
class Leader:
    """The coordinator as its lock file names it; `since` microseconds UTC."""

    node: str
    term: int
    since: int


@dataclass(frozen=True)
class Leadership:
    """`held`: somebody holds the role now. `leader` is then who; else who held it last, None where nobody ever did."""

    held: bool
    leader: Leader | None


@dataclass(frozen=True)
class Status:
    """All that is now so. `written_at` is when the newest row was stored, None in an empty database; `holding` is what
    keeps notifications back, or will."""

    cluster: str
    leadership: Leadership
    nodes: tuple[views.NodeState, ...]
    states: tuple[views.State, ...]
    written_at: int | None
    holding: views.Holding = field(default_factory=views.Holding)


@dataclass(frozen=True)
class Picture:
    """What a screen shows, from one consistent reading; `tail` is the end of the log, oldest first, long lines cut.

    `bounds` are those of the log, `history` those of the notifications, `pending` how many of these are under way.
    """

    status: Status
    bounds: Bounds
    tail: tuple[LogLine, ...]
    history: Bounds
    pending: int


class Queries:
    """Questions to one shared directory; `config` is the node file it was found by."""

    def __init__(self, layout: Layout, reader: SharedReader, config: str = "") -> None:
        self.layout, self.config = layout, config
        self._reader = reader
        self._cluster: tuple[str, tuple[str, ...]] | None = None

    def fingerprint(self) -> Hashable:
        """Cheap; differs when the database may have changed."""
        return self._reader.fingerprint()

    def leadership(self) -> Leadership:
        """Two looks at the lock file; takes no lock."""
        record = lock.read_lock(self.layout)
        leader = None if record is None else Leader(record.node, record.term, record.since_us)
        return Leadership(leader is not None and lock.is_held(self.layout), leader)

    def claims(self) -> dict[str, Hashable]:
        """By node, what its claim to the role says: another thing each time it was renewed."""
        with suppress(NoroshiError):  # a directory that cannot be read tells nothing; the database is what matters
            return {claim.node: (claim.incarnation, claim.number) for claim in read_claims(self.layout)}
        return {}

    def status(self) -> Status:
        """One consistent reading of nodes and states, and who leads."""
        return self.picture(tail=0).status

    def picture(self, tail: int = 100) -> Picture:
        """As `status`, with the end of the log."""
        name, members = self._members()
        nodes, states, written_at, holding, bounds, lines, history, pending = self.ask(
            lambda c: (
                views.node_states(c),
                views.states(c),
                views.last_write(c),
                views.holding(c, now_us()),
                views.log_bounds(c),
                views.log_before(c, None, tail, CUT),
                views.history_bounds(c),
                views.pending_count(c),
            )
        )
        status = Status(name, self.leadership(), _in_file_order(members, nodes), states, written_at, holding)
        return Picture(status, bounds, lines, history, pending)

    def whole_holding(self) -> views.WholeHolding:
        """What keeps notifications back now, with what each covers and has held back."""
        return self.ask(lambda c: views.whole_holding(c, now_us()))

    def terms(self, limit: int = 1000) -> tuple[views.Term, ...]:
        """The history of terms, oldest first."""
        return self.ask(lambda c: views.terms(c, limit))

    def events(self, which: views.EventFilter, limit: int) -> tuple[views.Event, ...]:
        """The newest events selected, oldest first."""
        return self.ask(lambda c: views.events(c, which, limit))

    def history(self, which: views.HistoryFilter, limit: int) -> tuple[views.Notification, ...]:
        """The newest notifications selected, each with its attempts, oldest first."""
        return views.newest(
            lambda position, left: self.ask(lambda c: views.notifications_before(c, which, position, left)), limit
        )

    def history_rows(self, ids: tuple[int, ...]) -> tuple[Notification, ...]:
        """The notifications with these numbers as a list shows them: long texts cut, without output."""
        return self.ask(lambda c: views.notification_page(c, ids, CUT))

    def whole_notifications(self, which: HistorySearch) -> Iterator[tuple[Notification, ...]]:
        """All that the filter finds, page by page, oldest first."""
        for step in self.scan_history(which, None, backward=False):
            yield self.ask(lambda c, ids=step.ids: views.notifications_numbered(c, ids))

    def whole_notification(self, number: int) -> views.WholeNotification | None:
        """One with all that belongs to it."""
        return self.ask(lambda c: views.whole_notification(c, number))

    def history_id_at(self, instant: int) -> int | None:
        """The first notification begun at or after `instant`."""
        return self.ask(lambda c: views.notification_id_at(c, instant))

    def still_matching(self, which: HistorySearch, ids: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of these notifications: those that match now, and those that may still change."""
        return self.ask(lambda c: views.still_matching(c, which, ids))

    def scan_history(
        self, which: HistorySearch, position: int | None, *, backward: bool, limit: int = PAGE
    ) -> Iterator[views.HistoryStep]:
        """As `scan_log`, over the notifications."""
        while True:
            at = position
            step = self.ask(lambda c, at=at: views.scan_history(c, which, at, backward=backward, limit=limit))
            yield step
            if step.done:
                return
            position = step.position

    def log_bounds(self) -> Bounds:
        """The lowest and highest id of the log."""
        return self.ask(views.log_bounds)

    def log_lines(self, ids: tuple[int, ...]) -> tuple[LogLine, ...]:
        """The lines with these ids, long ones cut."""
        return self.ask(lambda c: views.log_lines(c, ids, CUT))

    def log_line(self, number: int) -> LogLine | None:
        """One line, whole."""
        return self.ask(lambda c: views.log_line(c, number))

    def log_id_at(self, instant: int) -> int | None:
        """The line with the first time at or after `instant`."""
        return self.ask(lambda c: views.log_id_at(c, instant))

    def scan_log(
        self, which: LogFilter, position: int | None, *, backward: bool, limit: int = PAGE, cut: int = CUT
    ) -> Iterator[views.ScanStep]:
        """The filter step by step from `position`; stop it by closing the iterator."""
        while True:
            at = position
            step = self.ask(lambda c, at=at: views.scan(c, which, at, backward=backward, limit=limit, cut=cut))
            yield step
            if step.done:
                return
            position = step.position

    def newest_log(
        self,
        which: LogFilter,
        window: Window,
        limit: int,
        keeps: Callable[[LogLine], bool],
        reached: Callable[[int], None] = lambda number: None,
        *,
        by_time: bool = False,
    ) -> list[LogLine]:
        """The newest `limit` lines in the window that `which` selects and `keeps` accepts, in order of arrival.

        Newest by `LogLine.time` where the window has a bound or `by_time` says so, which then also is the order; by
        arrival where it has none. `reached` is told after each step the id it has come back to, and stops the search
        by raising.
        """
        timed = by_time or window != Window()
        pages = self._back_by_time(which, window, reached) if timed else self._back_by_arrival(which, reached)
        newest_first = (line for page in pages for line in page if keeps(line))
        found = list(islice(newest_first, limit))
        return found[::-1] if by_time else sorted(found, key=lambda line: line.id)

    def _back_by_arrival(self, which: LogFilter, reached: Callable[[int], None]) -> Iterator[Iterable[LogLine]]:
        for step in self.scan_log(which, None, backward=True, cut=views.UNCUT):
            yield reversed(step.lines)
            reached(step.position)

    def _back_by_time(
        self, which: LogFilter, window: Window, reached: Callable[[int], None]
    ) -> Iterator[Iterable[LogLine]]:
        position: tuple[int, int] | None = None
        while True:
            at = position
            step = self.ask(lambda c, at=at: views.scan_window(c, which, window, at, limit=PAGE))
            yield step.lines
            if (position := step.position) is None:
                return
            reached(position[1])

    def ask(self, question: Callable[..., T]) -> T:
        """One read statement of `store.views` (or several), in one consistent reading."""
        return self._reader.query(question)

    def _members(self) -> tuple[str, tuple[str, ...]]:
        """Name and nodes of the cluster; the last good reading while the file is being edited or out of reach."""
        try:
            cluster = load_cluster(self.layout.cluster)
        except (ConfigError, OSError):
            if self._cluster is None:
                raise
            return self._cluster
        self._cluster = cluster.name, cluster.names
        return self._cluster


def open_queries(config: str | Path) -> Queries:
    """Questions to the cluster a node file belongs to. Raises ConfigError."""
    layout = Layout(load_node(Path(config)).shared)
    return Queries(layout, SharedReader(layout), str(config))


def line_matcher(pattern: str | None) -> Callable[[LogLine], bool]:
    """re.search on the line, or everything. Raises ValueError with the place and the reason."""
    if pattern is None:
        return lambda line: True
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return lambda line: search(line.line) is not None


def _in_file_order(members: tuple[str, ...], known: tuple[views.NodeState, ...]) -> tuple[views.NodeState, ...]:
    """Every member of the cluster, UNKNOWN where nothing was declared yet; nodes that left the file are left out."""
    by_name = {node.node: node for node in known}
    return tuple(by_name.get(name, views.NodeState(name, "UNKNOWN", None)) for name in members)
