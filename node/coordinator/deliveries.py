"""One DEALER to each node's notifier: deliveries out, answers in.

Rules: sends never block; what cannot go now (the connection does not stand yet) waits here and is tried each turn,
its time limit is the engine's business. A node that went down gets a new socket, for the old connection may be dead
without knowing it. A bad answer is counted and named, never a crash.
"""

from __future__ import annotations

import logging
from collections import Counter, deque

import zmq

from noroshi.node.wire import codec, sockets
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import Answer, Deliver
from noroshi.store.config import Cluster

log = logging.getLogger(__name__)

DRAIN_ANSWERS = 1000
RETRY = 0.05
"""Seconds until what could not be sent is tried again."""


class DeliverySockets:
    """Sockets are made at once for every node, so that they stand when they are needed."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        cluster: Cluster,
        keys: Keyring | None = None,
    ) -> None:
        self._context, self._poller, self._cluster, self._keys = context, poller, cluster, keys
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._waiting: dict[str, deque[bytes]] = {}
        self.bad: Counter[str] = Counter()
        for node in cluster.names:
            self._open(node)

    def send(self, node: str, message: Deliver) -> None:
        """Send, or keep until the connection stands. A node that has left the cluster gets nothing."""
        if node in self._sockets:
            self._waiting.setdefault(node, deque()).append(codec.encode(message))
            self._push(node)

    def push(self) -> float | None:
        """Try again what waits; seconds until the next try, None when nothing waits."""
        for node in list(self._waiting):
            self._push(node)
        return RETRY if self._waiting else None

    def receive(self, ready: dict[object, int]) -> list[Answer]:
        """The answers of the sockets that the poll found ready, up to a bound for each."""
        answers: list[Answer] = []
        for node, socket in self._sockets.items():
            if socket in ready:
                answers += self._drain(node, socket)
        return answers

    def reopen(self, node: str) -> None:
        """The node was down: begin with a new connection; what waited for the old one ended with it."""
        if node in self._sockets:
            self._poller.unregister(self._sockets[node])
            self._sockets.pop(node).close(linger=0)
            self._waiting.pop(node, None)
            self._open(node)

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close(linger=0)

    def _open(self, node: str) -> None:
        socket = sockets.dealer(self._context, self._cluster.node(node).notifier, self._keys)
        self._poller.register(socket, zmq.POLLIN)
        self._sockets[node] = socket

    def _push(self, node: str) -> None:
        waiting = self._waiting[node]
        while waiting:
            try:
                self._sockets[node].send(waiting[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            waiting.popleft()
        del self._waiting[node]

    def _drain(self, node: str, socket: zmq.Socket[bytes]) -> list[Answer]:
        answers: list[Answer] = []
        while len(answers) < DRAIN_ANSWERS:
            try:
                answers.append(codec.answers.decode(socket.recv(zmq.NOBLOCK)))
            except zmq.Again:
                break
            except codec.BadMessage as error:
                self.bad[node] += 1
                log.warning("bad answer %d of %s: %s", self.bad[node], node, error)
        return answers
