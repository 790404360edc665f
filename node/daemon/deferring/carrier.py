"""Deferred deliveries on their way out: from this node's coordinator into its packets, one stream for each node.

Rules: in memory, for the next coordinator repeats what was not answered; the streams live as long as the coordinator.
It is told when a delivery first leaves, for then its time limit begins (spec 5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from noroshi.node.core.deferred import Buffer, Outgoing
from noroshi.node.core.packet import Kind, Run
from noroshi.node.daemon.deferring.outbox import Packets
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import Deliver

BUFFER_MOST = 64 * 1024 * 1024
"""Bytes for one node; the coordinator lets far less wait."""


@dataclass
class _Lane:
    """The stream to one node, and its deliveries that have not left yet, by sequence."""

    buffer: Buffer = field(default_factory=lambda: Buffer(os.urandom(16), BUFFER_MOST))
    waiting: dict[int, str] = field(default_factory=dict)


class Carrier:
    """`left` is told the deliveries that a packet took along for the first time."""

    def __init__(self, nodes: Collection[str], packets: Packets, left: Callable[[list[str]], None]) -> None:
        self._nodes, self._packets, self._left = nodes, packets, left
        self._lanes: dict[str, _Lane] = {}

    def carry(self, node: str, message: Deliver) -> None:
        """Let it ride in the next packet. For a node that is none of the cluster's it leaves into the void."""
        if node not in self._nodes:
            self._left([message.delivery])
            return
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = _Lane()
            self._packets.packer.add(Outgoing(lane.buffer, Kind.NOTIFICATION, node))
        lane.waiting[lane.buffer.append(encode(message))] = message.delivery
        self._packets.poke()

    def withdraw(self, node: str) -> None:
        """Forget what is on its way to a node."""
        lane = self._lanes.pop(node, None)
        if lane is not None:
            self._packets.packer.remove(lane.buffer.stream)

    def end(self) -> None:
        """Forget everything."""
        for node in list(self._lanes):
            self.withdraw(node)

    def left(self, carried: tuple[Run, ...]) -> None:
        """These runs went out."""
        streams = {lane.buffer.stream: lane for lane in self._lanes.values()}
        for run in carried:
            if (lane := streams.get(run.stream)) is not None:
                numbers = range(run.first, run.last + 1)
                new = [delivery for number in numbers if (delivery := lane.waiting.pop(number, None)) is not None]
                if new:
                    self._left(new)

    def acknowledged(self, positions: Mapping[bytes, int]) -> None:
        """The nodes have taken so much."""
        for lane in self._lanes.values():
            if (position := positions.get(lane.buffer.stream)) is not None:
                lane.buffer.acknowledged(position)
