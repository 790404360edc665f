"""Who has taken on which event: begun by operators, ended by them, by time, or by the event's next state (spec 7).

Rules: an acknowledgement is of an event in the state it has; another state is news and ends it. It stops repeats and
escalations of every definition that told of the event; it never keeps a change from being told.
"""

from __future__ import annotations

from collections.abc import Callable

from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.reasons import Reason, because
from noroshi.node.wire.messages import Changed, Refused
from noroshi.node.wire.operating import Acknowledge
from noroshi.store.clock import to_iso
from noroshi.store.connection import Connection
from noroshi.store.tables import events
from noroshi.store.tables import troubles as table
from noroshi.store.tables.troubles import AcknowledgementRow
from noroshi.store.values import blamed

Moved = Callable[[Connection, Turn, str, bool], None]
"""(connection, turn, event, whether it is acknowledged now)"""


class AcknowledgementManager:
    """`moved` is told of each that begins or ends by hand or by time."""

    def __init__(self, term: int, moved: Moved) -> None:
        self._term, self._moved = term, moved
        self._open: dict[str, AcknowledgementRow] = {}

    def restore(self, connection: Connection) -> None:
        self._open = {row.event: row for row in table.acknowledgements(connection)}

    def holds(self, event: str) -> bool:
        """Whether somebody has taken it on."""
        return event in self._open

    def work(self, connection: Connection, turn: Turn, asked: Acknowledge) -> Changed | Refused:
        """Take an event on, or give it back."""
        event = asked.event or table.event_of(connection, asked.notification)
        state = None if event is None else events.state_of(connection, event)
        if event is None or state is None:
            what = f"event {asked.event}" if asked.event else f"notification {asked.notification} of an event"
            return Refused("unknown", f"no {what}", "`noroshi status` shows events, `noroshi history` notifications")
        if asked.withdraw:
            return self._withdraw(connection, turn, event, asked.author)
        self._end(connection, turn, event, because(Reason.REPLACED, asked.author))
        until = None if asked.duration is None else turn.at + round(asked.duration * 1_000_000)
        table.acknowledge(connection, event, state.state, asked.author, asked.comment, turn.at, until)
        self.restore(connection)
        self._moved(connection, turn, event, True)
        limit = "while that lasts" if until is None else f"until {to_iso(until)}"
        return Changed(self._term, [f"{event} {state.state} acknowledged by {asked.author}, {limit}"])

    def _withdraw(self, connection: Connection, turn: Turn, event: str, author: str) -> Changed | Refused:
        if not self.holds(event):
            return Refused("unknown", f"{event} is not acknowledged", "`noroshi status` shows what is")
        self._end(connection, turn, event, because(Reason.WITHDRAWN, author))
        self._moved(connection, turn, event, False)
        return Changed(self._term, [f"{event} is no longer acknowledged"])

    def changed(self, connection: Connection, turn: Turn, event: str, state: str) -> None:
        """The event is in `state` now; another than the acknowledged one ends the acknowledgement."""
        row = self._open.get(event)
        if row is not None and row.state != state:
            self._end(connection, turn, event, because(Reason.STATE_CHANGED, f"{row.state} -> {state}"))

    def tick(self, connection: Connection, turn: Turn) -> None:
        """End those whose time is over."""
        for row in [row for row in self._open.values() if row.until is not None and row.until <= turn.at]:
            with blamed("acknowledgements", row.id):
                self._end(connection, turn, row.event, Reason.EXPIRED.value)
                self._moved(connection, turn, row.event, False)

    def next_at(self) -> int | None:
        """When the next one ends, microseconds UTC."""
        return min((row.until for row in self._open.values() if row.until is not None), default=None)

    def _end(self, connection: Connection, turn: Turn, event: str, reason: str) -> None:
        row = self._open.pop(event, None)
        if row is not None:
            table.end_acknowledgement(connection, row.id, turn.at, reason)
