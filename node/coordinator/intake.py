"""The coordinator's front door: requests in, replies out, peers counted and named.

Rules: with `security: curve` a request must come over a connection of the node it names. A message that does not
decode is counted, logged with its sender and answered with an error, never a crash. A node's name is bound to the
incarnation its packets carry; another host under that name is refused (design section 2).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import zmq

from noroshi.node.coordinator.turn import Route
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.messages import PROTOCOL, EventBatch, LineBatch, LogBatch, Refused, Reply, Request

log = logging.getLogger(__name__)

DRAIN_MESSAGES = 256
DRAIN_BYTES = 4 * 1024 * 1024
"""At most so much is taken into one turn, so that a flood of one kind does not delay the others' answers."""


@dataclass(frozen=True)
class Asked:
    """A request that may be worked on, and where its reply goes."""

    route: Route
    request: Request


class Intake:
    """Owns the ROUTER socket; `bound` says which incarnation speaks for a name."""

    def __init__(self, socket: zmq.Socket[bytes], cluster: str, names: frozenset[str]) -> None:
        self.socket = socket
        self.refused: Counter[str] = Counter()
        self._cluster = cluster
        self._names = names
        self._curve = bool(socket.getsockopt(zmq.CURVE_SERVER))
        self._bound: dict[str, bytes] = {}

    def bind(self, node: str, incarnation: bytes) -> None:
        """Packets carry this incarnation for `node`."""
        self._bound[node] = incarnation

    @property
    def bound(self) -> Mapping[str, bytes]:
        """The incarnation that the packets of each node carry."""
        return self._bound

    def drain(self) -> list[Asked]:
        """What has arrived, up to a bound; what cannot be worked on is answered at once."""
        asked: list[Asked] = []
        size = 0
        while len(asked) < DRAIN_MESSAGES and size < DRAIN_BYTES:
            if asked and not sockets.readable(self.socket):
                break
            try:
                frames = sockets.receive(self.socket)
            except zmq.Again:
                break
            size += len(frames[-1])
            item = self._open(frames)
            if item is not None:
                asked.append(item)
        return asked

    def reply(self, route: Route, reply: Reply) -> None:
        """Answer a request; a peer that went away meanwhile asks again."""
        try:
            self.socket.send_multipart([*route, codec.encode(reply)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self.refused[f"unsent {error.errno}"] += 1

    def _open(self, frames: list[zmq.Frame]) -> Asked | None:
        route = [part.bytes for part in frames[:-1]]
        try:
            request = codec.requests.decode(frames[-1].buffer)
        except codec.BadMessage as error:
            self._refuse(route, frames[-1], Refused("bad-message", str(error), "the sender and this node differ"))
            return None
        refusal = self._imposture(request, frames[-1]) or self._objection(request)
        if refusal is not None:
            self._refuse(route, frames[-1], refusal)
            return None
        return Asked(route, request)

    def _objection(self, request: Request) -> Refused | None:
        if request.protocol != PROTOCOL:
            return Refused("protocol", f"protocol {request.protocol}, here {PROTOCOL}", "install the same version")
        if request.cluster != self._cluster:
            return Refused("cluster", f"this is cluster {self._cluster}", "look at 'cluster' and the addresses")
        if isinstance(request.body, EventBatch | LogBatch | LineBatch):
            return self._identity(request)
        return None

    def _imposture(self, request: Request, frame: zmq.Frame) -> Refused | None:
        """With keys, a node speaks for itself alone: the gate has noted whose key the connection has."""
        user = self._user(frame)
        if user is None or user == request.node:
            return None
        return Refused("identity", f"the key of {user} speaks for {request.node}", "each node has a key of its own")

    def _user(self, frame: zmq.Frame) -> str | None:
        """The node whose key opened the connection; None without `security: curve`."""
        return str(frame.get("User-Id")) if self._curve else None

    def _identity(self, request: Request) -> Refused | None:
        if request.node not in self._names:
            return Refused("identity", f"no node {request.node} in cluster.yaml", "add it there on the shared disk")
        bound = self._bound.get(request.node)
        if bound is not None and bound != request.incarnation:
            return Refused(
                "identity",
                f"the packets of {request.node} carry another incarnation",
                "two hosts may run under one name, or the daemon has just started: it is tried again",
            )
        return None

    def _refuse(self, route: Route, frame: zmq.Frame, refusal: Refused) -> None:
        sender = _address(frame)
        self.refused[sender] += 1
        count = self.refused[sender]
        if count & (count - 1) == 0:  # 1, 2, 4, 8 …: a flood does not fill the log
            log.warning("refused request %d from %s: %s (%s)", count, sender, refusal.message, refusal.hint)
        self.reply(route, refusal)


def _address(frame: zmq.Frame) -> str:
    try:
        return str(frame.get("Peer-Address"))
    except (zmq.ZMQError, ValueError):
        return "unknown"
