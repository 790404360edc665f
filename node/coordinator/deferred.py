"""What rode in packets, or could not and was sent with what waited before it: each item once, then as if it had been
sent alone (spec 5).

Rules: an item that cannot be read, or not be worked on, is set aside on the shared disk and told; then it counts as
taken, for it would come again for ever and hold up what waits behind it. Where none can be set aside it is not
taken: its node keeps it, and all that wait are told by one and the same text, which is told once.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from noroshi.node.coordinator.events import EventStreams
from noroshi.node.coordinator.lines import LogManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.wire.messages import Answer, EventBatch, LineBatch, LogBatch, OutcomeBatch, Unfit
from noroshi.store.aside import keep
from noroshi.store.clock import to_iso
from noroshi.store.connection import Connection
from noroshi.store.errors import NotKept
from noroshi.store.layout import Layout

Answered = Callable[[Connection, Turn, Answer], None]


class DeferredItems:
    """Events go to the state manager, lines to the log manager, outcomes to the notification manager."""

    def __init__(self, layout: Layout, streams: EventStreams, lines: LogManager, answered: Answered) -> None:
        self._layout, self._streams, self._lines, self._answered = layout, streams, lines, answered

    def accept(
        self, connection: Connection, turn: Turn, node: str, batch: EventBatch | LineBatch | OutcomeBatch | Unfit
    ) -> int:
        """Take what is new of a batch; the last sequence taken of its stream. Raises DiskFull, DiskFailed."""
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
            case Unfit():
                return self._set_aside(connection, turn, node, batch)
        return taken.position

    def _set_aside(self, connection: Connection, turn: Turn, node: str, item: Unfit) -> int:
        """Keep and tell it, unless that was done before."""
        if not self._streams.brings(connection, item):
            return self._streams.take(connection, turn, node, item, 1, item.kind).position
        name = f"{node}-{item.kind}-{item.stream.hex()}-{item.first}"
        try:
            path = keep(self._layout, name, _readable(node, item, turn.at))
        except NotKept as error:
            self._streams.wrong(connection, turn, node, f"what cannot be worked on waits on its node: {error}")
            return item.first - 1
        what = f"{item.kind} stream: an item cannot be worked on ({item.why[:500]})"
        self._streams.wrong(connection, turn, node, f"{what} and is set aside in {path}")
        return self._streams.take(connection, turn, node, item, 1, item.kind).position


def _readable(node: str, item: Unfit, at: int) -> bytes:
    """The file, JSON: its bytes, and what they say where they say anything that JSON can hold."""
    head = {"node": node, "stream": item.stream.hex(), "kind": item.kind, "sequence": item.first, "why": item.why}
    head |= {"set_aside_at": to_iso(at), "body": b64encode(item.body).decode()}
    with suppress(ValueError, TypeError, RecursionError):
        return _indented({**head, "item": msgspec.msgpack.decode(item.body)})
    return _indented({**head, "item": None})


def _indented(item: Mapping[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(item)) + b"\n"
