"""The doctor's side of the wire: one step asked of several node daemons at once, and the packets they send.

Rules: blocks; nothing is repeated. One REQ socket a node, closed and made again at a time-out, so that a late answer
is never taken for another's. What a node sends that is no answer is an answer too: `Junk`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
import zmq

from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL
from noroshi.node.wire.probing import Answer, Incarnation, OtherNode, Probe, Probed, Step, Text
from noroshi.store.clock import now_us
from noroshi.store.config import NodeAddress


@dataclass(frozen=True)
class Junk:
    """Bytes that are no answer; `why` says what is wrong with them."""

    why: str


@dataclass(frozen=True)
class Reply:
    """`asked` is this host's clock when the request left, microseconds UTC; `took` seconds until the answer."""

    answer: Answer | Junk
    asked: int
    took: float


class Heading(msgspec.Struct, array_like=True):
    """The beginning of a packet's header (core.packet): who sends, of which cluster, its how manieth packet."""

    protocol: int
    cluster: Text
    node: OtherNode
    incarnation: Incarnation
    sequence: int


class _Prefix(msgspec.Struct, array_like=True):
    header: Heading


_packets: codec.Codec[_Prefix] = codec.Codec(_Prefix)


class Panel:
    """Asks nodes as `node` of `cluster`, all in one run; with the node's keys where the cluster has some."""

    def __init__(self, cluster: str, node: str, run: str, keys: Keyring | None = None) -> None:
        self._cluster, self._node, self._run, self._keys = cluster, node, run, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._context.destroy(linger=0)

    def ask(self, steps: Mapping[NodeAddress, Step], timeout: float) -> dict[str, Reply]:
        """The replies that came within `timeout` seconds, by node."""
        poller, waiting = zmq.Poller(), dict[zmq.Socket[bytes], tuple[str, int, float]]()
        for node, step in steps.items():
            socket = self._socket(node)
            waiting[socket] = node.name, now_us(), time.monotonic()
            socket.send(codec.encode(Probe(PROTOCOL, self._cluster, self._node, self._run, step)), zmq.NOBLOCK)
            poller.register(socket, zmq.POLLIN)
        return self._collected(poller, waiting, time.monotonic() + timeout)

    def listen(self, nodes: list[NodeAddress]) -> Ears:
        """From now on the packets of these nodes are kept."""
        return Ears({node.name: sockets.subscriber(self._context, node.packets, self._keys) for node in nodes})

    def _socket(self, node: NodeAddress) -> zmq.Socket[bytes]:
        if node.name not in self._sockets:
            self._sockets[node.name] = sockets.requester(self._context, node.notifier, self._keys)
        return self._sockets[node.name]

    def _collected(
        self, poller: zmq.Poller, waiting: dict[zmq.Socket[bytes], tuple[str, int, float]], until: float
    ) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        while waiting and (left := until - time.monotonic()) > 0:
            for socket, _ in poller.poll(max(1, int(left * 1000))):
                name, asked, sent = waiting.pop(socket)
                poller.unregister(socket)
                replies[name] = Reply(_decoded(socket.recv_multipart()), asked, time.monotonic() - sent)
        for name, _, _ in waiting.values():
            self._sockets.pop(name).close(linger=0)
        return replies


class Ears:
    """One SUB for each node."""

    def __init__(self, heard_by: dict[str, zmq.Socket[bytes]]) -> None:
        self._sockets = heard_by
        self.heard: dict[str, Heading | Junk] = {}

    def wait(self, until: float) -> dict[str, Heading | Junk]:
        """The first packet of each node that is heard before `until` (monotonic seconds)."""
        poller = zmq.Poller()
        for socket in self._sockets.values():
            poller.register(socket, zmq.POLLIN)
        while len(self.heard) < len(self._sockets):
            left = max(0.0, until - time.monotonic())
            ready = dict(poller.poll(int(left * 1000) + 1))
            for name, socket in self._sockets.items():
                if socket in ready:
                    self.heard.setdefault(name, _heading(socket.recv_multipart()[0]))
            if not left:
                break
        return self.heard


def _decoded(parts: list[bytes]) -> Answer | Junk:
    if len(parts) != 1:  # all are taken: a REQ socket with some left over could not ask again
        return Junk(f"{len(parts)} parts")
    try:
        reply: Probed = codec.probed.decode(parts[0])
    except BadMessage as error:
        return Junk(str(error))
    return reply.answer


def _heading(data: bytes) -> Heading | Junk:
    try:
        return _packets.decode(data).header
    except BadMessage as error:
        return Junk(str(error))
