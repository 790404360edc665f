# ruff: noqa: N802 - the methods have the names SQLite gives them
"""SQLite's view of one moment of the shared disk: the log from memory, the database read through, nothing else.

Role: `open_snapshot` gives a connection on the files as `Snapshot` found them (design section 3, reader step 3).
Rules: nothing is written, locked or deleted, whatever SQLite asks for. A plain `unix-none` with mode=ro will not do:
it opens the log for writing and, closing on an empty one, deletes it under the writer.
The database file is crossed in blocks of BLOCK bytes, which live as long as the connection: on a network disk a page
at a time would be a round trip each.

A process that writes a database must never open its file here: closing *any* descriptor of a file drops every POSIX
lock the process has on it, SQLite's own among them. `writes_here` and `refuse_in_writer` keep that rule.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import apsw

from noroshi.store.disk import read_at

NAME = "noroshi-snapshot"
BLOCK = 64 * 1024
_BLOCKS = 1024
"""Blocks kept at most: a scan of a big table must not fill the memory with what it has passed."""

_written_here: Counter[tuple[int, Path]] = Counter()
"""Databases with an open Writer, by process: a forked child has none of its parent's locks to lose."""


def writes_here(database: Path, more: int) -> None:
    """The process has begun (1) or ended (-1) to write this database."""
    key = os.getpid(), database.resolve()
    _written_here[key] += more
    if not _written_here[key]:
        del _written_here[key]


def refuse_in_writer(database: Path) -> None:
    """RuntimeError in the process that writes the database: it reads through `Writer.read`."""
    if _written_here and (os.getpid(), database.resolve()) in _written_here:
        raise RuntimeError(f"this process writes {database}: opening it again would drop SQLite's lock")


@dataclass(frozen=True)
class Snapshot:
    """One opening of the disk: the log's bytes and the database, which SQLite closes."""

    path: Path
    wal: bytes | MemoryFile
    database: BlockFile


class _ReadOnlyFile:
    """The answers to everything but reading."""

    def xLock(self, level: int) -> None:
        """No lock is taken: the mark tells whether the reading holds."""

    def xUnlock(self, level: int) -> None:
        """See xLock."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xWrite(self, data: bytes, offset: int) -> None:
        raise apsw.ReadOnlyError("a shared reader writes nothing")

    def xTruncate(self, size: int) -> None:
        raise apsw.ReadOnlyError("a shared reader truncates nothing")

    def xSync(self, flags: int) -> None:
        """Nothing was written."""

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        """Nothing is held."""


class MemoryFile(_ReadOnlyFile):
    """The write-ahead log as it was read. SQLite asks for every frame of it by itself, so nothing is copied here."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def xFileSize(self) -> int:
        return len(self._data)

    def xRead(self, amount: int, offset: int) -> memoryview:
        return self._data[offset : offset + amount]


class BlockFile(_ReadOnlyFile):
    """The database file, in blocks."""

    def __init__(self, path: Path) -> None:
        """By a fresh open. Raises OSError."""
        refuse_in_writer(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._blocks: dict[int, bytes] = {}

    def xFileSize(self) -> int:
        return os.fstat(self._descriptor).st_size

    def xRead(self, amount: int, offset: int) -> bytes:
        start = offset % BLOCK
        block = self._block(offset // BLOCK)
        if start + amount <= BLOCK:
            return block[start : start + amount]
        return block[start:] + self.xRead(amount - BLOCK + start, offset - start + BLOCK)

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) >= _BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            block = self._blocks[number] = read_at(self._descriptor, BLOCK, number * BLOCK)
        return block

    def xClose(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Opening(threading.local):
    """What the thread is opening: SQLite names only paths, and a path has many moments."""

    snapshot: Snapshot | None = None


class SnapshotVFS(apsw.VFS):
    """Hands out the files of the snapshot its thread is opening; refuses everything else."""

    def __init__(self) -> None:
        super().__init__(NAME, "unix-none")
        self.opening = _Opening()

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:
        return pathname.endswith("-wal") and flags != apsw.SQLITE_ACCESS_READWRITE

    def xDelete(self, filename: str, syncdir: bool) -> None:
        raise apsw.ReadOnlyError("a shared reader deletes nothing")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        snapshot = self.opening.snapshot
        if snapshot is None or not flags[0] & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL):
            raise apsw.CantOpenError("a shared reader opens the database and its log only")
        flags[1] = flags[0] & ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) | apsw.SQLITE_OPEN_READONLY
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            log = snapshot.wal
            return log if isinstance(log, MemoryFile) else MemoryFile(log)  # type: ignore[return-value]
        return snapshot.database  # type: ignore[return-value]


_vfs = SnapshotVFS()
_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def open_snapshot(snapshot: Snapshot) -> apsw.Connection:
    """A connection in a read transaction that has opened both files; closing it closes them. Raises apsw.Error."""
    _vfs.opening.snapshot = snapshot
    connection = None
    try:
        connection = apsw.Connection(f"file:{quote(str(snapshot.path))}?mode=ro", flags=_FLAGS, vfs=NAME)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        _begin(connection)
        return connection
    except BaseException:
        if connection is not None:
            connection.close(True)
        snapshot.database.xClose()
        raise
    finally:
        _vfs.opening.snapshot = None


_BEGIN = """
PRAGMA locking_mode=exclusive; -- a private index instead of a -shm file
PRAGMA temp_store=memory; -- else a sort that spills would want a file
BEGIN; SELECT count(*) FROM sqlite_schema -- the first read opens the log and fixes the moment
"""


def _begin(connection: apsw.Connection) -> None:
    for _ in connection.execute(_BEGIN):
        pass
