"""Event streams: what of a batch is new goes to the state manager, exactly once (design section 2, Streams)."""

from __future__ import annotations

from noroshi.node.coordinator.states import StateManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.batches import Batch
from noroshi.node.core.receiver import Take, take
from noroshi.node.wire.messages import EventBatch, Unfit
from noroshi.store.connection import Connection
from noroshi.store.tables import nodes, streams

IMMEDIATE = "events"
"""The kind of streams that are sent by request, whose batches follow one another."""


class EventStreams:
    """Keeps the last sequence of each stream and the nodes' ids in memory; a rollback throws the whole object away."""

    def __init__(self, states: StateManager) -> None:
        self._states = states
        self._last: dict[bytes, int | None] = {}
        self._node_ids: dict[str, int] = {}
        self.restored = False
        """The database was lost and begun again: a stream that it does not know may have been known before."""

    def accept(self, connection: Connection, turn: Turn, node: str, batch: EventBatch, kind: str) -> int:
        """Take what is new of a batch; the last sequence taken of its stream afterwards."""
        taken = self.take(connection, turn, node, batch, len(batch.reports), kind)
        for report in batch.reports[taken.skip :]:
            seen = (report.event, report.state, report.supplement, report.observed_at)
            self._states.accept(connection, turn, node, *seen, ordered=kind == IMMEDIATE)
        return taken.position

    def take(
        self,
        connection: Connection,
        turn: Turn,
        node: str,
        batch: Batch | Unfit,
        count: int,
        kind: str,
    ) -> Take:
        """What of a batch of `count` items is new; it counts as taken, to be stored in this same transaction.

        Packets get lost, so a deferred stream that was never seen begins at the oldest its node keeps. After the loss
        of a database any stream begins at its first: what is kept comes again, what is not is a gap.
        """
        last = self._position(connection, batch.stream)
        taken = self._new(connection, batch, count, kind)
        if taken is None:
            return Take(count, last or 0)
        if taken.lost:
            self.gap(connection, turn, node, f"{kind} stream", taken.lost)
        if taken.position != last:
            streams.advance(connection, batch.stream, self._node_id(connection, node), kind, taken.position, turn.at)
            self._last[batch.stream] = taken.position
        return taken

    def brings(self, connection: Connection, item: Unfit) -> bool:
        """Whether `take` would take this one item."""
        taken = self._new(connection, item, 1, item.kind)
        return taken is not None and taken.skip == 0

    def _new(self, connection: Connection, batch: Batch | Unfit, count: int, kind: str) -> Take | None:
        last = self._position(connection, batch.stream)
        known = batch.oldest - 1 if last is None and kind != IMMEDIATE else last
        return take(batch.first, batch.oldest, count, 0 if last is None and self.restored else known)

    def gap(self, connection: Connection, turn: Turn, node: str, source: str, lost: int) -> None:
        """Record as an event that something of a stream can no longer come."""
        self.wrong(connection, turn, node, f"{source}: {lost} lost, no longer kept")

    def wrong(self, connection: Connection, turn: Turn, node: str, what: str) -> None:
        """Record as an event what is wrong with what a node says."""
        self._states.accept(connection, turn, node, f"monitor/{node}/streams", "ERROR", what)

    def _node_id(self, connection: Connection, node: str) -> int:
        if node not in self._node_ids:
            self._node_ids[node] = nodes.node_id(connection, node)
        return self._node_ids[node]

    def _position(self, connection: Connection, stream: bytes) -> int | None:
        if stream not in self._last:
            self._last[stream] = streams.last(connection, stream)
        return self._last[stream]
