"""Connections to a local socket, answered in the round of the loop in which they come.

Role: accepts, and carries what a client says to an asyncio protocol and back; a transport like asyncio's own, which
takes four rounds of the loop to hear the first word of a connection: most who raise an event make one for it.
Rules: what the kernel does not take waits here, and past HIGH_WATER the protocol is told to pause. A connection whose
protocol fails is closed, the others go on. Without a free descriptor nothing is accepted for a second.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

READ = 256 * 1024
HIGH_WATER = 64 * 1024
"""Bytes that wait to be taken by a client; from there until none are left the protocol is paused."""
_AT_ONCE = 64
_PAUSE = 1.0

_log = logging.getLogger(__name__)


class Connection(asyncio.Transport):
    """One client. Tells `protocol` what asyncio's transports tell."""

    def __init__(self, accepted: socket.socket, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket, self._protocol = accepted, protocol
        self._descriptor = accepted.fileno()  # given a socket, the loop's selector describes it in words each time
        self._unsent = bytearray()
        self._reading = self._closing = self._choked = self._lost = False
        self._watched, self._opening = False, True

    def open(self) -> None:
        """Begin, with what the client may have said already: before the descriptor is watched, somebody waits."""
        self._guarded(lambda: self._protocol.connection_made(self))
        if not self._closing:
            self._reading = True
            self._readable()
        self._opening = False
        self._watch()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._reading = False
        self._watch()

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._watch()

    def _watch(self) -> None:
        """As is wanted, where it is not so yet."""
        if self._watched and not self._reading:
            self._watched = False
            self._loop.remove_reader(self._descriptor)
        elif self._reading and not self._watched and not self._opening:
            self._watched = True
            self._loop.add_reader(self._descriptor, self._readable)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._lost:
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._writable()
            if self._unsent and not self._lost:
                self._loop.add_writer(self._descriptor, self._writable)
        if len(self._unsent) > HIGH_WATER and not self._choked:
            self._choked = True
            self._guarded(self._protocol.pause_writing)

    def close(self) -> None:
        """No more is read; what waits is still sent."""
        if not self._closing:
            self._closing = True
            self.pause_reading()
            if not self._unsent:
                self._end(None)

    def abort(self) -> None:
        self._closing = True
        self._end(None)

    def _readable(self) -> None:
        if not self._reading:
            return
        try:
            data = self._socket.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._guarded(lambda: self._protocol.data_received(data))
            return
        self.pause_reading()
        if not self._guarded(self._protocol.eof_received):
            self.close()

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        del self._unsent[:sent]
        if self._unsent:
            return
        self._loop.remove_writer(self._descriptor)
        if self._choked:
            self._choked = False
            self._guarded(self._protocol.resume_writing)
        if self._closing and not self._unsent:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self.pause_reading()
        self._loop.remove_writer(self._descriptor)
        self._unsent.clear()
        self._loop.call_soon(self._gone, error)

    def _gone(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()

    def _guarded(self, call: Callable[[], object]) -> object:
        """A fault of the protocol's ends its connection and no other."""
        try:
            return call()
        except Exception as error:
            _log.exception("a fault in the local socket; the connection is closed")
            self._end(error)
            return True


class Listener:
    """Accepts on `listening`, which is the caller's to close after `close`."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], backlog: int) -> None:
        """Listens from now on. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._listening, self._protocol = listening, protocol
        self._closed = False
        self._at_once = 1
        listening.setblocking(False)
        listening.listen(backlog)
        self._begin()

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._listening.fileno())

    def _begin(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        """One, and twice as many each time until there was no other: to find that out costs a little."""
        for _ in range(self._at_once):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._at_once = 1
                return
            except OSError as error:
                _log.error("cannot accept on the local socket: %s", error)
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(_PAUSE, self._begin)
                return
            accepted.setblocking(False)
            Connection(accepted, self._protocol()).open()
        self._at_once = min(2 * self._at_once, _AT_ONCE)
