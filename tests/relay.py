"""A TCP relay before a port: what a test sees of a connection that sockets above it hide.

Its segments are short, as on Ethernet, and so is its window, so that a connection nobody reads from is full after some
hundred kilobytes and not after the megabytes that loopback's own would take.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

SEGMENT, WINDOW = 1400, 32 * 1024
"""Bytes."""


class Relay:
    """One connection to `endpoint` (tcp://HOST:PORT) through `endpoint` of its own.

    `quiet` is the time in seconds from the last bytes that came from there to their end, once that has come; between
    `hold` and `go_on` nothing more is read from there.
    """

    def __init__(self, endpoint: str) -> None:
        self._host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._port = int(port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self._reading, self._stack = threading.Event(), contextlib.ExitStack()
        self._reading.set()
        self.quiet: float | None = None

    def hold(self) -> None:
        self._reading.clear()

    def go_on(self) -> None:
        self._reading.set()

    def __enter__(self) -> Relay:
        self._stack.enter_context(self._listening)
        threading.Thread(target=self._serve, name="relay", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reading.set()
        self._stack.close()

    def _serve(self) -> None:
        near, _ = self._listening.accept()
        far = socket.socket()
        self._stack.enter_context(near)
        self._stack.enter_context(far)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        far.connect((self._host, self._port))
        threading.Thread(target=self._there, args=(near, far), name="relay-there", daemon=True).start()
        self._back(near, far)

    def _there(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end has gone
            while data := near.recv(65536):
                far.sendall(data)

    def _back(self, near: socket.socket, far: socket.socket) -> None:
        last = time.monotonic()
        with contextlib.suppress(OSError):
            while self._reading.wait() and (data := far.recv(65536)):
                last = time.monotonic()
                near.sendall(data)
            self.quiet = time.monotonic() - last
            near.shutdown(socket.SHUT_WR)
