"""The shared log manager (22b): stores each selected line, then asks for notification where a definition matches.

Rules: order of arrival, and per source the order of the file. Duplicate control is not applied to lines (spec 3.2). A
definition's pattern runs bounded (`search.py`); one that runs out of time is told as an event. What a source's rate
limit held back is counted in the transaction that takes its bytes, so that every selected line is either stored or
counted, whoever dies; a line of the source's own tells the count once in HELD_EVERY seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import msgspec

from noroshi.node.coordinator import payload
from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.search import BoundedSearch
from noroshi.node.coordinator.states import Notifier
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.receiver import take_part
from noroshi.node.wire.messages import LogBatch, LogPart
from noroshi.store.clock import to_iso
from noroshi.store.connection import Connection
from noroshi.store.model import Definition
from noroshi.store.tables import logs as table
from noroshi.store.tables import nodes, streams
from noroshi.store.values import blamed

GapFound = Callable[[Connection, Turn, str, str, int], None]
"""(connection, turn, node, source, bytes lost)"""
SlowPattern = Callable[[Connection, Turn, str, bool], None]
"""(connection, turn, pattern, whether it is set aside now)"""

HELD_EVERY = 10.0
"""Seconds from the first line held back to the line that tells how many were."""


class LogManager:
    """`gap` records bytes that can no longer come, `slow` a pattern that ran out of time."""

    def __init__(
        self, definitions: DefinitionManager, notify: Notifier, search: BoundedSearch, gap: GapFound, slow: SlowPattern
    ) -> None:
        self._definitions, self._notify, self._search = definitions, notify, search
        self._gap, self._slow = gap, slow
        self._positions: dict[bytes, int | None] = {}
        self._sources: dict[tuple[str, str], tuple[int, int]] = {}
        self.restored = False
        """The database was lost and begun again: a sender may have to go back, once, to where it stands now."""
        self._sent_back: set[bytes] = set()
        self._held_due: dict[int, float] = {}

    def restore(self, connection: Connection, turn: Turn) -> None:
        """Take over what was held back and not told."""
        for source_id, begun_at in table.sources_held_back(connection).items():
            waited = min(max(0.0, (turn.at - begun_at) / 1e6), HELD_EVERY)  # by another node's clock
            self._held_due[source_id] = turn.now + HELD_EVERY - waited

    def tick(self, connection: Connection, turn: Turn) -> None:
        """Tell what was held back long enough ago."""
        for source_id in [source for source, due in self._held_due.items() if due <= turn.now]:
            del self._held_due[source_id]
            with blamed("held_back", source_id):
                held = table.take_held_back(connection, source_id)
                if held is not None:
                    self._store(connection, turn, held.node, source_id, _told(held, turn.at))

    def next_deadline(self) -> float | None:
        """When `tick` has something to tell, monotonic seconds."""
        return min(self._held_due.values(), default=None)

    def accept(
        self, connection: Connection, turn: Turn, node: str, batch: LogBatch, *, deferred: bool = False
    ) -> dict[bytes, int]:
        """Take the parts that are new; where each stream stands afterwards. What was `deferred` cannot go back."""
        stands: dict[bytes, int] = {}
        back: dict[bytes, int] = {}
        for part in batch.parts:
            if part.stream in back:  # a journal sends several parts at once: the later ones come again too
                continue
            to = None if deferred else self._back(connection, part)
            if to is not None:
                back[part.stream] = to
            else:
                stands[part.stream] = self._accept_part(connection, turn, node, part)
        return stands | back

    def _back(self, connection: Connection, part: LogPart) -> int | None:
        """Where a sender that is ahead of a restored database is sent back to, for the file may still have it."""
        last = self._position(connection, part.stream)
        if not self.restored or last is None or part.start <= last or part.stream in self._sent_back:
            return None
        self._sent_back.add(part.stream)
        return last

    def _accept_part(self, connection: Connection, turn: Turn, node: str, part: LogPart) -> int:
        taken = take_part(part.start, part.end, self._position(connection, part.stream), part.ends)
        if not taken.taken:
            return taken.position
        if taken.lost:
            self._gap(connection, turn, node, part.source, taken.lost)
        node_id, source_id = self._source_id(connection, node, part.source)
        if lines := part.lines[taken.skip :]:
            new = msgspec.structs.replace(part, lines=lines, times=part.times[taken.skip :])
            self._store(connection, turn, node, source_id, new)
        if part.held is not None:
            table.hold_back(connection, source_id, part.held.lines, part.held.limit, part.observed_at)
            self._held_due.setdefault(source_id, turn.now + HELD_EVERY)
        streams.advance(connection, part.stream, node_id, "log", taken.position, turn.at)
        self._positions[part.stream] = taken.position
        return taken.position

    def _store(self, connection: Connection, turn: Turn, node: str, source_id: int, part: LogPart) -> None:
        defined = self._definitions.matcher.source(node, part.source)
        first = table.last_id(connection) + 1 if defined else 0
        same = repeat(source_id), repeat(part.observed_at), repeat(turn.at)
        if len(part.times) == len(part.lines):
            table.add_timed_lines(connection, zip(*same, part.lines, part.times, strict=False))
        else:
            table.add_lines(connection, zip(*same, part.lines, strict=False))
        for definition in defined:
            self._notify_matching(connection, turn, definition, first, part.lines)

    def _notify_matching(
        self, connection: Connection, turn: Turn, definition: Definition, first: int, lines: list[str]
    ) -> None:
        for place in self._search.found(definition.pattern, lines):
            row = table.log_by_id(connection, first + place)
            if row is not None:
                self._notify(connection, turn, definition, payload.of_line(row))
        while self._search.complaints:
            self._slow(connection, turn, *self._search.complaints.pop())

    def _position(self, connection: Connection, stream: bytes) -> int | None:
        if stream not in self._positions:
            self._positions[stream] = streams.last(connection, stream)
        return self._positions[stream]

    def _source_id(self, connection: Connection, node: str, source: str) -> tuple[int, int]:
        key = (node, source)
        if key not in self._sources:
            node_id = nodes.node_id(connection, node)
            self._sources[key] = (node_id, nodes.source_id(connection, node_id, source))
        return self._sources[key]


def _told(held: table.HeldBack, at: int) -> LogPart:
    """A part that is one line: how much was held back."""
    when = f"{to_iso(held.begun_at)} to {to_iso(held.ended_at)}"
    line = f"[noroshi: {held.lines} lines held back by the rate limit of {held.rate}, seen {when}]"
    return LogPart(b"", held.source, 0, 0, at, [line])
