"""What rode in packets, or could not and was sent with what waited before it: each item once, then as if it had been
sent alone (spec 5).
"""

from __future__ import annotations

from collections.abc import Callable

from noroshi.node.coordinator.events import EventStreams
from noroshi.node.coordinator.lines import LogManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.wire.messages import Answer, EventBatch, LineBatch, LogBatch, OutcomeBatch
from noroshi.store.connection import Connection

Answered = Callable[[Connection, Turn, Answer], None]


class DeferredItems:
    """Events go to the state manager, lines to the log manager, outcomes to the notification manager."""

    def __init__(self, streams: EventStreams, lines: LogManager, answered: Answered) -> None:
        self._streams, self._lines, self._answered = streams, lines, answered

    def accept(
        self, connection: Connection, turn: Turn, node: str, batch: EventBatch | LineBatch | OutcomeBatch
    ) -> int:
        """Take what is new of a batch; the last sequence taken of its stream afterwards."""
        match batch:
            case EventBatch():
                return self._streams.accept(connection, turn, node, batch, "deferred")
            case LineBatch():
                taken = self._streams.take(connection, turn, node, batch, len(batch.parts), "deferred-logs")
                self._lines.accept(connection, turn, node, LogBatch(batch.parts[taken.skip :]), deferred=True)
            case OutcomeBatch():
                taken = self._streams.take(connection, turn, node, batch, len(batch.answers), "outcomes")
                for answer in batch.answers[taken.skip :]:
                    self._answered(connection, turn, answer)
        return taken.position
