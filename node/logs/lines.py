"""From bytes of a file to lines of text (spec 3.1), without I/O.

Rules: a line ends at a newline; one carriage return before it is not part of it. Text is UTF-8, and any byte that is
not becomes U+FFFD, so that a line of another encoding stays visible with its ASCII whole (`encodings` has those that
node.yaml may name). A NUL becomes U+FFFD too;
NULs at the start of a line (the hole that a truncation leaves under a writer that does not append) are dropped. A line
of more than LIMIT bytes is cut there, and a mark says how many bytes are missing. Escape sequences stay: whoever shows
a line makes them harmless.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

LIMIT = 64 * 1024
"""Bytes kept of one line."""

MOST_LINES = 16384
"""Lines taken from one block, so that a block of empty lines is no transaction of a million rows."""

REPLACEMENT = "\ufffd"


def split(block: bytes) -> list[str]:
    """The lines of a block that ends with a newline."""
    if b"\0" in block or _has_long_line(block):
        return [text(line) for line in block[:-1].split(b"\n")]
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    lines = block.decode("utf-8", "replace").split("\n")
    lines.pop()
    return lines


def text(line: bytes, codec: str = "utf-8") -> str:
    """One line, given without its newline."""
    line = _without_hole(line, codec)
    if len(line) > LIMIT:
        return _cut(line[:LIMIT], len(line), codec)
    return _decode(line, codec).removesuffix("\r")


def whole_lines(block: bytes) -> int:
    """How many of the first bytes of `block` are whole lines, MOST_LINES at most."""
    end = block.rfind(b"\n") + 1
    if block.count(b"\n") <= MOST_LINES:
        return end
    return len(block) - len(block.split(b"\n", MOST_LINES)[-1])


@dataclass(frozen=True)
class LongLine:
    """A line too long for one block, of which only the beginning is kept while its end is looked for."""

    kept: bytes = b""
    length: int = 0
    """Bytes of the line so far, without the NULs it began with."""
    codec: str = "utf-8"

    def grown(self, data: bytes) -> LongLine:
        """With more of the line, which holds no newline."""
        if not self.kept:
            data = _without_hole(data, self.codec)
        return LongLine(self.kept + data[: LIMIT + 1 - len(self.kept)], self.length + len(data), self.codec)

    def text(self) -> str:
        """The line as far as it is known."""
        if self.length > LIMIT:
            return _cut(self.kept[:LIMIT], self.length, self.codec)
        return text(self.kept, self.codec)


def _has_long_line(block: bytes) -> bool:
    """Whether any line has more than LIMIT bytes; looks at one newline in LIMIT bytes, not at each."""
    start = 0
    while len(block) - start > LIMIT:
        newline = block.rfind(b"\n", start, start + LIMIT + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _cut(kept: bytes, length: int, codec: str) -> str:
    decoder = codecs.getincrementaldecoder(codec)("replace")
    shown = decoder.decode(kept)  # a character that the cut went through is left out and counted as missing
    missing = length - len(kept) + len(decoder.getstate()[0])  # which the decoder has not turned into text
    return f"{shown.replace(chr(0), REPLACEMENT)} …[cut {missing} bytes]"


def _without_hole(line: bytes, codec: str) -> bytes:
    """Without the NULs at its start; where a character takes two bytes, without the whole characters of them."""
    hole = len(line) - len(line.lstrip(b"\0"))
    return line[hole - hole % 2 if codec.startswith("utf-16") else hole :]


def _decode(line: bytes, codec: str) -> str:
    return line.decode(codec, "replace").replace("\0", REPLACEMENT)
