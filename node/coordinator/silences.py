"""Silences and maintenance in force: begun and ended by operators or by time, their ends looked after (spec 7).

Rules: kept by the wall clock, for they outlive coordinators. What a silence held back is looked at again when it ends:
what is still so is notified then, by the definitions of that moment, unless another silence covers it.
"""

from __future__ import annotations

from collections.abc import Callable

from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.reasons import Reason, because
from noroshi.node.core.subject import Subject
from noroshi.node.wire.messages import Changed, Refused
from noroshi.node.wire.operating import AddSilence, EndSilence
from noroshi.store.clock import to_iso
from noroshi.store.connection import Connection
from noroshi.store.silences import Silence, covering_event, covering_line
from noroshi.store.tables import notifications
from noroshi.store.tables import silences as table
from noroshi.store.values import blamed

Resume = Callable[[Connection, Turn, str, set[str]], None]
"""(connection, turn, event, definitions): look again whether it is still to be told."""

Ended = Callable[[Connection, Turn, Silence], None]


class SilenceManager:
    """`resume` is asked for each event that an ended silence held back, after `ended` was told of it."""

    def __init__(self, nodes: frozenset[str], term: int, resume: Resume, ended: Ended) -> None:
        self._nodes, self._term, self._resume, self._ended = nodes, term, resume, ended
        self._open: list[Silence] = []

    def restore(self, connection: Connection) -> None:
        """Those that stand; one whose time ran out meanwhile ends in the first `tick`."""
        self._open = table.open_ones(connection)

    def covering(self, subject: Subject, at: int) -> Silence | None:
        """What keeps it from being told at `at`."""
        if not self._open:
            return None
        covering = covering_line if subject.kind == "line" else covering_event
        return covering((one for one in self._open if one.begun_at <= at), subject.name, subject.node)

    def add(self, connection: Connection, turn: Turn, asked: AddSilence) -> Changed | Refused:
        """A new one, from now on."""
        if bool(asked.pattern) == bool(asked.node):
            return Refused("bad-message", "a silence is of a pattern or of a node, one of the two")
        if asked.node and asked.node not in self._nodes:
            return Refused(
                "unknown", f"no node {asked.node} in the cluster", f"there are {', '.join(sorted(self._nodes))}"
            )
        begins = turn.at + round(asked.wait * 1_000_000)
        until = begins + round(asked.duration * 1_000_000)
        number = table.add(connection, asked.pattern, asked.node, asked.author, asked.comment, begins, until)
        self.restore(connection)
        what = (
            f"silence {number} of {asked.pattern}"
            if asked.pattern
            else f"maintenance of {asked.node} (silence {number})"
        )
        start = f"from {to_iso(begins)} " if asked.wait else ""
        return Changed(self._term, [f"{what} {start}until {to_iso(until)}"])

    def end(self, connection: Connection, turn: Turn, asked: EndSilence) -> Changed | Refused:
        """By an operator, before its time."""
        found = [
            one
            for one in self._open
            if (one.id == asked.number if asked.number else one.node and one.node == asked.node)
        ]
        if not found:
            what = f"silence {asked.number}" if asked.number else f"maintenance of {asked.node}"
            return Refused("unknown", f"no {what} stands", "`noroshi silence list` shows what does")
        for one in found:
            self._end(connection, turn, one, asked.author)
        return Changed(self._term, [f"ended: {one}" for one in found])

    def tick(self, connection: Connection, turn: Turn) -> None:
        """End those whose time is over."""
        for one in [one for one in self._open if one.until <= turn.at]:
            with blamed("silences", one.id):
                self._end(connection, turn, one, "")

    def next_at(self) -> int | None:
        """When the next one ends, microseconds UTC."""
        return min((one.until for one in self._open), default=None)

    def _end(self, connection: Connection, turn: Turn, one: Silence, by: str) -> None:
        table.end(connection, one.id, turn.at, by)
        self._open = [other for other in self._open if other.id != one.id]
        self._ended(connection, turn, one)
        events: dict[str, set[str]] = {}
        for definition, event in notifications.held_events(connection, one.holder):
            events.setdefault(event, set()).add(definition)
        for event, definitions in events.items():
            self._resume(connection, turn, event, definitions)


def why(one: Silence) -> str:
    """The reason stored with what it holds back."""
    return because(Reason.SILENCED, f"{one}, until {to_iso(one.until)}")
