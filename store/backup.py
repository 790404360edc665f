"""A backup: one file, one committed state, made by any node while another one writes; and what is begun from it.

Role: `write_backup` for the command; `restore` for a leader that has no database (takeover_create.py).
Rules: read through the shared reader, so nothing is locked and the coordinator may be gone; a copy during which the
mark changed is thrown away and made again. The file gets its name only once it is whole, checked and durable, and it
is an ordinary SQLite database without a log, for any tool to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from .disk import CHUNK, disk_errors, sqlite_errors, sync_directory
from .errors import DiskFailed, NoroshiError
from .layout import Layout
from .reader import SharedReader

_PAGES = 2048
"""Pages copied between two calls of `step`."""
_PATIENCE = 60.0
"""Seconds in which another try begins."""
VFS = "unix-none"


@dataclass(frozen=True)
class Backup:
    """What was written: bytes, and the last term in it."""

    path: Path
    size: int
    term: int


def write_backup(layout: Layout, target: Path, step: Callable[[], None] = lambda: None) -> Backup:
    """Copy the database to `target`, replaced if it is there. `step` is called now and then.

    Raises NoDatabase, ReadFailed, DiskFull, DiskFailed, NoroshiError.
    """
    made = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        with disk_errors("cannot write the backup", target):
            term = SharedReader(layout).query(lambda source: _copy(source, made, step), _PATIENCE)
            _sync(made)
            size = made.stat().st_size
            made.replace(target)
            sync_directory(target.parent)
        return Backup(target, size, term)
    finally:
        with suppress(OSError):
            made.unlink()


def _copy(source: apsw.Connection, made: Path, step: Callable[[], None]) -> int:
    """Into a new file; the last term in it. Runs again after a copy that does not count."""
    made.unlink(missing_ok=True)
    os.close(os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy = _open(made)
    try:
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES)
                step()
        copy.pragma("journal_mode", "delete")
        _check(copy, made)
        return int(copy.execute("SELECT coalesce(max(term), 0) FROM terms").get)
    finally:
        copy.close()


def _open(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)
    connection.pragma("locking_mode", "exclusive")
    return connection


def _check(connection: apsw.Connection, path: Path) -> None:
    found = connection.pragma("quick_check", 1)
    if found != "ok":
        raise NoroshiError("the copy is damaged", on=str(path), why=str(found), hint="take another backup")


def restore(backup: Path, made: Path) -> None:
    """Fill the file `made`, which nobody else knows, with the backup, in the form that has a log; fsynced.

    Raises DiskFailed where the backup is damaged, DiskFull, OSError.
    """
    with backup.open("rb", buffering=0) as source, made.open("r+b", buffering=0) as target:
        while data := source.read(CHUNK):
            target.write(data)
    connection = _open(made)
    try:
        with sqlite_errors(connection, made):
            found = connection.pragma("quick_check", 1)
            if found != "ok":
                hint = "remove it: an empty database is begun then"
                raise DiskFailed("the last backup is damaged", on=str(backup), why=str(found), hint=hint)
            connection.pragma("journal_mode", "wal")
    finally:
        connection.close()
    _sync(made)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
