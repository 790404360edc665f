"""Batches of log parts to the coordinator and its replies back, several in flight.

Rules: a REQ socket has one request in flight; several batches are several sockets, the owner sees to it that no stream
is in two. A socket that waited in vain is closed and made again. What becomes of a batch is for the owner to decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zmq

from noroshi.node.wire.codec import BadMessage, encode, replies
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL, LogBatch, LogPart, Reply, Request
from noroshi.node.wire.sockets import requester

LANES = 4
"""Batches in flight."""


@dataclass(frozen=True)
class Sign:
    """Who sends: what every request carries."""

    cluster: str
    node: str
    incarnation: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of a batch; `reply` is None where nothing came, or nothing that could be understood."""

    parts: tuple[LogPart, ...]
    reply: Reply | None


@dataclass
class _Lane:
    """One socket with the batch it carries; a socket that could not be made is one that never answers."""

    socket: zmq.Socket[bytes] | None = None
    parts: tuple[LogPart, ...] = ()
    deadline: float = math.inf


class Sender:
    """Owns its sockets, which it registers with `poller`. `patience` is in seconds, as is `now`."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        sign: Sign,
        patience: float,
        keys: Keyring | None = None,
    ) -> None:
        self._keys = keys
        self._context, self._poller, self._sign, self._patience = context, poller, sign, patience
        self._lanes = [_Lane() for _ in range(LANES)]
        self._endpoint: str | None = None

    @property
    def leader(self) -> bool:
        """Whether there is anybody to send to."""
        return self._endpoint is not None

    @property
    def free(self) -> bool:
        """Whether another batch may be sent."""
        return self.leader and any(not lane.parts for lane in self._lanes)

    def due(self) -> float:
        """When the next batch will have waited in vain."""
        return min(lane.deadline for lane in self._lanes)

    def lead(self, endpoint: str | None) -> list[Outcome]:
        """Send to this endpoint from now on; what is in flight to another is unanswered."""
        if endpoint == self._endpoint:
            return []
        unanswered = [Outcome(lane.parts, None) for lane in self._lanes if lane.parts]
        for lane in self._lanes:
            self._close(lane)
        self._endpoint = endpoint
        return unanswered

    def send(self, parts: Sequence[LogPart], now: float) -> None:
        """Only when `free`."""
        lane = next(lane for lane in self._lanes if not lane.parts)
        lane.parts, lane.deadline = tuple(parts), now + self._patience
        sign = self._sign
        request = Request(PROTOCOL, sign.cluster, sign.node, sign.incarnation, LogBatch(list(parts)))
        try:
            self._open(lane).send(encode(request), zmq.NOBLOCK)
        except zmq.ZMQError:  # as silent as one that cannot be reached
            self._poller_forgets(lane)

    def receive(self, now: float) -> Iterator[Outcome]:
        """What came of batches since the last call. Replies count before the clock: this process may have been slow."""
        for lane in self._lanes:
            if lane.parts:
                outcome = self._reply(lane) or self._vain(lane, now)
                if outcome is not None:
                    yield outcome

    def close(self) -> None:
        """Give every socket back."""
        self.lead(None)

    def _reply(self, lane: _Lane) -> Outcome | None:
        if lane.socket is None:
            return None
        try:
            data = lane.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        outcome = Outcome(lane.parts, _decoded(data))
        lane.parts, lane.deadline = (), math.inf
        return outcome

    def _vain(self, lane: _Lane, now: float) -> Outcome | None:
        if now < lane.deadline:
            return None
        outcome = Outcome(lane.parts, None)
        self._close(lane)
        return outcome

    def _open(self, lane: _Lane) -> zmq.Socket[bytes]:
        if lane.socket is None:
            lane.socket = requester(self._context, self._endpoint or "", self._keys)
            self._poller.register(lane.socket, zmq.POLLIN)
        return lane.socket

    def _close(self, lane: _Lane) -> None:
        self._poller_forgets(lane)
        lane.parts, lane.deadline = (), math.inf

    def _poller_forgets(self, lane: _Lane) -> None:
        if lane.socket is not None:
            self._poller.unregister(lane.socket)
            lane.socket.close()
            lane.socket = None


def _decoded(data: bytes) -> Reply | None:
    try:
        return replies.decode(data)
    except BadMessage:
        return None
