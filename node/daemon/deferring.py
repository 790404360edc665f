"""Deferred events on their way: from the spool into this node's packets, from others' packets to the coordinator.

Rules: the spool keeps an item until the coordinator has committed it; the acknowledgement comes in the leader's own
packets, so the whole exchange adds no message (spec 5).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from noroshi.node.core.deferred import Outgoing
from noroshi.node.core.packet import TO_COORDINATOR, Kind, Packer, Run, decode_item
from noroshi.node.daemon.spool import Spool
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.messages import EventBatch, Heard, Report

log = logging.getLogger(__name__)


class Packets(Protocol):
    """What of `packets.PacketExchange` is used here."""

    packer: Packer

    def poke(self) -> None: ...


class Deferring:
    """Joins the deferred spool to the packets."""

    def __init__(self, spool: Spool, packets: Packets) -> None:
        self._spool, self._packets = spool, packets
        self._known: set[bytes] = set()
        spool.subscribe(self._raised)
        self._raised()

    def acknowledged(self, positions: Mapping[bytes, int]) -> None:
        """The coordinator has committed so much of these streams of ours."""
        for stream, position in positions.items():
            self._spool.acknowledge(stream, position)
        for stream in self._known - set(self._spool.streams):
            self._packets.packer.remove(stream)
            self._known.discard(stream)

    def _raised(self) -> None:
        for stream in self._spool.streams:
            if stream not in self._known:
                self._known.add(stream)
                self._packets.packer.add(Outgoing(self._spool.source(stream), Kind.EVENT, TO_COORDINATOR))
        self._packets.poke()


def to_heard(node: str, run: Run) -> Heard | None:
    """A run of deferred events for the coordinator; None where it is something else, or not to be read."""
    if run.kind is not Kind.EVENT or run.to != TO_COORDINATOR:
        return None
    try:
        reports = [item for body in run.items if isinstance(item := decode_item(run.kind, body), Report)]
    except BadMessage as error:
        log.warning("deferred items of %s cannot be read and are left out: %s", node, error)
        return None
    return Heard(node, EventBatch(run.stream, run.first, run.oldest, reports))
