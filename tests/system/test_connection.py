"""The local socket's own connections: what asyncio's transports promise, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notifying import run, until
from raisers import short_directory

from noroshi.node.daemon.connection import HIGH_WATER, Listener


class Echo(asyncio.Protocol):
    """Gives back what it gets, a hundred times over; `!` is a fault, `.` ends it."""

    paused = resumed = 0
    lost: Exception | str | None = "not yet"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data == b"!":
            raise RuntimeError("a fault")
        self.transport.write(data * 100)
        if data.endswith(b"."):
            self.transport.close()

    def eof_received(self) -> bool:
        self.transport.write(b"bye")
        self.transport.close()
        return True

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.resumed += 1

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = error


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Path, list[Echo]]]:
    made: list[Echo] = []

    def protocol() -> Echo:
        made.append(Echo())
        return made[-1]

    with short_directory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        listener = Listener(listening, protocol, 100)
        yield folder / "s", made
        listener.close()


def test_all_is_sent_to_a_client_that_reads_late_and_the_protocol_is_told() -> None:
    async def story() -> None:
        async with served() as (path, made):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=1024)
            writer.write(b"x" * 200_000 + b".")
            await until("it is told to pause", lambda: made and made[0].paused)
            assert len(await reader.read()) == 200_001 * 100 > HIGH_WATER
            await until("it is gone", lambda: made[0].lost is None)
            assert made[0].resumed == made[0].paused
            writer.close()

    run(story())


def test_many_that_come_at_once_wait_for_few_rounds_of_a_busy_loop() -> None:
    async def story() -> None:
        async with served() as (path, made):
            clients = [socket.socket(socket.AF_UNIX) for _ in range(90)]
            for client in clients:
                client.connect(str(path))
            rounds = 0
            while len(made) < len(clients):
                rounds += 1
                time.sleep(0.01)  # noqa: ASYNC251 - the others of the loop are at work
                await asyncio.sleep(0)
            assert rounds < 15
            for client in clients:
                client.close()

    run(story())


def test_who_ends_its_side_is_still_answered() -> None:
    async def story() -> None:
        async with served() as (path, _):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write_eof()
            assert await reader.read() == b"bye"
            writer.close()

    run(story())


def test_a_fault_closes_one_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with served() as (path, made):
            other, writing = await asyncio.open_unix_connection(str(path))
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"!")
            assert await reader.read() == b""
            writing.write(b"y")
            assert await other.readexactly(100) == b"y" * 100
            assert sorted(str(each.lost) for each in made) == ["a fault", "not yet"]
            writer.close()
            writing.close()

    with caplog.at_level(logging.CRITICAL):
        run(story())


def test_without_a_descriptor_it_accepts_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with served() as (path, _):
            accept, left = socket.socket.accept, [2]

            def refused(self: socket.socket) -> tuple[socket.socket, object]:
                if left[0]:
                    left[0] -= 1
                    raise OSError(errno.EMFILE, "no descriptor")
                return accept(self)

            monkeypatch.setattr("noroshi.node.daemon.connection._PAUSE", 0.01)
            monkeypatch.setattr(socket.socket, "accept", refused)
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"z")
            assert await reader.readexactly(100) == b"z" * 100
            writer.close()

    run(story())
