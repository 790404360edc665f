"""A write-ahead log with a damaged frame: SQLite takes it to end there, and says nothing of the commits behind it.

Role: tells a damaged log from one that merely ends in an unfinished commit, which is how every killed leader leaves it.
What proves the difference: a commit, at or behind the frame that SQLite refuses, on which a further frame follows whose
checksum goes on from that of the commit. A transaction begins only when the one before it is committed and fsynced, so
that commit was durable, and was acknowledged. What a transaction that was rolled back leaves behind the end has one
commit at most, and as its last frame; of an older filling there is nothing, because logs are emptied by truncation.
A damaged frame of the very last commit cannot be told from an unfinished one.

The log before the damage gives a state that was committed, with a database into which nobody has copied frames. Where
somebody may have begun to (Mark.half), the two make none, and another database is begun (damage.py).
"""

from __future__ import annotations

import logging
import struct
import sys
from dataclasses import dataclass

import apsw

from noroshi.store.layout import Layout
from noroshi.store.reader import read_wal
from noroshi.store.vfs import BlockFile, MemoryFile, Snapshot, open_snapshot

log = logging.getLogger(__name__)

_LOG_HEADER, _FRAME_HEADER = 32, 24
_MAGIC = 0x377F0682
"""Its last bit says that checksums are over big-endian words."""
_LOOKS = 3
"""A log to which a former leader still writes may look damaged for the moment that a frame takes."""


@dataclass(frozen=True)
class Cut:
    """The first `sound` bytes of a log can be read; what was committed behind them is lost."""

    sound: int


def find_cut(layout: Layout) -> Cut | None:
    """Where the log is damaged so that commits are lost; None where it is not, or that cannot be told. Raises OSError.

    For a process that does not write the database.
    """
    found = _look(layout)
    for _ in range(_LOOKS):
        if found is None:
            return None
        before, found = found, _look(layout)
        if found == before:
            log.error("%s is damaged behind its first %d bytes, and commits follow", layout.wal, found.sound)
            return found
    return None


class _Watched(MemoryFile):
    """The log, and how far SQLite has read it: one behind the last frame it took, where it refused one."""

    reached = 0

    def xRead(self, amount: int, offset: int) -> memoryview:  # noqa: N802 - SQLite's name
        self.reached = max(self.reached, offset + amount)
        return super().xRead(amount, offset)


def _look(layout: Layout) -> Cut | None:
    data = read_wal(layout.wal)
    if len(data) <= _LOG_HEADER:
        return None
    watched = _Watched(data)
    try:
        connection = open_snapshot(Snapshot(layout.database, watched, BlockFile(layout.database)))
    except (apsw.Error, FileNotFoundError):
        return None  # what is wrong with the database is found by others
    try:
        page = int(connection.pragma("page_size"))
    except apsw.Error:
        return None
    finally:
        connection.close(True)
    return _Frames(data, page).cut(watched.reached)


class _Frames:
    """The frames of a log, by number from 0."""

    def __init__(self, data: bytes, page: int) -> None:
        self._data, self._size = data, _FRAME_HEADER + page
        self._count = (len(data) - _LOG_HEADER) // self._size
        magic = int.from_bytes(data[:4], "big")
        known = magic & ~1 == _MAGIC
        self._order = (">" if magic & 1 else "<") if known else (">" if sys.byteorder == "big" else "<")
        head = struct.unpack_from(">8I", data)
        self._salts = head[4:6] if self._summed(data[:24], (0, 0)) == head[6:] else None
        """Those of this filling; None where the head of the log is what is damaged."""

    def cut(self, reached: int) -> Cut | None:
        """`reached`: the byte behind the last frame that SQLite looked at."""
        refused = max((reached - _LOG_HEADER) // self._size - 1, 0)
        if any(self._commits(number) and self._goes_on(number) for number in range(refused, self._count - 1)):
            return Cut(_LOG_HEADER + refused * self._size if refused else 0)
        return None

    def _head(self, number: int) -> tuple[int, ...]:
        """Page, pages of the database (0: no commit), two salts, two words of checksum."""
        return struct.unpack_from(">6I", self._data, _LOG_HEADER + number * self._size)

    def _commits(self, number: int) -> bool:
        return self._head(number)[1] != 0

    def _goes_on(self, number: int) -> bool:
        """Whether the next frame was written after this one, to the same filling."""
        head, following = self._head(number), self._head(number + 1)
        salts = self._salts or following[2:4]
        return head[2:4] == following[2:4] == salts and self._checksum(number + 1, head[4:]) == following[4:]

    def _checksum(self, number: int, seed: tuple[int, ...]) -> tuple[int, int]:
        """As SQLite's file format has it: over page and size, then the page's content."""
        start = _LOG_HEADER + number * self._size
        covered = self._data[start : start + 8] + self._data[start + _FRAME_HEADER : start + self._size]
        return self._summed(covered, seed)

    def _summed(self, covered: bytes, seed: tuple[int, ...]) -> tuple[int, int]:
        one, two = seed
        for first, second in struct.iter_unpack(f"{self._order}2I", covered):
            one = (one + first + two) & 0xFFFFFFFF
            two = (two + second + one) & 0xFFFFFFFF
        return one, two
