"""The first database: made whole in a file of its own, then linked to its name.

Rules: whoever is killed here, at any point, leaves either no database or a complete one. A link, unlike a rename,
never replaces what is there, so a candidate that wakes up late cannot put an empty database over a successor's; an
empty file at the name is refused, not removed, for the same reason.
The page size is SQLite's 4096: a commit of one event changes a dozen pages and so writes 54 KB of log (75 KB with
8192, 115 KB with 16384), all of which every reader takes in, while bulk intake and reading gained nothing from more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from noroshi.store.disk import connect, create_new, sqlite_errors, sync_directory
from noroshi.store.errors import DiskFailed, RoleTaken
from noroshi.store.schema import migrate

PAGE_SIZE = 4096
VFS = "unix-none"


def create_database(database: Path, made: Path, look: Callable[[], None]) -> None:
    """Make `database`, by way of `made`, where there is none; `look` raises once we no longer lead.

    Raises RoleTaken, DiskFailed, DiskFull, OSError.
    """
    if _exists(database):
        return
    os.close(create_new(made))
    try:
        build(made)
        look()
        link(made, database)
    except (DiskFailed, OSError):
        look()  # a successor removes our file: that is not the disk's fault
        raise
    finally:
        with suppress(FileNotFoundError):
            made.unlink()
    sync_directory(database.parent)


def _exists(database: Path) -> bool:
    try:
        size = database.stat().st_size
    except FileNotFoundError:
        return False
    if not size:
        hint = "remove it, or put a backup in its place"
        raise DiskFailed("cannot lead", on=str(database), why="the file is empty; it is not noroshi's", hint=hint)
    return True


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
