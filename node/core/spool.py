"""The format of a spool's segments, and which of them may go: bytes in, items out, no files.

A segment is a header and then frames; what follows the last frame is zeros. A frame is a mark, the body's length, the
item's sequence, a CRC over both and the body, and the body. The mark cannot occur in UTF-8 text, so a raiser cannot
plant a frame inside a body for the search after damage to find.
Rules: an item is taken only with its CRC right and its sequence as expected or, after damage, higher.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from zlib import crc32

MAGIC = b"NRSPOOL1"
HEADER_SIZE = len(MAGIC) + 16
"""The magic, then the boot that the segment was begun in."""

_MARK = b"\xff\xfeN\xfd"
_FRAME = struct.Struct(">4sIQI")
_CHECKED = struct.Struct(">IQ")
FRAME_SIZE = _FRAME.size


class Item(NamedTuple):
    """One item of a stream; sequences count from 1."""

    sequence: int
    body: bytes


@dataclass(frozen=True)
class Loss:
    """Items `first` to `last` of a stream that will not be sent: dropped by a bound, or unreadable on the disk."""

    reason: Literal["size", "age", "damage"]
    stream: bytes
    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Scan:
    """What a segment holds. `end` is the offset past its last frame; `clean` when nothing but zeros follows, nothing
    is damaged and the header is right; `boot` is that of the header."""

    items: list[Item]
    end: int
    clean: bool
    boot: bytes


@dataclass(frozen=True)
class Name:
    """A segment's file name: its number in the spool, its first sequence, its stream."""

    number: int
    first: int
    stream: bytes

    def __str__(self) -> str:
        return f"{self.number:012d}.{self.first}.{self.stream.hex()}"


_NAME = re.compile(r"(\d{12,})\.(\d+)\.([0-9a-f]{32})")


def parse_name(name: str) -> Name | None:
    """None for any other file."""
    match = _NAME.fullmatch(name)
    return Name(int(match[1]), int(match[2]), bytes.fromhex(match[3])) if match else None


def header(boot: bytes) -> bytes:
    """The first bytes of a segment begun in the boot with this id (16 bytes)."""
    return MAGIC + boot


def frame(sequence: int, body: bytes) -> bytes:
    """One item as it is appended."""
    return _FRAME.pack(_MARK, len(body), sequence, _check(sequence, body)) + body


def frames(first: int, bodies: Iterable[bytes]) -> bytes:
    """Several items in one piece, numbered from `first`."""
    return b"".join([frame(sequence, body) for sequence, body in enumerate(bodies, first)])


def size(bodies: Iterable[bytes]) -> int:
    """How many bytes `frames` makes of them."""
    return sum(FRAME_SIZE + len(body) for body in bodies)


def scan(data: bytes, first: int) -> Scan:
    """Every item that can be read of a segment whose first sequence is `first`."""
    items: list[Item] = []
    sound, position, expected = data.startswith(MAGIC), HEADER_SIZE, first
    while (found := _item_from(data, position, expected)) is not None:
        start, item = found
        sound = sound and start == position and item.sequence == expected
        items.append(item)
        position, expected = start + FRAME_SIZE + len(item.body), item.sequence + 1
    end = min(position, len(data))
    return Scan(items, end, sound and not data[end:].strip(b"\0"), data[len(MAGIC) : HEADER_SIZE])


def missing(items: Iterable[Item], first: int, last: int) -> list[tuple[int, int]]:
    """The ranges of first .. last that are not among the items, which are in order."""
    holes, expected = [], first
    for item in items:
        if item.sequence > last:
            break
        if item.sequence > expected:
            holes.append((expected, item.sequence - 1))
        expected = max(expected, item.sequence + 1)
    return [*holes, (expected, last)] if expected <= last else holes


def _item_from(data: bytes, position: int, expected: int) -> tuple[int, Item] | None:
    """The next good frame at or after `position`, with its offset."""
    while (position := data.find(_MARK, position)) >= 0:
        item = _item_at(data, position)
        if item is not None and expected <= item.sequence <= expected + len(data):
            return position, item
        position += 1
    return None


def _item_at(data: bytes, position: int) -> Item | None:
    if position + FRAME_SIZE > len(data):
        return None
    _, length, sequence, check = _FRAME.unpack_from(data, position)
    body = data[position + FRAME_SIZE : position + FRAME_SIZE + length]
    return Item(sequence, body) if len(body) == length and _check(sequence, body) == check else None


def _check(sequence: int, body: bytes) -> int:
    return crc32(body, crc32(_CHECKED.pack(len(body), sequence)))
