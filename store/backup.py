"""A backup: one file, one committed state, made by any node while another one writes; and what is begun from it.

Role: `write_backup` for the command, `write_automatic` for the coordinator's own (care.py); `restore` for a leader
whose database is lost (damage.py), which takes the newest of `backups` that is sound.
Rules: read through the shared reader, so nothing is locked and the coordinator may be gone; a copy during which the
mark changed is thrown away and made again. The file gets its name only once it is whole, checked and durable, and it
is an ordinary SQLite database without a log, for any tool to read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from noroshi.store.clock import now_us, stamp
from noroshi.store.disk import CHUNK, disk_errors, sqlite_errors, sync_directory
from noroshi.store.errors import DiskFailed, DiskFull, NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.schema import MIGRATIONS, version_of
from noroshi.store.soundness import integrity
from noroshi.store.views.states import last_write

_PAGES = 2048
"""Pages copied between two calls of `step`."""
_PATIENCE = 60.0
"""Seconds in which another try begins."""
_AUTOMATIC = "noroshi-"
_STAMPED = f"{_AUTOMATIC}{'[0-9]' * 8}T{'[0-9]' * 6}.{'[0-9]' * 6}Z.db"
"""What an automatic backup is called; what somebody else named stays."""
_ABANDONED = 3600.0
"""Seconds after which nobody writes to the rest of a backup any more."""
ROOM_LEFT = 16 * 1024 * 1024
"""Bytes, at least, that a backup leaves free."""
VFS = "unix-none"


class DamagedCopy(NoroshiError):
    """Of what was copied, or on its way."""


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
            _begin(made, target)
            term = SharedReader(layout).query(lambda source: _copy(source, made, target, step), _PATIENCE)
            _sync(made)
            size = made.stat().st_size
            if target.parent == layout.backup.parent:
                _give(made, layout)
            made.replace(target)
            sync_directory(target.parent)
        return Backup(target, size, term)
    finally:
        with suppress(OSError):
            made.unlink()


def write_automatic(layout: Layout, keep: int, step: Callable[[], None] = lambda: None) -> Backup:
    """One more in the directory for backups, under a name that says when; only the newest `keep` such ones stay.

    Raises as `write_backup`; NoroshiError also where there is no room for it and some more.
    """
    folder = layout.backup.parent
    with disk_errors("cannot write the backup", folder):
        make_directory(layout)
        _tidy(folder)
        _need_room(layout, folder)
    done = write_backup(layout, folder / f"{_AUTOMATIC}{stamp(now_us())}.db", step)
    with disk_errors("cannot remove old backups", folder):
        for old in sorted(folder.glob(_STAMPED))[:-keep]:
            old.unlink(missing_ok=True)
    return done


def backups(layout: Layout) -> list[Path]:
    """Every backup in the directory for them, made by whomever, the newest first. Raises OSError.

    A name that leads nowhere is none: a link to a disk that is not there, a file that another node has just removed.
    """
    found: list[tuple[int, Path]] = []
    for path in layout.backup.parent.glob("noroshi*.db"):
        with suppress(FileNotFoundError):
            there = path.stat()
            if there.st_size:
                found.append((there.st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def make_directory(layout: Layout) -> None:
    """The directory for backups, where there is none. Raises OSError."""
    layout.backup.parent.mkdir(mode=0o700, exist_ok=True)
    _give(layout.backup.parent, layout)


def _give(path: Path, layout: Layout) -> None:
    """Whoever may lead must be able to begin from it, also where root made it."""
    if os.geteuid() == 0:
        owner = layout.shared.stat()
        with suppress(PermissionError):  # a disk that maps root to nobody
            os.chown(path, owner.st_uid, owner.st_gid)


def _tidy(folder: Path) -> None:
    """Remove what was left of backups that were cut short; one that is being written is younger."""
    for part in folder.glob(".*.db.part-*"):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()


def _need_room(layout: Layout, folder: Path) -> None:
    """A backup must not be what fills the disk that the coordinator needs."""
    size = sum(path.stat().st_size for path in (layout.database, layout.wal) if path.exists())
    there = os.statvfs(folder)
    free, need = there.f_bavail * there.f_frsize, size + max(size // 4, ROOM_LEFT)
    if free < need:
        why = f"{free // 2**20} MiB are free, {need // 2**20} are wanted"
        hint = "free space on the shared disk, or set `backup` and `retention` in cluster.yaml"
        raise NoroshiError("no room for a backup", on=str(folder), why=why, hint=hint)


def _copy(source: apsw.Connection, made: Path, target: Path, step: Callable[[], None]) -> int:
    """Into a new file; the last term in it. Runs again after a copy that does not count."""
    with _target_errors(target):
        made.unlink(missing_ok=True)
        _create(made)
        copy = _open(made)
    try:
        with _target_errors(target):
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    step()
            copy.pragma("journal_mode", "delete")
        _check(copy, made)
        return int(copy.execute("SELECT coalesce(max(term), 0) FROM terms").get)
    finally:
        copy.close()


_WRITING = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_DIR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_DELETE,
        apsw.SQLITE_IOERR_CLOSE,
    }
)
"""Nothing writes but what is copied to."""


def _extended(error: apsw.Error) -> int:
    return int(getattr(error, "extendedresult", 0))


@contextmanager
def _target_errors(target: Path) -> Iterator[None]:
    """Trouble with the place, met on the way, is not tried again as trouble with reading is: it is final, and named."""
    try:
        with disk_errors("cannot write the backup", target):
            yield
    except apsw.Error as error:
        if isinstance(error, apsw.FullError):
            hint = "free space there, or name a file elsewhere"
            raise DiskFull("cannot write the backup", on=str(target), why=str(error), hint=hint) from error
        if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError)) or _extended(error) in _WRITING:
            hint = "name a file on a disk that can be written to"
            raise DiskFailed("cannot write the backup", on=str(target), why=str(error), hint=hint) from error
        raise


def _begin(made: Path, target: Path) -> None:
    """Before anything is read: trouble with the place would be taken for trouble with reading, and tried again."""
    try:
        _create(made)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        hint = "name a file in a directory that is there and may be written to"
        raise NoroshiError("cannot write the backup", on=str(target), why=str(error.strerror), hint=hint) from error


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _open(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=VFS)
    connection.pragma("locking_mode", "exclusive")
    return connection


def _check(connection: apsw.Connection, path: Path) -> None:
    found = connection.pragma("quick_check", 1)
    if found != "ok":
        raise DamagedCopy("the copy is damaged", on=str(path), why=str(found), hint="take another backup")


def restore(backup: Path, made: Path) -> int:
    """Fill the file `made`, which nobody else knows, with the backup, in the form that has a log; fsynced.

    When the backup was last written to, microseconds UTC. Raises DiskFailed where it is damaged or of a newer program,
    DiskFull, OSError.
    """
    with backup.open("rb", buffering=0) as source, made.open("r+b", buffering=0) as target:
        while data := source.read(CHUNK):
            target.write(data)
    connection = _open(made)
    try:
        with sqlite_errors(connection, made):
            if found := _unusable(connection):
                hint = "an older one is tried, or an empty database begun"
                raise DiskFailed("a backup cannot be used", on=str(backup), why=found, hint=hint)
            taken_at = last_write(connection) or 0
            connection.pragma("journal_mode", "wal")
    finally:
        connection.close()
    _sync(made)
    return taken_at


def _unusable(connection: apsw.Connection) -> str:
    """The whole of it is looked at: what is begun from must not be found damaged a moment later."""
    version = version_of(connection)
    if not 0 < version <= len(MIGRATIONS):
        return f"its schema is version {version}, this program knows {len(MIGRATIONS)}"
    return integrity(connection)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
