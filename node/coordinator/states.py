"""The state manager (22a): figure 4, one report after the other.

S4-1 read it, S4-2 and S4-3 duplicate control, S4-4 the state table, S4-5 ask for notification. The rows it has seen
are kept in memory; what is held back is counted there and written once a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noroshi.node.coordinator import payload
from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.duplicates import Handling, Observed, judge
from noroshi.node.core.subject import Notify, Subject
from noroshi.store.connection import Connection
from noroshi.store.model import FAILURE_EVENT, Definition, category_of
from noroshi.store.tables import events as table
from noroshi.store.tables import nodes
from noroshi.store.tables.events import EventRow

Notifier = Callable[[Connection, Turn, Definition | None, Subject], None]
Changed = Callable[[Connection, Turn, str, str | None], None]
"""(connection, turn, event, its state now, or None where the report went to the history alone)"""


@dataclass
class _Held:
    """Reports of one name held back in this turn."""

    event_id: int
    times: int = 0
    seen_at: int = 0


class StateManager:
    """`notify` is asked at S4-5, once for each definition that is to run; `changed` is told at S4-4, before."""

    def __init__(self, own_node: str, definitions: DefinitionManager, notify: Notifier, changed: Changed) -> None:
        self._own_node, self._definitions, self._notify, self._changed = own_node, definitions, notify, changed
        self._rows: dict[str, tuple[int, Observed] | None] = {}
        self._held: dict[str, _Held] = {}
        self._node_ids: dict[str, int] = {}

    def accept(
        self,
        connection: Connection,
        turn: Turn,
        node: str,
        event: str,
        state: str,
        supplement: str = "",
        observed_at: int | None = None,
        ordered: bool = True,
        author: str = "",
    ) -> Handling:
        """One report of `node`, through S4-1 to S4-5; `observed_at` is now where it is not given.

        `author`: the operator who says so. What became of it.
        """
        report = Observed(state, supplement, node, turn.at if observed_at is None else observed_at, ordered)
        current = self._current(connection, event)
        defined = self._definitions.matcher.event(event, state)
        verdict = judge(report, None if current is None else current[1], defined)
        if verdict.handling is Handling.COUNT and current is not None:
            held = self._held.setdefault(event, _Held(current[0]))
            held.times += 1
            held.seen_at = max(held.seen_at, report.observed_at)
            return verdict.handling
        update = verdict.handling is Handling.UPDATE
        row = self._store(connection, turn, event, report, update=update, author=author)
        self._changed(connection, turn, event, state if update else None)
        if verdict.notify:
            subject = payload.of_event(row)
            for definition in verdict.notify:
                self._notify(connection, turn, definition, subject)
        return verdict.handling

    def store_failure(self, connection: Connection, turn: Turn, failed: int, supplement: str) -> Sequence[Notify]:
        """S10, S11: a notification-failure event, past S1 and past duplicate control; who is to hear of it."""
        report = Observed("ERROR", supplement, self._own_node, turn.at, ordered=True)
        subject = payload.of_event(self._store(connection, turn, FAILURE_EVENT, report, update=True), failed)
        defined = self._definitions.matcher.event(FAILURE_EVENT, report.state)
        return [Notify(definition, subject) for definition in defined or (None,)]

    def flush(self, connection: Connection) -> None:
        """Write down what was held back; the last thing of a turn."""
        for event, held in self._held.items():
            table.count_duplicate(connection, event, held.event_id, held.times, held.seen_at)
        self._held.clear()

    def _current(self, connection: Connection, event: str) -> tuple[int, Observed] | None:
        if event not in self._rows:
            row = table.state_of(connection, event)
            self._rows[event] = (
                None
                if row is None
                else (row.event_id, Observed(row.state, row.supplement, row.node, row.observed_at, row.ordered))
            )
        return self._rows[event]

    def _store(
        self, connection: Connection, turn: Turn, event: str, report: Observed, *, update: bool, author: str = ""
    ) -> EventRow:
        """The history's new row, as it would be read back."""
        category = category_of(event)
        event_id = table.add_event(
            connection,
            event=event,
            category=category,
            state=report.state,
            supplement=report.supplement,
            node=self._node_id(connection, report.node),
            observed_at=report.observed_at,
            stored_at=turn.at,
            author=author,
        )
        if update:
            self._write_held(connection, event)
            table.set_state(connection, event_id, ordered=report.ordered)
            self._rows[event] = (event_id, report)
        return EventRow(
            event_id, event, category, report.state, report.supplement, report.node, report.observed_at, turn.at
        )

    def _write_held(self, connection: Connection, event: str) -> None:
        """What was held back in this turn belongs to the row that is replaced now."""
        held = self._held.pop(event, None)
        if held is not None:
            table.count_duplicate(connection, event, held.event_id, held.times, held.seen_at)

    def _node_id(self, connection: Connection, node: str) -> int:
        if node not in self._node_ids:
            self._node_ids[node] = nodes.node_id(connection, node)
        return self._node_ids[node]
