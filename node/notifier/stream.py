"""Procedure socket [C12]: write the JSON and a newline to a socket (spec 4.7).

The application is tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH; whether a Unix socket is a stream or a datagram
socket is found out by connecting. Delivered means: over TCP, the peer's kernel has acknowledged all of it; to a Unix
socket, it lies in the receiver's queue; over UDP, only that it left.

With `reply: required` the connection stays open for one line of answer (a datagram back, for UDP and Unix datagrams),
of which at most 4 KiB go into the history; the receiver knows the message whole by its newline.

Rules: one time limit for name, connection, writing and answer together; nothing blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import re
import socket
import struct
import termios
from dataclasses import dataclass
from typing import Any, Literal

from noroshi.node.notifier.aside import Aside
from noroshi.node.notifier.procedure import MAX_OUTPUT, Job, Outcome, Ready, Refused, Slots, delivered, failed, pauses

MAX_AT_ONCE = 256
"""Sockets open at once."""

_INTERNET = re.compile(r"(tcp|udp)://(?:\[([0-9a-fA-F:.]+)\]|([^\s/:\[\]]+)):([0-9]{1,5})")
_UNIX = re.compile(r"unix://(/[^\0]+)")

_REASONS = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ENOENT: "there is no such socket: is the receiver running?",
    errno.EMSGSIZE: "too big for one datagram",
    errno.EMFILE: "the node daemon has no descriptor left",
    errno.EPIPE: "the receiver closed the connection before it had all",
    errno.ECONNRESET: "the receiver closed the connection before it had all",
}


Place = tuple[int, Any]
"""A family, and an address as that family has it."""


class _NoAnswer(Exception):
    """str() says what came instead."""


@dataclass(frozen=True)
class Address:
    """Where to write: `host` is empty for unix, `place` a port or a path."""

    kind: Literal["tcp", "udp", "unix"]
    host: str
    place: int | str


def parse(text: object) -> Address:
    """The address as the definitions write it. Raises Refused."""
    if isinstance(text, str):
        if found := _UNIX.fullmatch(text):
            return Address("unix", "", found[1])
        found = _INTERNET.fullmatch(text)
        if found and 0 < int(found[4]) < 65536:
            return Address("tcp" if found[1] == "tcp" else "udp", found[2] or found[3], int(found[4]))
    raise Refused(f"{text!r} is no address of a socket: tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH")


class Stream:
    """Writes to sockets; see the module."""

    def __init__(self) -> None:
        self.slots = Slots(MAX_AT_ONCE)
        self._names: Aside[list[Place]] = Aside()

    def check(self, job: Job) -> None:
        """Raises Refused for what is no address."""
        parse(job.application)

    def prepare(self, job: Job) -> Ready:
        return Ready(lambda: self.run(job))

    async def run(self, job: Job) -> Outcome:
        """Connect, write, and wait for the answer where one is required."""
        stage = _Stage()
        try:
            async with asyncio.timeout(job.timeout):
                return await self._deliver(parse(job.application), job, stage)
        except TimeoutError:
            return failed(f"{job.application}: {stage.now} not done within {job.timeout:g} s")
        except _NoAnswer as error:
            return failed(f"{job.application}: {error}")
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that is none
            return failed(f"{job.application}: {stage.now}: {_reason(error)}")

    async def _deliver(self, address: Address, job: Job, stage: _Stage) -> Outcome:
        with await self._connect(address, job) as connection:
            stage.now = "writing"
            await asyncio.get_running_loop().sock_sendall(connection, _line(job))
            await _confirm(connection, address, job)
            if job.reply == "none":
                return delivered(f"written to {job.application}")
            stage.now = "the answer"
            return delivered("answered", await _answer(connection))

    async def _connect(self, address: Address, job: Job) -> socket.socket:
        if isinstance(address.place, str):
            return await _connect_unix(address.place)
        kind = socket.SOCK_STREAM if address.kind == "tcp" else socket.SOCK_DGRAM
        failure: OSError | None = None
        for family, place in await self._resolve(address.host, address.place, job.timeout):
            try:
                return await _connect_internet(family, kind, place)
            except OSError as error:
                failure = error
        raise failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")

    async def _resolve(self, host: str, port: int, limit: float) -> list[Place]:
        try:
            return _look_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self._names.call((host, port), lambda: _look_up(host, port), limit)


class _Stage:
    """What is being done, for the reason of a failure."""

    now = "the connection"


def _look_up(host: str, port: int, flags: int = 0) -> list[Place]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, place) for family, _, _, _, place in found]


async def _connect_internet(family: int, kind: int, place: Any) -> socket.socket:
    connection = _open(family, kind)
    try:
        await asyncio.get_running_loop().sock_connect(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect_unix(path: str) -> socket.socket:
    try:
        return await _connect_unix_as(socket.SOCK_STREAM, path)
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
    return await _connect_unix_as(socket.SOCK_DGRAM, path)


async def _connect_unix_as(kind: int, path: str) -> socket.socket:
    connection = _open(socket.AF_UNIX, kind)
    try:
        if kind == socket.SOCK_DGRAM:
            connection.bind("")  # an address of its own (abstract), for an answer to come back to
        # Not loop.sock_connect: it takes EAGAIN, a full backlog, for a connection under way.
        for pause in pauses():
            with contextlib.suppress(BlockingIOError):
                connection.connect(path)
                break
            await asyncio.sleep(pause)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(family: int, kind: int) -> socket.socket:
    connection = socket.socket(family, kind)
    connection.setblocking(False)
    return connection


def _line(job: Job) -> bytes:
    """The JSON on one line: between its tokens JSON allows newlines, inside strings it has none."""
    return job.payload.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"


async def _confirm(connection: socket.socket, address: Address, job: Job) -> None:
    """TCP: wait until nothing written is unacknowledged. Raises the OSError that came back meanwhile."""
    if address.kind == "tcp":
        if job.reply == "none":
            connection.shutdown(socket.SHUT_WR)
        for pause in pauses():
            _raise_pending(connection)
            if not _unacknowledged(connection):
                return
            await asyncio.sleep(pause)
    _raise_pending(connection)


def _raise_pending(connection: socket.socket) -> None:
    if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(number, "")


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes the peer's kernel has not acknowledged yet (SIOCOUTQ, tcp(7))."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    (count,) = struct.unpack("i", answer)
    return int(count)


async def _answer(connection: socket.socket) -> str:
    """One line, or what came before the receiver closed; a datagram is a line. Raises _NoAnswer."""
    loop = asyncio.get_running_loop()
    answer = b""
    while b"\n" not in answer and len(answer) < MAX_OUTPUT:
        piece = await loop.sock_recv(connection, MAX_OUTPUT)
        answer += piece
        if not piece or connection.type == socket.SOCK_DGRAM:
            break
    line = answer.partition(b"\n")[0][:MAX_OUTPUT]
    if not answer:
        raise _NoAnswer("the receiver closed without an answer")
    return line.decode(errors="replace").rstrip("\r")


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in _REASONS:
        return _REASONS[number]
    return (error.strerror if isinstance(error, OSError) and error.strerror else None) or str(error)
