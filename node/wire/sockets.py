"""Every ZeroMQ socket of the system is made here, with the options that were measured to matter (design section 2).

Rules: LINGER 0, IMMEDIATE 1 for what sends, small high-water marks, MAXMSGSIZE, IPv6 off; all sends NOBLOCK. With a
keyring every socket is encrypted and authenticated (CURVE), and what listens asks the gate (gate.py). A subscriber to a
host that crashed without a FIN stays deaf, so `subscriber` sockets are one per peer and reopened by their owner. A REQ
socket that timed out is closed and made again; REQ_RELAXED is never used (20 retries arrived as 20 copies).
"""

from __future__ import annotations

from typing import cast

import zmq

from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import MAX_MESSAGE

PACKET_HWM = 8
REQUEST_HWM = 16
DELIVERY_HWM = 4096
NOBODY = "inproc://nobody"
"""Connected to where an endpoint is none: as silent as a host that is down."""
ZAP_DOMAIN = "noroshi"
"""Named, so that libzmq refuses everybody where no gate answers, rather than nobody."""


def _common(socket: zmq.Socket[bytes], hwm: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)


def _reconnecting(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)


def _listening(socket: zmq.Socket[bytes], keys: Keyring | None) -> None:
    if keys is not None:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN)


def _connecting(socket: zmq.Socket[bytes], endpoint: str, keys: Keyring | None) -> None:
    if keys is not None:
        socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server_key(endpoint))
        socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.connect(endpoint)


def publisher(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: Keyring | None = None) -> zmq.Socket[bytes]:
    """PUB bound to `endpoint`: this node's periodic packets. Raises zmq.ZMQError where it cannot bind."""
    socket = context.socket(zmq.PUB)
    _common(socket, PACKET_HWM)
    _listening(socket, keys)
    return _bound(socket, endpoint)


def subscriber(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: Keyring | None = None
) -> zmq.Socket[bytes]:
    """SUB connected to one peer's packets. What came before its end is still to be read after it: a goodbye."""
    socket = context.socket(zmq.SUB)
    _common(socket, PACKET_HWM)
    # With IMMEDIATE what was not read yet goes with the connection (tried: 30 goodbyes of 30), and a subscription
    # leaves only when the thread next calls the socket.
    socket.setsockopt(zmq.IMMEDIATE, 0)
    _reconnecting(socket)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    _connecting(socket, endpoint, keys)
    return socket


def router(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, hwm: int = DELIVERY_HWM, keys: Keyring | None = None
) -> zmq.Socket[bytes]:
    """ROUTER bound to `endpoint`: a notifier or the coordinator; a peer that does not read loses its answers."""
    socket = context.socket(zmq.ROUTER)
    _common(socket, hwm)
    _listening(socket, keys)
    return _bound(socket, endpoint)


def dealer(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: Keyring | None = None) -> zmq.Socket[bytes]:
    """DEALER connected to one node's notifier, many deliveries in flight."""
    socket = context.socket(zmq.DEALER)
    _common(socket, DELIVERY_HWM)
    _reconnecting(socket)
    _connecting(socket, endpoint, keys)
    return socket


def requester(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: Keyring | None = None) -> zmq.Socket[bytes]:
    """REQ connected to the coordinator; one request in flight, closed and made again after a time-out.

    The endpoint is what another node said: one that cannot be is one where nobody answers.
    """
    socket = context.socket(zmq.REQ)
    _common(socket, REQUEST_HWM)
    # The request must wait for the connection: with IMMEDIATE a NOBLOCK send before it stands would fail.
    socket.setsockopt(zmq.IMMEDIATE, 0)
    _reconnecting(socket)
    try:
        _connecting(socket, endpoint, keys)
    except zmq.ZMQError:
        socket.connect(NOBODY)
    return socket


def receive(socket: zmq.Socket[bytes]) -> list[zmq.Frame]:
    """The frames of one message. Raises zmq.Again where none has come.

    pyzmq's own `recv_multipart` asks the socket after each frame whether there are more; the frame knows.
    """
    frames = [socket.recv(zmq.NOBLOCK, copy=False)]
    while frames[-1].more:
        frames.append(socket.recv(zmq.NOBLOCK, copy=False))
    return frames


def readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message has come; costs less than to be told `Again`."""
    return bool(cast("int", socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _bound(socket: zmq.Socket[bytes], endpoint: str) -> zmq.Socket[bytes]:
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket
