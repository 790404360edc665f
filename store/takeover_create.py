"""The first database: made whole in a file of its own, then linked to its name.

Rules: whoever is killed here, at any point, leaves either no database or a complete one. A link, unlike a rename,
never replaces what is there, so a candidate that wakes up late cannot put an empty database over a successor's. An
empty file, as damage leaves it, is replaced by a rename: that fails once a successor has removed what was made here.
The page size is SQLite's 4096: a commit of one event changes a dozen pages and so writes 54 KB of log (75 KB with
8192, 115 KB with 16384), all of which every reader takes in, while bulk intake and reading gained nothing from more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw

from noroshi.store.disk import connect, create_new, sqlite_errors, sync_directory
from noroshi.store.errors import DiskFailed, RoleTaken
from noroshi.store.schema import migrate

PAGE_SIZE = 4096
VFS = "unix-none"


def create_database(
    database: Path, made: Path, look: Callable[[], None], begin: Callable[[Path], None] | None = None
) -> None:
    """Make `database`, by way of `made`, where there is none; `look` raises once we no longer lead.

    `begin` fills the file where an empty database will not do. Raises RoleTaken, DiskFailed, DiskFull, OSError.
    """
    size = _size(database)
    if size:
        return
    os.close(create_new(made))
    try:
        (begin or build)(made)
        look()
        (link if size is None else replace)(made, database)
    except (DiskFailed, OSError):
        look()  # a successor removes our file: that is not the disk's fault
        raise
    finally:
        with suppress(FileNotFoundError):
            made.unlink()
    sync_directory(database.parent)


def _size(database: Path) -> int | None:
    try:
        return database.stat().st_size
    except FileNotFoundError:
        return None


def build(path: Path) -> None:
    """Fill the file with an empty database in the form that has a write-ahead log, fsynced; nobody else knows it."""
    connection = connect(path, VFS)
    try:
        with sqlite_errors(connection, path):
            connection.pragma("locking_mode", "exclusive")
            connection.pragma("page_size", PAGE_SIZE)
            connection.pragma("journal_mode", "memory")
            migrate(connection)
            connection.pragma("journal_mode", "wal")
    finally:
        connection.close()
    _sync(path)


def change_made(path: Path, change: Callable[[apsw.Connection], None]) -> None:
    """Change a file that `build` or `restore` made and nobody else knows yet; fsynced."""
    connection = connect(path, VFS)
    try:
        with sqlite_errors(connection, path):
            connection.pragma("locking_mode", "exclusive")
            change(connection)
    finally:
        connection.close()  # which copies the log into the file
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(made: Path, database: Path) -> None:
    """Give the finished file its name. RoleTaken where a successor removed it or has made its own."""
    try:
        os.link(made, database)
    except (FileNotFoundError, FileExistsError) as error:
        raise RoleTaken("the role was taken by another candidate meanwhile", on=str(database)) from error


def replace(made: Path, database: Path) -> None:
    """Put the finished file in place of an empty one. RoleTaken where a successor removed it."""
    try:
        made.rename(database)
    except FileNotFoundError as error:
        raise RoleTaken("the role was taken by another candidate meanwhile", on=str(database)) from error
