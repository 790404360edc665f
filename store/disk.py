"""What every file of the shared-disk protocol has in common: creating, fresh reading, syncing, naming an error.

Role: the few system calls of mark, lock, write-ahead log and take-over, each with its durability in one place.
Rules: a read is always a fresh open (close-to-open: only that is promised to see what another host fsynced); a file
gets the rights of the shared directory without its write bits for others, whatever the umask; every descriptor is
close-on-exec, so no program started later keeps a lock or a file alive. None of this is for the database file while
this process has it open for writing (see vfs.py).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from noroshi.store.errors import Damaged, DiskFailed, DiskFull, NoroshiError, RoleTaken

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
CHUNK = 1 << 20

STATE_MODE, RUN_MODE = 0o710, 0o750
"""Of a node's own two directories: its group may raise, and passes through `state` to leave events in `state/drop`."""

_CHECK = "check the shared disk and its mount on this node; the README, Disks, says what it must give"
_FREE = "free space on the shared disk; the coordinator tries again by itself"


def create_new(path: Path) -> int:
    """Open a file that must not exist yet, for reading and writing, with the directory's rights. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _share(descriptor, path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def create(path: Path) -> int:
    """Open for reading and writing, made first if need be. Raises OSError."""
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        with suppress(FileExistsError):
            return create_new(path)


def _share(descriptor: int, directory: Path) -> None:
    """Who may read the directory may read the file; its owner alone may write it.

    A coordinator started as root leaves files that the directory's owner can lead with later.
    """
    there = directory.stat()
    os.fchmod(descriptor, (there.st_mode & 0o444) | 0o600)
    if os.geteuid() == 0:
        with suppress(PermissionError):  # a disk that maps root to nobody
            os.fchown(descriptor, there.st_uid, there.st_gid)


def make_directory(directory: Path) -> None:
    """Make it where it is missing, with the rights of the one it lies in, but for its write bits for others."""
    if directory.exists():
        return
    there = directory.parent.stat()
    directory.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.chown(directory, there.st_uid, there.st_gid)
    directory.chmod((there.st_mode & 0o555) | 0o700)


def make_own_directory(directory: Path, mode: int) -> None:
    """Make one of this node's own where it is missing, with this mode whatever the umask. Raises OSError.

    What is missing on the way there is made for all to pass: the mode of the last alone says who may go further.
    """
    if directory.is_dir():
        return
    make_own_directory(directory.parent, 0o755)
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(mode)


def read_fresh(path: Path, limit: int) -> bytes | None:
    """The first `limit` bytes by a fresh open; None where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return read_at(descriptor, limit, 0)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, amount: int, offset: int) -> bytes:
    """`amount` bytes from `offset`, fewer only where the file ends."""
    data = os.pread(descriptor, amount, offset)
    while 0 < len(data) < amount:
        more = os.pread(descriptor, amount - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def same_file(path: Path, descriptor: int) -> bool:
    """True while a fresh open of `path` reaches the file behind `descriptor`."""
    try:
        present = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return os.path.samestat(os.fstat(present), os.fstat(descriptor))
    finally:
        os.close(present)


def write_synced(descriptor: int, data: bytes) -> None:
    """Put `data` at the start of the file, all of it, and fsync."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], done)
    os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Make a rename, link or removal in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: OSError, what: str, on: Path) -> DiskFull | DiskFailed:
    """The operator's name for an operating system's error on the shared disk."""
    why = error.strerror or str(error)
    if error.errno in FULL:
        return DiskFull(what, on=str(on), why=why, hint=_FREE)
    return DiskFailed(what, on=str(on), why=why, hint=_CHECK)


@contextmanager
def disk_errors(what: str, on: Path) -> Iterator[None]:
    """Turn every OSError of the block into DiskFull or DiskFailed."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, what, Path(error.filename) if isinstance(error.filename, str) else on) from error


@contextmanager
def sqlite_errors(connection: apsw.Connection, on: Path) -> Iterator[None]:
    """Give SQLite's disk errors their names; those of a statement pass through.

    A failed ROLLBACK behind a disk error (SQLite has rolled back by itself by then) does not hide it.
    """
    try:
        yield
    except apsw.Error as error:
        cause: BaseException | None = error
        while isinstance(cause, apsw.Error):
            named = name_sqlite_error(cause, connection.system_errno, on)
            if named is not None:
                raise named from error
            cause = cause.__context__
        raise


def connect(path: Path, vfs: str) -> apsw.Connection:
    """Open an existing database for writing. Raises DiskFailed, DiskFull, RoleTaken."""
    try:
        return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.Error as error:
        raise name_sqlite_error(error, 0, path) or error from error


def name_damage(why: str, on: Path) -> Damaged:
    """The database seems damaged."""
    hint = "the next coordinator checks it, and begins from the last backup where it has to; nothing is deleted"
    return Damaged("the database is damaged", on=str(on), why=why, hint=hint)


def name_sqlite_error(error: apsw.Error, number: int, on: Path) -> NoroshiError | None:
    """What an SQLite error means to the leader, None for a statement's own; `number` is the errno behind it.

    A quota and a full disk met at fsync come as I/O errors. Going on after them is right here, and only here: the
    next commit begins where the failed one began and writes every lost page again.
    """
    if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and number in FULL):
        return DiskFull("cannot write", on=str(on), why=str(error), hint=_FREE)
    if isinstance(error, apsw.BusyError):
        hint = "only noroshi may open the database; use `noroshi backup` or a command that reads"
        return RoleTaken("the database is open elsewhere", on=str(on), why=str(error), hint=hint)
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return name_damage(str(error), on)
    if isinstance(error, (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError)):
        why = f"{error} ({os.strerror(number)})" if number else str(error)
        return DiskFailed("cannot write", on=str(on), why=why, hint=_CHECK)
    return None
