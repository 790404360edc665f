"""The encodings a log may be in: where its lines end, and what they say, without I/O.

Role: `encoding(name)` gives what `cutting` needs of one; UTF-8 goes the fast way of `lines`, whose rules hold for all.
Rules: an encoding is one in which the byte 0x0A is a newline and nothing else, or UTF-16. `utf-16` goes by the byte
order mark at the start of the file, and is little-endian without one. A byte order mark is no part of the first line.
"""

from __future__ import annotations

import codecs
from functools import lru_cache

from noroshi.node.logs import lines

MARK = "\ufeff"

TELLING = 64
"""Bytes from which it is said that a log is in another encoding than its rule names."""

_LOOKED_AT = 4096


class Encoding:
    """UTF-8. Blocks begin at the start of a line; `newline` is what a line ends with."""

    codec = "utf-8"
    newline = b"\n"

    def of(self, head: bytes) -> Encoding:
        """The encoding of a file with these first bytes."""
        return self

    def find(self, block: bytes) -> int:
        """Where the first newline is, or -1."""
        return block.find(b"\n")

    def whole_lines(self, block: bytes) -> int:
        """As `lines.whole_lines`."""
        return lines.whole_lines(block)

    def split(self, block: bytes) -> list[str]:
        """The lines of a block that ends with a newline."""
        return lines.split(block)

    def raw(self, block: bytes) -> list[bytes]:
        """The same as they stand in the file, without their newlines."""
        return block[:-1].split(b"\n")

    def text(self, line: bytes) -> str:
        """One line, given without its newline."""
        return lines.text(line, self.codec)

    def is_other(self, block: bytes) -> bool:
        """Whether a block in which this encoding has no newline reads like lines of another one."""
        return False


class _OtherBytes(Encoding):
    """Any other in which 0x0A is a newline. Each line by itself: half a character takes no newline along."""

    def __init__(self, codec: str) -> None:
        self.codec = codec

    def split(self, block: bytes) -> list[str]:
        return [self.text(line) for line in self.raw(block)]


class _Utf16(Encoding):
    """Two bytes a unit: what looks like a newline at an odd place is none."""

    def __init__(self, codec: str) -> None:
        self.codec, self.newline = codec, "\n".encode(codec)

    def find(self, block: bytes) -> int:
        at = block.find(self.newline)
        while at % 2:
            at = -2 if at < 0 else block.find(self.newline, at + 1)
        return max(at, -1)

    def whole_lines(self, block: bytes) -> int:
        block = block[: len(block) // 2 * 2]
        units = self._units(block).split("\n")
        kept = units[: min(len(units) - 1, lines.MOST_LINES)]
        return sum(len(self._bytes(unit)) + 2 for unit in kept)

    def split(self, block: bytes) -> list[str]:
        return [self.text(line) for line in self.raw(block)]

    def raw(self, block: bytes) -> list[bytes]:
        return [self._bytes(unit) for unit in self._units(block).split("\n")[:-1]]

    def is_other(self, block: bytes) -> bool:
        """UTF-8 has newlines of one byte, and no NULs; some dozens of bytes of UTF-16 are never valid UTF-8."""
        lines_of_bytes = block.count(b"\n") > 0 and b"\0" not in block
        return lines_of_bytes and len(block) >= TELLING and _is_utf8(block[:_LOOKED_AT])

    def _units(self, block: bytes) -> str:
        return block.decode(self.codec, "surrogatepass")

    def _bytes(self, unit: str) -> bytes:
        return unit.encode(self.codec, "surrogatepass")


class _ByMark(Encoding):
    """UTF-16 with a byte order mark."""

    def of(self, head: bytes) -> Encoding:
        return encoding("utf-16-be" if head.startswith(codecs.BOM_UTF16_BE) else "utf-16-le")


def _is_utf8(block: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return True


UTF8 = Encoding()


@lru_cache(64)
def encoding(name: str) -> Encoding:
    """By one of Python's names for it. Raises LookupError where there is none of that name."""
    codec = codecs.lookup(name).name
    if codec == "utf-8":
        return UTF8
    if codec == "utf-16":
        return _ByMark()
    return _Utf16(codec) if codec.startswith("utf-16") else _OtherBytes(codec)
