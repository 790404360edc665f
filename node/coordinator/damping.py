"""Flapping events and reached limits: what is held back for them, and one summary when it is over (spec 7).

Rules: the windows are made from the history where they are not known, so a take-over changes nothing. What a limit
held back is not told one by one when it ends, or the storm would come again: the summary says how much it was and of
what, the history has each. An event that flapped is told once more if it is still so.
"""

from __future__ import annotations

from collections.abc import Callable

from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.reasons import Reason, because, seconds
from noroshi.node.core.subject import Subject
from noroshi.store.connection import Connection
from noroshi.store.damping import Window
from noroshi.store.matching import NamePattern
from noroshi.store.model import Definition, Flap, Limit
from noroshi.store.tables import holds as table
from noroshi.store.tables.holds import HoldRow
from noroshi.store.values import blamed

Over = Callable[[Connection, Turn, HoldRow, list[tuple[str, str, int]]], None]
"""(connection, turn, what has ended, (definition, event or source, how many) of what it held back)"""

Key = tuple[str, str, str]
"""kind, definition, event"""

REMEMBERED = 8192
"""Windows of events kept; the history has what is forgotten."""

NAMED = 10
"""Names that a summary lists."""


class DampingManager:
    """`overall` is the cluster's own limit; `over` is told of each hold that ended."""

    def __init__(self, definitions: DefinitionManager, overall: Limit | None, over: Over) -> None:
        self._definitions, self._overall, self._over = definitions, overall, over
        self._holds: dict[Key, HoldRow] = {}
        self._flaps: dict[tuple[str, Flap], Window] = {}
        self._limits: dict[tuple[str, Limit], Window] = {}

    def restore(self, connection: Connection) -> None:
        """What stands; the windows come when they are needed."""
        self._holds = {(row.kind, row.definition, row.event): row for row in table.standing(connection)}

    def changed(self, connection: Connection, turn: Turn, event: str) -> None:
        """One more report of this event that was no duplicate, stored already."""
        for one in self._definitions.damped:
            if one.flap is not None and NamePattern(one.event).matches(event):
                known = (event, one.flap) in self._flaps
                window = self._flap(connection, event, one.flap)
                if known:
                    window.add(turn.at)

    def admit(self, connection: Connection, turn: Turn, definition: Definition, subject: Subject) -> HoldRow | None:
        """What holds it back, begun now or standing; None: it is told, and counted as told."""
        held = self._flapping(connection, turn, definition, subject)
        if held is None:
            held = self._limited(connection, turn, "limit", definition.name, definition.limit)
        if held is None:
            held = self._limited(connection, turn, "overall", "", self._overall)
        if held is None:
            for name, limit in ((definition.name, definition.limit), ("", self._overall)):
                if limit is not None:
                    self._limit(connection, name, limit).add(turn.at)
        return held

    def reason(self, held: HoldRow, definition: Definition) -> str:
        """The reason stored with what `held` holds back."""
        if held.kind == "flap" and definition.flap is not None:
            flap = definition.flap
            return because(Reason.FLAPPING, f"{flap.changes} changes of {held.event} within {seconds(flap.within)}")
        limit = definition.limit if held.kind == "limit" else self._overall
        what = "" if limit is None else f"{limit.count} within {seconds(limit.within)}"
        return because(Reason.LIMITED if held.kind == "limit" else Reason.LIMITED_OVERALL, what)

    def tick(self, connection: Connection, turn: Turn) -> None:
        """End what is calm again, or over."""
        for key, row in list(self._holds.items()):
            with blamed("holds", row.id):
                if self._ends_at(connection, row) <= turn.at:
                    del self._holds[key]
                    table.end(connection, row.id, turn.at)
                    self._over(connection, turn, row, table.held(connection, row.holder))

    def next_at(self, connection: Connection) -> int | None:
        """When `tick` is due, microseconds UTC."""
        return min((self._ends_at(connection, row) for row in self._holds.values()), default=None)

    # --- windows --------------------------------------------------------------------------------------------------

    def _flapping(self, connection: Connection, turn: Turn, one: Definition, subject: Subject) -> HoldRow | None:
        if one.flap is None or subject.kind != "event":
            return None
        key = ("flap", one.name, subject.name)
        if key not in self._holds and self._flap(connection, subject.name, one.flap).is_full(turn.at):
            self._holds[key] = table.begin(connection, *key, turn.at, None)
        return self._holds.get(key)

    def _limited(self, connection: Connection, turn: Turn, kind: str, name: str, limit: Limit | None) -> HoldRow | None:
        if limit is None:
            return None
        key = (kind, name, "")
        if key not in self._holds and self._limit(connection, name, limit).is_full(turn.at):
            until = turn.at + round(limit.within * 1_000_000)
            self._holds[key] = table.begin(connection, *key, turn.at, until)
        return self._holds.get(key)

    def _flap(self, connection: Connection, event: str, flap: Flap) -> Window:
        window = self._flaps.get((event, flap))
        if window is None:
            if len(self._flaps) >= REMEMBERED:
                self._flaps.clear()
            past = table.changes_of(connection, event, flap.changes)
            window = self._flaps[event, flap] = Window(flap.changes, flap.within, past)
        return window

    def _limit(self, connection: Connection, name: str, limit: Limit) -> Window:
        window = self._limits.get((name, limit))
        if window is None:
            past = table.begun(connection, name, limit.count)
            window = self._limits[name, limit] = Window(limit.count, limit.within, past)
        return window

    def _ends_at(self, connection: Connection, row: HoldRow) -> int:
        if row.until is not None:
            return row.until
        definition = self._definitions.current(row.definition)
        if definition is None or definition.flap is None:
            return row.since
        return self._flap(connection, row.event, definition.flap).calm_at()


def summary(row: HoldRow, held: list[tuple[str, str, int]]) -> str:
    """How much of what, in words: of one definition's."""
    total = sum(count for _, _, count in held)
    names = [f"{name} {count}" for _, name, count in held]
    more = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
    why = {"flap": "flapping", "limit": "limit reached", "overall": "overall limit reached"}[row.kind]
    return f"{total} held back, {why}: {', '.join(names[:NAMED])}{more}"
