"""A durable stream on its way out: from a spool into this node's packets, until the coordinator has it.

Rules: a spool of several streams (segments.py says when) is packed stream by stream, the oldest first, so that the
order of what was said stays; the next one follows when all of it was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from noroshi.node.core.deferred import Outgoing, Source
from noroshi.node.core.packet import TO_COORDINATOR, Kind, Packer
from noroshi.node.daemon.groups import Ticket
from noroshi.node.daemon.spool import Spool


class Packets(Protocol):
    """What of `packets.PacketExchange` is used here."""

    packer: Packer
    sent: int
    heard: int

    def poke(self) -> None: ...

    def acknowledge(self, positions: Mapping[bytes, int]) -> None: ...


class Outbox:
    """`seen` may put another source before that of the spool."""

    def __init__(
        self, spool: Spool, packets: Packets, kind: Kind, seen: Callable[[Source], Source] = lambda source: source
    ) -> None:
        self._spool, self._packets, self._kind, self._seen = spool, packets, kind, seen
        self._packed: bytes | None = None
        spool.subscribe(self._changed)
        self._changed()

    def append(self, body: bytes) -> Ticket:
        """Raises SpoolFailed."""
        return self._spool.append(body)

    def acknowledged(self, positions: Mapping[bytes, int]) -> None:
        """The coordinator has committed so much; other streams than this spool's are ignored."""
        for stream, position in positions.items():
            self._spool.acknowledge(stream, position)
        self._changed()

    def _changed(self) -> None:
        current = self._spool.current
        if current != self._packed:
            if self._packed is not None:
                self._packets.packer.remove(self._packed)
            self._packed = current
            source = self._seen(self._spool.source(current))
            self._packets.packer.add(Outgoing(source, self._kind, TO_COORDINATOR))
        self._packets.poke()
