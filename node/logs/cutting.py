"""From blocks of one file to lines, or to records of several lines, and where each ends (spec 3.1), without I/O.

Rules: `offset` stands at the start of a line, and of a record where there are records; `scanned` is how far the bytes
were looked at. What lies between is unfinished and read again with what follows it. A record begins with a line that
`begins` names and takes in those after it that do not; it is complete when another begins, when `closed` says that it
has waited long enough, at the end of a rotated file, and at RECORD bytes or RECORD_LINES lines, behind which what
follows is a record of its own. Only whole lines are taken into a record, but for the last of a rotated file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from noroshi.node.logs.encodings import MARK, UTF8, Encoding
from noroshi.node.logs.lines import LongLine

BLOCK = 1024 * 1024
"""Bytes read at once."""

RECORD = 64 * 1024
RECORD_LINES = 1000

Begins = Callable[[list[str]], list[bool]]
"""Whether each of these lines begins a record."""


@dataclass(frozen=True)
class Cut:
    """Complete lines or records, and the offset behind each (empty where nobody asked)."""

    texts: list[str]
    ends: list[int] = field(default_factory=list)


class Cutter:
    """One file's. `forced` are offsets at which a record began in an earlier life because the one before had waited
    long enough; `keep_forced` remembers more of them. `with_ends`: somebody asks where lines end."""

    def __init__(
        self,
        offset: int,
        begins: Begins | None,
        *,
        with_ends: bool,
        keep_forced: bool = False,
        forced: Iterable[int] = (),
    ) -> None:
        self.offset = self.scanned = offset
        self.open: list[str] = []
        """The whole lines of the record that is not complete."""
        self.forced = set(forced)
        self._open_end = offset
        self._reached = False  # whether the last block went to the end of what there is
        self._long: LongLine | None = None
        self._long_read = offset
        self._begins, self.with_ends = begins, with_ends
        self._keep_forced = keep_forced

    @property
    def reads_from(self) -> int:
        """Where the next block begins."""
        return self._long_read if self._long else self.offset

    @property
    def open_end(self) -> int:
        """Where the whole lines of the record end that is not complete; `offset` where there are none."""
        return self._open_end if self.open else self.offset

    def move(self, offset: int) -> None:
        """Go on at this offset, which is the start of a line."""
        self.offset = self.scanned = offset
        self._long, self.open = None, []

    def forget_forced(self, offset: int) -> None:
        """Nothing before this offset is read again."""
        if self.forced:
            self.forced = {place for place in self.forced if place > offset}

    def go_back(self) -> None:
        """What is unfinished was taken back."""
        self.move(self.offset)

    def take_open(self) -> Cut:
        """The record that is not complete, as it stands."""
        texts, end = ["\n".join(self.open)], self._open_end
        self.move(end)
        return Cut(texts, [end])

    def feed(self, block: bytes, encoding: Encoding = UTF8, *, whole: bool = False, closed: bool = False) -> Cut:
        """What the block completes; it begins at `reads_from`. `whole`: its last line counts without a newline."""
        start, whole, self._reached = self.offset, whole and len(block) < BLOCK, False
        if self._long is not None:
            found = self._long_line(self._long, block, encoding, whole)
            ends = [self.offset] if found else []
        else:
            found, ends = self._lines(block, encoding, whole)
        if found and start == 0:
            found[0] = found[0].removeprefix(MARK)
        if self._begins is None or not found:
            return Cut(found, ends)
        return self._records(found, ends, start, closed or (whole and self._reached))

    def _lines(self, block: bytes, encoding: Encoding, whole: bool) -> tuple[list[str], list[int]]:
        end = encoding.whole_lines(block)
        if not end and len(block) == BLOCK:
            self._long = LongLine(codec=encoding.codec).grown(block)
            self._long_read = self.scanned = self.offset + BLOCK
            return [], []
        start, rest = self.offset, block[end:]
        found = encoding.split(block[:end]) if end else []
        ends = list(_ends(block[:end], start, encoding)) if end and (self.with_ends or self._begins is not None) else []
        self.move(start + end)
        self._reached = len(block) < BLOCK and encoding.find(rest) < 0
        if self._reached and rest:
            if whole:
                found.append(encoding.text(rest))
                ends.append(start + len(block))
                self.move(start + len(block))
            self.scanned = start + len(block)
        return found, ends

    def _long_line(self, long: LongLine, block: bytes, encoding: Encoding, whole: bool) -> list[str]:
        newline, begun = encoding.find(block), self._long_read
        if newline < 0 and not whole:
            block_end = begun + len(block)
            block = block[: len(block) - len(block) % len(encoding.newline)]  # half a character is read again
            self._long, self._long_read, self.scanned = long.grown(block), begun + len(block), block_end
            return []
        end = len(block) if newline < 0 else newline
        self.move(begun + end + (len(encoding.newline) if newline >= 0 else 0))
        return [long.grown(block[:end]).text()]

    # --- records ---

    def _records(self, lines: list[str], ends: list[int], start: int, closed: bool) -> Cut:
        firsts = self._firsts(lines, ends, start)
        last, behind = firsts[-1], ends[-1]
        began = ends[last - 1] if last else start
        if closed:
            self._force(behind)
        elif self._stays_open(len(lines) - last, behind - began, first=last == 0):
            reached = self.scanned if self._reached else began
            self.move(began)
            self.scanned, self.open, self._open_end = reached, lines[last:], behind
            firsts.pop()
            lines, ends = lines[:last], ends[:last]
        bounds = [*firsts, len(lines)]
        texts = ["\n".join(lines[first:after]) for first, after in pairwise(bounds)]
        return Cut(texts, [ends[after - 1] for after in bounds[1:]])

    def _firsts(self, lines: list[str], ends: list[int], start: int) -> list[int]:
        """Which lines each begin a record; the first does, for it stands at the start of one."""
        begins = self._begins(lines) if self._begins is not None else []
        firsts, began = [0], start
        for index in range(1, len(lines)):
            at = ends[index - 1]
            full = ends[index] - began > RECORD or index - firsts[-1] >= RECORD_LINES
            if begins[index] or full or at in self.forced:
                firsts.append(index)
                began = at
        return firsts

    def _stays_open(self, lines: int, size: int, *, first: bool) -> bool:
        """Whether the last record may go on. A line that fills the rest of the block would keep it from ever ending."""
        return size < RECORD and lines < RECORD_LINES and (self._reached or not first)

    def _force(self, offset: int) -> None:
        if self._keep_forced:
            self.forced.add(offset)


def _ends(block: bytes, start: int, encoding: Encoding) -> Iterator[int]:
    """The offset behind each line of a block that begins at `start`."""
    lengths = (len(line) + len(encoding.newline) for line in encoding.raw(block))
    return (start + end for end in accumulate(lengths))
