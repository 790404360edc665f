"""The mark: the small file beside the database that says whose it is and what its leader is doing to it.

Role: readers read it before and after everything else; identical bytes mean that nothing they read was changing
(design section 3). Its counter runs through three phases:

    normal       the database file rests; commits are appended to the write-ahead log
    copying      frames of the log are being copied into the database file; the log is whole
    truncating   the database file is whole; the log is being emptied and must be taken for empty

Rules: only the leader that installed a mark changes it, in place, through the descriptor it installed it with, and
fsyncs every change; a new leader renames a new file over it, so that a deposed one writes into a file nobody reads.
The bytes carry a random token, so two marks are never equal by chance, even where two leaders took the same term.

A mark that is missing, cut short or fails its checksum has a phase of its own, *unknown*, and counts as copying: log
and database are both read. That is right: a writer caught inside its in-place write is doing nothing else, so equal
damaged bytes before and after a reading bracket a disk at rest, and a leader copies nothing into the database while
the mark in the directory is not its own.

The mark also names the processes that may still hold the database open for writing (`owner`, `unsettled`): the next
leader must not checkpoint before they are known to have ended. And it says that the owner found the database damaged
(`suspect`). Both are kept here and not in the lock file because a paused leader's late write to this file lands in an
orphan.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from enum import Enum
from pathlib import Path

import msgspec

from noroshi.store.disk import read_fresh, write_synced

SIZE = 4096
"""Bytes of a mark, always: one block, rewritten in place without changing the file's length."""
SUSPECT_MOST = 200
"""Characters kept of why a database is suspected."""
_ROOM = 8
"""Leaders named one by one before the rest become one that only an operator or a fence can settle."""


class Phase(Enum):
    """What the leader is doing to the database file."""

    NORMAL = 0
    COPYING = 1
    TRUNCATING = 2
    UNKNOWN = 3


class Owner(msgspec.Struct, frozen=True):
    """A process that led. `machine` is its boot and process-id namespace, `started` its start in clock ticks."""

    node: str
    term: int
    pid: int
    incarnation: str = ""
    machine: str = ""
    started: int = 0


class Mark(msgspec.Struct, frozen=True):
    """One value of the mark. `closed`: the owner has closed the database and will not write to it again."""

    term: int
    counter: int
    token: str
    owner: Owner
    closed: bool = False
    unsettled: tuple[Owner, ...] = ()
    suspect: str = ""
    """Why the owner took the database for damaged; its successor looks at the whole of it (damage.py)."""
    first: bool = False
    """No database was ever finished here: one that is missing is not lost."""
    half: bool = False
    """An earlier leader may have copied a part of the log into the database, and no checkpoint was ended since."""

    @property
    def phase(self) -> Phase:
        return Phase(self.counter % 3)

    def advanced(self, phase: Phase) -> Mark:
        """The next mark in `phase`: the counter never comes back to a value it had."""
        return msgspec.structs.replace(self, counter=self.counter + 1 + (phase.value - self.counter - 1) % 3)


class SeenMark(msgspec.Struct, frozen=True):
    """A mark as a reader found it: two are the same state of the disk when `raw` is equal. `mark` None: unknown."""

    raw: bytes | None
    mark: Mark | None

    @property
    def phase(self) -> Phase:
        return Phase.UNKNOWN if self.mark is None else self.mark.phase


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Mark)
OTHERS = Owner(node="(several earlier leaders)", term=0, pid=0)


def encode(mark: Mark) -> bytes:
    """SIZE bytes: checksum, a blank, JSON, padding, newline."""
    if len(mark.unsettled) > _ROOM:
        mark = msgspec.structs.replace(mark, unsettled=(*mark.unsettled[-_ROOM + 1 :], OTHERS))
    body = _encoder.encode(mark).ljust(SIZE - 10) + b"\n"
    if len(body) != SIZE - 9:
        raise ValueError(f"the names in the mark are too long: {len(body)} bytes")
    return b"%08x " % zlib.crc32(body) + body


def decode(raw: bytes) -> Mark | None:
    """The inverse of `encode`; None for anything that was not written whole."""
    if len(raw) != SIZE or raw[:9] != b"%08x " % zlib.crc32(raw[9:]):
        return None
    try:
        return _decoder.decode(raw[9:])
    except (msgspec.DecodeError, RecursionError):
        return None


def read_mark(path: Path) -> SeenMark:
    """The mark by a fresh open. Raises OSError other than 'no such file'."""
    raw = read_fresh(path, SIZE)
    return SeenMark(raw, decode(raw) if raw is not None else None)


def plain(why: str) -> str:
    """As much of it as a mark has room for, whatever it holds."""
    return "".join(each if each.isprintable() and each.isascii() else "?" for each in why)[:SUSPECT_MOST]


class OwnMark:
    """The leader's own mark: the descriptor it was installed with, and its present value."""

    def __init__(self, descriptor: int, mark: Mark) -> None:
        self.descriptor = descriptor
        self.value = mark

    def write(self, mark: Mark) -> None:
        """Change the mark in place and fsync. Raises OSError; then the value is not known to be on the disk."""
        write_synced(self.descriptor, encode(mark))
        self.value = mark

    def enter(self, phase: Phase) -> None:
        """Go on to the next mark of `phase`, durable on return; back in *normal* nothing is half copied."""
        after = self.value.advanced(phase)
        self.write(msgspec.structs.replace(after, half=after.half and phase is not Phase.NORMAL))

    def suspect(self, why: str) -> None:
        """Say that the database seems damaged; where even that cannot be written, the successor finds out itself."""
        with suppress(OSError):
            self.write(msgspec.structs.replace(self.value, suspect=plain(why)))

    def end(self) -> None:
        """Say that the owner will not write to the database again, so that its successor need not wait; then close.

        On a full or broken disk the mark stays as it is, which is safe.
        """
        with suppress(OSError):
            self.write(msgspec.structs.replace(self.value, closed=True))
        self.close()

    def close(self) -> None:
        """Close and leave the mark as it is."""
        os.close(self.descriptor)
