"""The coordinator's lock: who leads, in which term, told by a file that its holder keeps locked for life.

Role: `RoleLock` is the holder's side; `read_lock`, `current_term` and `is_held` are everybody's, by a read-only fresh
open, so they work for a user with read permission only.
Rules: flock excludes, between hosts too where the disk says so; the record is one JSON line of a fixed length,
rewritten in place and fsynced, never replaced by another file, so that everybody locks the same one. A leader is
deposed as soon as the record is not, byte for byte, its own: two leaders that took one term (the one paused between
reading and writing the record) still tell each other apart by the token. The record is written at take-over alone:
a leader that ends writes nothing here, for a late write would take the term back.
The descriptor is close-on-exec and must not reach a child process by a plain fork either: the child would hold the
lock for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from noroshi.store.disk import create, disk_errors, read_fresh, same_file, write_synced
from noroshi.store.errors import RoleTaken
from noroshi.store.layout import Layout

SIZE = 1024
"""Bytes of the record, always."""
_TRIES, _PAUSE = 10, 0.005
"""A probe of `is_held` holds the lock for microseconds; a candidate tries that often, seconds apart."""


class LockRecord(msgspec.Struct, frozen=True):
    """Who took the role. `since_us` microseconds UTC; `machine` and `started` as in mark.Owner.

    `first`: when it did, no database had ever been finished here.
    """

    node: str
    term: int
    endpoint: str
    pid: int
    since_us: int
    incarnation: str = ""
    machine: str = ""
    started: int = 0
    token: str = ""
    first: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LockRecord)


def encode(record: LockRecord) -> bytes:
    """SIZE bytes: JSON, blanks, newline. ValueError where the names do not fit."""
    line = _encoder.encode(record).ljust(SIZE - 1) + b"\n"
    if len(line) != SIZE:
        raise ValueError(f"the names in the lock record are too long: {len(line)} bytes")
    return line


def decode(raw: bytes | None) -> LockRecord | None:
    """The inverse of `encode`; None for a file that is missing, empty or damaged."""
    try:
        return _decoder.decode(raw) if raw else None
    except (msgspec.DecodeError, RecursionError):
        return None


def read_lock(layout: Layout) -> LockRecord | None:
    """The last record, whether or not its writer still leads. Raises OSError; takes no lock."""
    return decode(read_fresh(layout.lock, SIZE))


def current_term(layout: Layout) -> int:
    """The term in the lock file now, 0 where there is none."""
    record = read_lock(layout)
    return record.term if record else 0


def is_held(layout: Layout) -> bool:
    """True while a process holds the role. Probes with a shared lock, released at once."""
    try:
        descriptor = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class RoleLock:
    """The role, held from `acquire` to `close` (or the end of the process)."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._own = b""

    @classmethod
    def acquire(cls, layout: Layout) -> RoleLock:
        """Take the lock without waiting. Raises RoleTaken, DiskFull, DiskFailed."""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            with disk_errors("cannot take the coordinator's lock", layout.lock):
                lock = cls._try(layout.lock)
            if lock:
                return lock
        raise _taken(layout)

    @classmethod
    def _try(cls, path: Path) -> RoleLock | None:
        with ExitStack() as undo, suppress(BlockingIOError):
            descriptor = create(path)
            undo.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if same_file(path, descriptor):  # else somebody put another file there between our open and our lock
                undo.pop_all()
                return cls(path, descriptor)
        return None

    def write(self, record: LockRecord) -> None:
        """Make `record` ours, durable on return. Raises OSError."""
        self._own = encode(record)
        write_synced(self._descriptor, self._own)

    def still_ours(self) -> bool:
        """True while a fresh open finds our own record. Raises OSError."""
        return read_fresh(self._path, SIZE) == self._own

    def close(self) -> None:
        """Release the role."""
        os.close(self._descriptor)


def _taken(layout: Layout) -> RoleTaken:
    with disk_errors("cannot read the coordinator's lock", layout.lock):
        holder = read_lock(layout)
    who = f"{holder.node} leads in term {holder.term}" if holder else "another process holds it"
    return RoleTaken("the role is taken", on=str(layout.lock), why=who)
