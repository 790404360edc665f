"""The record of deliveries: what was started on this node and how it ended, over restarts and crashes (design 7).

Role: makes a delivery happen once. Nothing is started before its `started` line is on the disk; a repeat of an id is
answered from its `ended` line; one that was started and never ended, because the daemon was killed, has failed:
interrupted. The highest term heard is kept here too.

Rules: one file of JSON lines, written behind one another and fdatasynced by one thread; lines that arrive meanwhile
share the next sync. What follows the last line is zeros, written before they are needed, so that a sync moves no end
of a file (one flush less for each). Lines that cannot be read (a torn last one) count as never written. Old results
are dropped by writing a new file beside, fsync, rename, fsync of the directory. After a failed write the file is
written anew before anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from noroshi.node.notifier.procedure import Outcome, failed
from noroshi.node.worker import Done, Worker
from noroshi.store.clock import now_us
from noroshi.store.errors import NoroshiError

KEEP_US = 24 * 3600 * 1_000_000
KEEP_COUNT = 20_000
KEEP_BYTES = 32 * 1024 * 1024
"""A result is kept for a day, while it is among the newest so many and so many bytes."""

GROWTH = 8 * 1024 * 1024
"""The file is written anew when it has passed twice its size then, and this many bytes."""

ROOM = 256 * 1024
"""Bytes of zeros that are made at once behind the last line."""

INTERRUPTED = "interrupted: the node daemon ended while it ran, whether the application has it is unknown"

log = logging.getLogger(__name__)


class Started(msgspec.Struct, frozen=True, tag="started"):
    """Written before anything is started; `at` in microseconds UTC."""

    delivery: str
    at: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """Written before the answer is given."""

    delivery: str
    at: int
    result: Outcome


class Term(msgspec.Struct, frozen=True, tag="term"):
    """The highest term heard so far."""

    term: int


Line = Started | Ended | Term

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


class RecordFile:
    """The file and its index. Blocking, and used by one thread at a time, but for `term` and `knows`."""

    def __init__(self, folder: Path, now: int) -> None:
        self.term = 0
        self.damaged = 0
        self._path = folder / "record"
        self._started: dict[str, Started] = {}
        self._ended: dict[str, int] = {}  # where in the file its line begins; in the order of their ends
        self._unwritten: dict[str, Ended] = {}
        self._size = self._size_when_new = self._room = 0
        self._trusted = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(folder.parent)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._load()
            for line in self._started.values():
                self._unwritten[line.delivery] = Ended(line.delivery, now, failed(INTERRUPTED))
            self._rewrite(now)
        except BaseException:
            self.close()
            raise

    def knows(self, delivery: str) -> bool:
        """Whether there is a result, or the delivery was started."""
        return delivery in self._ended or delivery in self._unwritten or delivery in self._started

    def result(self, delivery: str) -> Outcome | None:
        """How it ended. Raises OSError, and ValueError where the line has been damaged since it was written."""
        if delivery in self._unwritten:
            return self._unwritten[delivery].result
        if delivery not in self._ended:
            return failed(INTERRUPTED) if delivery in self._started else None
        line = _decoder.decode(self._line_at(self._ended[delivery]))
        return line.result if isinstance(line, Ended) else None

    def commit(self, lines: list[Line], now: int) -> None:
        """All lines are on the disk when this returns. Raises OSError; then no `Started` among them counts."""
        try:
            if not self._trusted or self._grown():
                self._rewrite(now)
            self._append(lines)
        except OSError:
            self._keep_for_later(lines)
            raise

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._file)

    def _keep_for_later(self, lines: list[Line]) -> None:
        self._trusted = False
        for line in lines:
            if isinstance(line, Ended):
                self._unwritten[line.delivery] = line
            elif isinstance(line, Term):
                self.term = max(self.term, line.term)

    def _append(self, lines: list[Line]) -> None:
        encoded = [_encoder.encode(line) + b"\n" for line in lines]
        data = b"".join(encoded)
        if self._size + len(data) > self._room:
            self._make_room(len(data))
        _write(self._file, data, self._size)
        os.fdatasync(self._file)
        for line, data in zip(lines, encoded, strict=True):
            self._note(line, self._size)
            self._size += len(data)

    def _make_room(self, size: int) -> None:
        """Zeros for so many bytes and more, where the disk has room for more; on it with what is written next."""
        self._room = self._size + size
        with contextlib.suppress(OSError):
            _write(self._file, bytes(size + ROOM), self._size)
            self._room += ROOM

    def _note(self, line: Line, offset: int) -> None:
        if isinstance(line, Term):
            self.term = max(self.term, line.term)
        elif isinstance(line, Started):
            self._started[line.delivery] = line
        else:
            self._ended[line.delivery] = offset
            self._started.pop(line.delivery, None)

    def _load(self) -> None:
        with open(self._file, "rb", closefd=False) as file:
            for data in file:
                try:
                    if data.strip(b"\0"):
                        self._note(_decoder.decode(data), self._size)
                except ValueError:
                    self.damaged += 1
                self._size += len(data)
        if self.damaged:
            log.warning("%s: %d line(s) could not be read and count as never written", self._path, self.damaged)

    def _line_at(self, offset: int) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            piece = os.pread(self._file, 8192, offset + len(data))
            if not piece:
                break
            data += piece[: piece.find(b"\n") + 1] or piece
        return data

    def _grown(self) -> bool:
        return self._size > 2 * self._size_when_new + GROWTH or len(self._ended) > 2 * KEEP_COUNT

    def _rewrite(self, now: int) -> None:
        """Replace the file by what is worth keeping; a crash at any point leaves the old file or the new one."""
        new = self._path.with_suffix(".new")
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            offsets, size = self._copy(file, now)
            os.fsync(file)
            new.rename(self._path)
            _sync_directory(self._path.parent)
        except BaseException:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._ended = file, offsets
        self._size = self._size_when_new = self._room = size
        for delivery in self._unwritten:
            self._started.pop(delivery, None)
        self._unwritten = {}
        self._trusted = True

    def _copy(self, file: int, now: int) -> tuple[dict[str, int], int]:
        """Write the lines to keep; where each result begins, and how much was written."""
        running = [line for line in self._started.values() if line.delivery not in self._unwritten]
        head = b"".join(_encoder.encode(line) + b"\n" for line in [Term(self.term), *running])
        _write(file, head, 0)
        offsets: dict[str, int] = {}
        size = len(head)
        for delivery in reversed(list(self._worth_keeping(now))):
            offsets[delivery] = size
            size += _write(file, self._data(delivery), size)
        return offsets, size

    def _worth_keeping(self, now: int) -> Iterable[str]:
        """The deliveries whose results are kept, newest first."""
        room, left = KEEP_BYTES, KEEP_COUNT
        for delivery in [*reversed(self._unwritten), *reversed(self._ended)]:
            data = self._data(delivery)
            room, left = room - len(data), left - 1
            if room < 0 or left < 0:
                return
            if self._is_young(data, now):
                yield delivery

    def _data(self, delivery: str) -> bytes:
        line = self._unwritten.get(delivery)
        return self._line_at(self._ended[delivery]) if line is None else _encoder.encode(line) + b"\n"

    def _is_young(self, data: bytes, now: int) -> bool:
        try:
            line = _decoder.decode(data)
        except ValueError:
            self.damaged += 1
            return False
        return isinstance(line, Ended) and now - line.at <= KEEP_US


class _Entry(NamedTuple):
    """A line to be written, what to call in the thread that did, and whom to tell."""

    line: Line
    then: Callable[[], None] | None
    future: asyncio.Future[None]


class Record:
    """The record for an event loop: every wait is for the disk, never of the loop itself."""

    def __init__(self, folder: Path, in_thread: Callable[[], object] | None = None) -> None:
        """Blocking, for the daemon's start. Raises NoroshiError where the folder cannot be used.

        `in_thread` is called first in the thread that writes, in which what was recorded is begun.
        """
        try:
            self._file = RecordFile(folder, now_us())
        except OSError as error:
            hint = "the state directory of node.yaml must be writable by the daemon and have room"
            why = error.strerror or str(error)
            raise NoroshiError("cannot open the record of deliveries in", on=str(folder), why=why, hint=hint) from error
        self._worker = Worker("delivery-record", in_thread)
        self._batch: list[_Entry] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._term = self._file.term

    @property
    def term(self) -> int:
        """The highest term heard, this life or an earlier one."""
        return self._term

    async def raise_term(self, term: int) -> None:
        """Remember a higher term; at once for this life, on the disk when this returns. Raises OSError."""
        self._term = max(self._term, term)
        await self._write(Term(self._term))

    def started(self, delivery: str, then: Callable[[], None] | None = None) -> asyncio.Future[None]:
        """Done when the line is on the disk and `then` has been called: only then may anything be started.

        It is called in the thread that wrote the line, and must not raise. OSError: neither was done.
        """
        return self._write(Started(delivery, now_us()), then)

    async def ended(self, delivery: str, result: Outcome) -> None:
        """Returns when the line is on the disk. Raises OSError; the result is known to this life all the same."""
        await self._write(Ended(delivery, now_us(), result))

    def knows(self, delivery: str) -> bool:
        """Whether it was ever started here, this life or an earlier one."""
        return self._file.knows(delivery)

    async def result(self, delivery: str) -> Outcome | None:
        """The recorded result; None for a delivery never started. Raises OSError, ValueError."""
        if not self._file.knows(delivery):
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._file.result, delivery)

    async def close(self) -> None:
        """Finish what is being written, then close the file."""
        await self._idle.wait()
        self._worker.shutdown()
        self._file.close()

    def _write(self, line: Line, then: Callable[[], None] | None = None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch.append(_Entry(line, then, future))
        if self._idle.is_set():
            self._idle.clear()
            self._flush()  # at once: what comes after it in the same turn of the loop shares the next sync
        return future

    def _flush(self) -> None:
        """Group commit: everything that came during one sync goes into the next."""
        batch, self._batch = self._batch, []
        loop = asyncio.get_running_loop()
        self._worker.call(partial(self._commit, batch, loop), partial(self._written, [entry.future for entry in batch]))

    def _commit(self, batch: list[_Entry], loop: asyncio.AbstractEventLoop) -> None:
        """Nobody waits for what others begin: whoever begins nothing is told first, then each once it has begun."""
        self._file.commit([entry.line for entry in batch], now_us())
        begun = [(entry.then, entry.future) for entry in batch if entry.then is not None]
        if not begun:
            return
        loop.call_soon_threadsafe(_settle, [entry.future for entry in batch if entry.then is None], None)
        for begin, future in begun:
            begin()
            loop.call_soon_threadsafe(_settle, [future], None)

    def _written(self, futures: list[asyncio.Future[None]], writing: Done[None]) -> None:
        if self._batch:
            self._flush()  # before the futures: the disk works while they go on
        else:
            self._idle.set()
        _settle(futures, writing.error)  # whatever went wrong, nobody may wait for ever


def _settle(futures: list[asyncio.Future[None]], failure: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue  # whoever waited was cancelled
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)


def _write(file: int, data: bytes, offset: int) -> int:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
    return len(data)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
