"""The receiving sockets of the periodic packets, what is said of bad ones, and of an endpoint that cannot be had.

Role: the shell's shell; `packets.py` decides.
Rules: one SUB for each peer, so that one can be closed and opened again; reading never blocks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence

import zmq

from noroshi.node.wire import sockets
from noroshi.node.wire.keyring import Keyring
from noroshi.store.config import Cluster, NodeAddress
from noroshi.store.errors import NoroshiError

log = logging.getLogger(__name__)

_COMPLAIN_EVERY = 60.0
_READ_AT_ONCE = 256


class Subscriptions:
    """One SUB for each peer. `take(name, frames)` gets every message; what it raises goes to `failed`."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        peers: Sequence[NodeAddress],
        take: Callable[[str, list[bytes]], None],
        failed: Callable[[Exception], None],
        keys: Keyring | None = None,
    ) -> None:
        self._context, self._take, self._failed, self._keys = context, take, failed, keys
        self._peers = {peer.name: peer for peer in peers}
        self._sockets: dict[str, zmq.Socket[bytes]] = {}

    def open(self) -> None:
        for name in self._peers:
            self._open(name)

    def reopen(self, name: str) -> None:
        self._close(name)
        self._open(name)

    def close(self) -> None:
        for name in list(self._sockets):
            self._close(name)

    def drain(self) -> None:
        """Read all of them empty."""
        for name, socket in list(self._sockets.items()):
            while self._read(name, socket):
                pass

    def _open(self, name: str) -> None:
        socket = sockets.subscriber(self._context, self._peers[name].packets, self._keys)
        self._sockets[name] = socket
        asyncio.get_running_loop().add_reader(socket.FD, self._readable, name, socket)

    def _close(self, name: str) -> None:
        socket = self._sockets.pop(name)
        asyncio.get_running_loop().remove_reader(socket.FD)
        socket.close()

    def _readable(self, name: str, socket: zmq.Socket[bytes]) -> None:
        """The descriptor tells of a first message only: read until there is none, or come again by ourselves."""
        if self._sockets.get(name) is not socket:
            return
        try:
            more = all(self._read(name, socket) for _ in range(_READ_AT_ONCE))
        except Exception as error:
            self._failed(error)
            return
        if more:
            asyncio.get_running_loop().call_soon(self._readable, name, socket)

    def _read(self, name: str, socket: zmq.Socket[bytes]) -> bool:
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._take(name, frames)
        return True


class Complaints:
    """Bad packets: every one counted by peer and reason, one line a minute logged for each."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._logged: dict[tuple[str, str], float] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def note(self, name: str, reason: str, why: str, now: float) -> None:
        key = name, reason
        self.counts[key] += 1
        if now - self._logged.get(key, -math.inf) >= _COMPLAIN_EVERY:
            self._logged[key] = now
            place = self._cluster.node(name).packets
            log.warning("bad packet from %s (%s): %s; %d so far", name, place, why, self.counts[key])


def cannot_bind(own: NodeAddress, error: zmq.ZMQError) -> NoroshiError:
    """Why, and what to do."""
    hints = {
        errno.EADDRINUSE: f"another daemon of {own.name}, or another program, has it: `ss -ltnp sport = :{own.port}` "
        "shows which; end it, or give the node another port in cluster.yaml",
        errno.EADDRNOTAVAIL: f"this host has no address {own.address}: is `node: {own.name}` in its node file right, "
        "and its address in cluster.yaml?",
        errno.EACCES: "ports below 1024 are for root: choose a higher one in cluster.yaml",
    }
    return NoroshiError(
        "cannot send periodic packets from",
        on=own.packets,
        why=zmq.strerror(error.errno or 0),
        hint=hints.get(error.errno or 0, "check the node's address and port in cluster.yaml"),
    )
