"""Reading the live database from any node, while another host may be writing it (design section 3, Reader).

Role: `SharedReader.query` gives the function a connection on one committed state, no older than the last commit that
was acknowledged before the query began.
Rules: takes no lock, writes nothing, never waits for the writer, and works from a read-only mount or with read
permission only. The order is the protocol: mark, log, database, mark. Equal marks: the result holds. Anything else,
errors included, is thrown away and read again. A phase is never waited for: a leader that died in a checkpoint would
starve every reader, and the state it left can be read.
A reader keeps nothing between queries; any number of threads may use one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

import apsw

from noroshi.store.disk import read_at
from noroshi.store.errors import DamagedRead, NoDatabase, ReadFailed
from noroshi.store.layout import Layout
from noroshi.store.mark import Phase, SeenMark, read_mark
from noroshi.store.schema import MIGRATIONS, UNTHINKABLE, version_of
from noroshi.store.vfs import BlockFile, Snapshot, open_snapshot, refuse_in_writer

T = TypeVar("T")

_PAUSE_FIRST, _PAUSE_MOST = 0.001, 0.1
_DISK_ERRORS = (OSError, apsw.CorruptError, apsw.IOError, apsw.NotADBError, apsw.CantOpenError, apsw.FullError)
"""What a moving disk can cause; with the mark unchanged it may still be the disk, so it is tried again."""

_DAMAGE = (apsw.CorruptError, apsw.NotADBError)

_WHAT = "cannot read"


class NewerSchema(ReadFailed):
    """The database was written by a newer program."""


class _Again(Exception):
    """This attempt does not count; str() says why. `damaged`: the mark did not change, and it was no sound database."""

    def __init__(self, why: str, *, damaged: bool = False) -> None:
        super().__init__(why)
        self.damaged = damaged


class SharedReader:
    """Reads the database of one shared directory."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def query(self, function: Callable[[apsw.Connection], T], timeout: float = 5.0) -> T:
        """What `function` returns for one committed state. `timeout` in seconds bounds the beginning of new attempts.

        The function may run several times, so it has no effects of its own, and fetches all it needs: the connection
        is closed behind it. Its own exceptions pass through once the state it saw is known to be whole.
        Raises NoDatabase, ReadFailed; DamagedRead where the last attempt met a damaged database at rest.
        """
        deadline = time.monotonic() + timeout
        pause, attempts = 0.0, 0  # the first again at once: a mark that changed has most often changed for good
        while True:
            attempts += 1
            try:
                return self._attempt(function)
            except _Again as again:
                why, damaged = str(again), again.damaged
            if time.monotonic() + pause > deadline:
                raise self._failed(f"{why}, after {attempts} attempts in {timeout:g} s", damaged=damaged)
            time.sleep(pause)
            pause = min(max(2 * pause, _PAUSE_FIRST), _PAUSE_MOST)

    def fingerprint(self) -> Hashable:
        """Changes whenever the database may have changed; costs three opens. Raises ReadFailed."""
        try:
            refuse_in_writer(self._layout.database)
            files = (self._layout.wal, self._layout.database)
            return (read_mark(self._layout.mark).raw, *map(_identity, files))
        except OSError as error:
            raise self._failed(str(error)) from error

    def _attempt(self, function: Callable[[apsw.Connection], T]) -> T:
        before = self._read_mark()
        try:
            result = self._read(before, function)
        except Exception as error:
            self._judge(before, error)
            raise
        self._compare(before)
        return result

    def _read(self, before: SeenMark, function: Callable[[apsw.Connection], T]) -> T:
        wal = b"" if before.phase is Phase.TRUNCATING else read_wal(self._layout.wal)
        connection = open_snapshot(Snapshot(self._layout.database, wal, self._open_database()))
        version = len(MIGRATIONS)
        try:
            version = self._check_version(version_of(connection))
            return function(connection)
        except apsw.SQLError as error:
            if version < len(MIGRATIONS):
                raise self._older(version) from error
            raise
        finally:
            connection.close(True)

    def _open_database(self) -> BlockFile:
        try:
            database = BlockFile(self._layout.database)
        except FileNotFoundError as error:
            raise self._no_database() from error
        if not database.xFileSize():  # SQLite would take the log for a leftover and delete it
            database.xClose()
            raise self._no_database()
        return database

    def _read_mark(self) -> SeenMark:
        try:
            return read_mark(self._layout.mark)
        except OSError as error:
            raise _Again(f"the mark cannot be read: {error}") from error

    def _compare(self, before: SeenMark) -> None:
        if self._read_mark() != before:
            raise _Again("the database was changing")

    def _judge(self, before: SeenMark, error: Exception) -> None:
        """Raise what the error means; return where it stands as it is."""
        self._compare(before)
        if isinstance(error, _DISK_ERRORS):
            raise _Again(str(error), damaged=isinstance(error, _DAMAGE)) from error
        if isinstance(error, UnicodeDecodeError):
            raise self._unreadable(error) from error

    def _unreadable(self, error: UnicodeDecodeError) -> ReadFailed:
        hint = "a coordinator that meets it mends what it needs; of what is old, ask for what lies before or behind it"
        return ReadFailed(_WHAT, on=str(self._layout.database), why=f"text in a row is no UTF-8: {error}", hint=hint)

    def _check_version(self, version: int) -> int:
        if not version:
            raise self._no_database()
        if not 0 < version < UNTHINKABLE:
            raise apsw.CorruptError(f"its schema says it is version {version}, which no program has made")
        if version > len(MIGRATIONS):
            why = f"its schema is version {version}, this program knows {len(MIGRATIONS)}"
            hint = "update noroshi on this node; where all nodes have the newest, put a backup in its place"
            raise NewerSchema(_WHAT, on=str(self._layout.database), why=why, hint=hint)
        return version

    def _older(self, version: int) -> ReadFailed:
        why = f"its schema is version {version}, older than this program's {len(MIGRATIONS)}"
        return ReadFailed(
            _WHAT, on=str(self._layout.database), why=why, hint="update noroshi on the coordinator's node"
        )

    def _no_database(self) -> NoDatabase:
        if not self._layout.cluster.exists():  # an empty mount point, as like as not
            why = "neither a database nor cluster.yaml is there"
            hint = "is the shared disk mounted on this node?"
            return NoDatabase("nothing to read in", on=str(self._layout.shared), why=why, hint=hint)
        hint = "start a node; its coordinator makes the database"
        return NoDatabase("no database yet", on=str(self._layout.database), hint=hint)

    def _failed(self, why: str, *, damaged: bool = False) -> ReadFailed:
        hint = "check the shared disk; the README, Disks, says what it must give"
        if damaged:
            hint = "the coordinator checks it and begins from the last backup where it has to"
        return (DamagedRead if damaged else ReadFailed)(_WHAT, on=str(self._layout.database), why=why, hint=hint)


def read_wal(path: Path) -> bytes:
    """The whole log by a fresh open, empty where there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return read_at(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    """Which file it is and how it stands, by open and fstat: stat alone may answer from a network disk's cache."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    finally:
        os.close(descriptor)
