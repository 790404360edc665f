"""The coordinator's link to its own daemon: frames over run/coordinator.sock.

Rules: never blocks the coordinator's loop; the link's end is the coordinator's end, so that no leader is left that
nobody can hear (design section 2).
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from noroshi.node.wire.codec import BadMessage, encode, to_coordinator
from noroshi.node.wire.frames import Splitter, frame
from noroshi.node.wire.messages import Hello, ToCoordinator, ToDaemon
from noroshi.store.errors import NoroshiError


class LinkClosed(Exception):
    """The daemon is gone, or says what cannot be understood: stop leading."""


class Link:
    """A connected link; `fileno` may be polled."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._splitter = Splitter()
        self._outgoing = bytearray()
        connection.setblocking(False)

    @classmethod
    def connect(cls, path: Path, timeout: float) -> tuple[Link, Hello]:
        """Connect and hear who the daemon is. Raises NoroshiError where there is none."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            splitter, hello = Splitter(), None
            while hello is None:
                data = connection.recv(65536)
                if not data:
                    raise LinkClosed("the daemon closed the link")
                hello = next((to_coordinator.decode(message) for message in splitter.feed(data)), None)
        except (OSError, LinkClosed, BadMessage) as error:
            connection.close()
            raise NoroshiError(
                "cannot reach the node daemon",
                on=str(path),
                why=str(error),
                hint="start 'noroshi node' on this node first: a coordinator without its daemon is heard by nobody",
            ) from error
        if not isinstance(hello, Hello):
            connection.close()
            raise NoroshiError("the node daemon did not say who it is", on=str(path))
        return cls(connection), hello

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[ToCoordinator]:
        """Everything that has come. Raises LinkClosed."""
        received: list[ToCoordinator] = []
        while True:
            try:
                data = self._socket.recv(262144)
            except BlockingIOError:
                return received
            except OSError as error:
                raise LinkClosed(str(error)) from error
            if not data:
                raise LinkClosed("the daemon closed the link")
            try:
                received.extend(to_coordinator.decode(message) for message in self._splitter.feed(data))
            except BadMessage as error:
                raise LinkClosed(str(error)) from error

    def send(self, message: ToDaemon) -> None:
        """Queue a message and write what the socket takes. Raises LinkClosed."""
        self._outgoing += frame(encode(message))
        self.flush()

    def flush(self) -> None:
        """Write what the socket takes now; the rest waits for the next call."""
        with contextlib.suppress(BlockingIOError):
            while self._outgoing:
                try:
                    sent = self._socket.send(self._outgoing)
                except BlockingIOError:
                    raise
                except OSError as error:
                    raise LinkClosed(str(error)) from error
                del self._outgoing[:sent]

    def close(self) -> None:
        self._socket.close()
