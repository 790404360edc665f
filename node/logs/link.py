"""The monitor's end of the socket to its daemon: frames in, frames out, never blocking.

Rules: `closed` is final and means that the daemon is gone. Signs of life are left out while the daemon does not read.
"""

from __future__ import annotations

import socket
from collections import deque

from noroshi.node.logs.messages import FromMonitor, ToMonitor, to_monitor
from noroshi.node.wire.codec import encode
from noroshi.node.wire.frames import Splitter, frame

CHUNK = 256 * 1024


class Link:
    """Owns the socket, which it makes non-blocking."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._splitter = Splitter()
        self._unsent = bytearray()
        self.closed = False
        self.arrived: deque[ToMonitor] = deque()
        """Messages not yet looked at."""

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def stuck(self) -> bool:
        """Whether something waits for the daemon to read."""
        return bool(self._unsent)

    def send(self, message: FromMonitor) -> None:
        """Queue a message; `flush` has to be called again while `stuck`."""
        self._unsent += frame(encode(message))
        self.flush()

    def flush(self) -> None:
        """Hand over what the socket takes."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.closed = True

    def receive(self) -> None:
        """Add what has come to `arrived`. Raises BadMessage."""
        try:
            while data := self._connection.recv(CHUNK):
                self.arrived.extend(map(to_monitor.decode, self._splitter.feed(data)))
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        self.closed = True
