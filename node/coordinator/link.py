"""The coordinator's link to its own daemon: frames over run/coordinator.sock.

Rules: never blocks the coordinator's loop; the link's end is the coordinator's end, so that no leader is left that
nobody can hear (design section 2). A coordinator that a cluster manager owns has patience: its daemon may be away for
the down time, a restart for example; what is said to it meanwhile is dropped.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from noroshi.node.wire.codec import BadMessage, encode, to_coordinator
from noroshi.node.wire.frames import Splitter, frame
from noroshi.node.wire.messages import Hello, ToCoordinator, ToDaemon
from noroshi.store.errors import NoroshiError


class LinkClosed(Exception):
    """The daemon is gone, or says what cannot be understood: stop leading."""


RETRY = 0.2
"""Seconds between two tries to reach a daemon that is away."""
_HELLO_LIMIT = 5.0


class Link:
    """A connected link; `fileno` may be polled."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path, self._patience = path, patience
        self._socket: socket.socket | None = None
        self._splitter = Splitter()
        self._outgoing = bytearray()
        self._lost_at = time.monotonic()

    @classmethod
    def connect(cls, path: Path, patience: float = 0.0) -> tuple[Link, Hello]:
        """Connect and hear who the daemon is; `patience` in seconds. Raises NoroshiError where there is none."""
        link = cls(path, patience)
        while True:
            try:
                return link, link._open()
            except (OSError, LinkClosed, BadMessage) as error:
                if link.away >= patience:
                    hint = (
                        "start 'noroshi node' on this node first: a coordinator without its daemon is heard by nobody"
                    )
                    raise NoroshiError(
                        "cannot reach the node daemon", on=str(path), why=str(error), hint=hint
                    ) from error
            time.sleep(RETRY)

    @property
    def lost(self) -> bool:
        """The daemon is away."""
        return self._socket is None

    @property
    def away(self) -> float:
        """For how many seconds."""
        return time.monotonic() - self._lost_at if self.lost else 0.0

    def mend(self) -> bool:
        """Try again to reach a daemon that is away; True once it is there. Raises LinkClosed after the patience."""
        try:
            self._open()
        except (OSError, LinkClosed, BadMessage) as error:
            if self.away > self._patience:
                raise LinkClosed(f"the daemon has been away for {self.away:.1f} s: {error}") from error
            return False
        return True

    def _open(self) -> Hello:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_HELLO_LIMIT)
            connection.connect(str(self._path))
            splitter = Splitter()
            hello = _hear(connection, splitter)
            connection.setblocking(False)
        except BaseException:
            connection.close()
            raise
        self._socket, self._splitter, self._outgoing = connection, splitter, bytearray()
        return hello

    def fileno(self) -> int:
        """-1 while the daemon is away."""
        return -1 if self._socket is None else self._socket.fileno()

    def receive(self) -> list[ToCoordinator]:
        """Everything that has come. Raises LinkClosed."""
        received: list[ToCoordinator] = []
        while self._socket is not None:
            try:
                data = self._socket.recv(262144)
                if not data:
                    raise LinkClosed("the daemon closed the link")
                received.extend(to_coordinator.decode(message) for message in self._splitter.feed(data))
            except BlockingIOError:
                return received
            except (OSError, LinkClosed, BadMessage) as error:
                self._lose(error)
        return received

    def send(self, message: ToDaemon) -> None:
        """Queue a message and write what the socket takes. Raises LinkClosed."""
        self._outgoing += frame(encode(message))
        self.flush()

    def flush(self) -> None:
        """Write what the socket takes now; the rest waits for the next call. Raises LinkClosed."""
        try:
            while self._outgoing and self._socket is not None:
                del self._outgoing[: self._socket.send(self._outgoing)]
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
        if self._socket is None:
            self._outgoing.clear()

    def _lose(self, error: Exception) -> None:
        self.close()
        self._lost_at = time.monotonic()
        if not self._patience:
            raise LinkClosed(str(error)) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _hear(connection: socket.socket, splitter: Splitter) -> Hello:
    """The daemon's first words. Raises OSError, BadMessage, LinkClosed."""
    while True:
        data = connection.recv(65536)
        if not data:
            raise LinkClosed("the daemon closed the link")
        for message in splitter.feed(data):
            hello = to_coordinator.decode(message)
            if isinstance(hello, Hello):
                return hello
            raise LinkClosed("the node daemon did not say who it is")
