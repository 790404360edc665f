"""Reads one incarnation of a source: bytes in, selected lines out to `outgoing`, the position behind them.

Rules: the saved position is where the first part begins that is not acknowledged. After every read the file's first
bytes are compared again: a read that a truncation overtook is thrown away. A last line without its newline waits, as
does a record that may go on; whole lines of such a record outlive a truncation.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace

from noroshi.node.logs import cutting
from noroshi.node.logs.cutting import Cut, Cutter
from noroshi.node.logs.directory import identity_of, is_link
from noroshi.node.logs.encodings import encoding
from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.messages import Rule
from noroshi.node.logs.opening import open_log
from noroshi.node.logs.outgoing import Outgoing
from noroshi.node.logs.position import HEAD, Fact, Identity, Position, digest
from noroshi.node.logs.selection import Selection


class Replaced(Exception):
    """The file no longer holds what was read of it."""


@dataclass(frozen=True)
class Packed:
    """A compressed file that an incarnation goes on in; `modified` in nanoseconds."""

    path: str
    device: int
    modified: int


class Follower:
    """One incarnation; what of it is to be sent is in `out`. `counts` is shared by all of a monitor."""

    def __init__(
        self,
        position: Position,
        rule: Rule,
        selection: Selection,
        counts: Counter[str],
        limiter: Limiter | None = None,
    ) -> None:
        self.stream, self.source, self.born = position.stream, position.source, position.born
        self.path = position.path
        self.identity = Identity(position.inode, position.device)
        self.size, self.modified = position.size, position.modified
        self.selection, self._limiter = selection, limiter
        self.out = Outgoing(
            position.stream,
            shown(position.source),
            position.stored,
            self,
            counts,
            deferred=rule.deferred,
            limiter=limiter,
            let_through=position.let_through,
            sent=position.sent,
        )
        self._encoding, self._record = encoding(rule.encoding), rule.record
        self._unit = len(self._encoding.of(b"").newline)  # bytes
        self._cutter = Cutter(
            position.offset,
            None if rule.record is None else selection.begins,
            with_ends=True,
            keep_forced=rule.deferred,
            forced=position.forced,
        )
        self.ended = False
        """Whether the content is gone; what is pending is still sent."""
        self.linked = True
        self.absent = False
        """Whether it is not found now, perhaps because its disk is not mounted."""
        self.refused = False
        """Whether it is reached by a stranger's link, and so never to be read."""
        self.unpacking = False
        """Whether more of it is still to be unpacked from a compressed file."""
        self.kept_from = 0
        """Bytes before this are not there, of what is unpacked."""
        self.misread = False
        """Whether no line ends in what is there, while one would in another encoding."""
        self.taken_back = 0
        """Bytes of whole lines of its last record that were truncated away, and nobody was told of."""
        self.grown_at = 0.0
        self._head, self._head_length, self._head_digest = b"", position.head_length, position.head
        self._descriptor: int | None = None
        self._by_link = False
        self._packed: Packed | None = None
        self._counts = counts

    # --- what it is ---

    @property
    def read_at(self) -> int:
        """Where reading goes on: all before it is in a part, or was not selected."""
        return self._cutter.offset

    @property
    def position(self) -> Position:
        """What is to be saved."""
        waits_from = self.out.read_from
        position = self._as_position(self.read_at if waits_from is None else waits_from)
        if self._packed is None:
            return position if not self.ended else replace(position, inode=0)
        # It is found again by its first bytes, and looked for only where something is known to be unread.
        size = position.offset if self.drained else max(self.size, position.offset + 1)
        return replace(position, device=self._packed.device, inode=0, size=size)

    @property
    def known(self) -> Position:
        """What `reconcile` is to know: read so far, acknowledged or not."""
        return self._as_position(self.read_at)

    @property
    def descriptor(self) -> int | None:
        return self._descriptor

    @property
    def rotated(self) -> bool:
        """Whether the source has moved on, so that nobody should write here any more."""
        return not self.linked or self.path != self.source

    @property
    def handle(self) -> str | int:
        """What to stat. A directory tells when a name goes to another file, but not what a symbolic link means."""
        descriptor = self._descriptor
        return self.path if descriptor is None or (self._by_link and not self.rotated) else descriptor

    @property
    def has_more(self) -> bool:
        """Whether there were bytes not looked at yet, when the file was last looked at."""
        return not self.ended and not self.absent and self.size > self._cutter.scanned

    @property
    def partial(self) -> bool:
        """Whether the file ends without a newline, or in a record that may go on, as far as it was read."""
        return not self.ended and self._cutter.scanned > self._cutter.offset

    @property
    def record_open(self) -> bool:
        """Whether whole lines wait for what follows in their record."""
        return not self.ended and bool(self._cutter.open)

    def record_due(self, now: float) -> bool:
        """Whether its last record has waited long enough."""
        waited = self._record is not None and now - self.grown_at >= self._record.timeout
        return waited and self.record_open and not (self.has_more or self.unpacking)

    @property
    def drained(self) -> bool:
        """Whether all there was is acknowledged."""
        return not (self.has_more or self.partial or self.out.pending or self.unpacking)

    @property
    def written_at(self) -> int:
        """When its content was written last, in nanoseconds; what is unpacked is as old as it was before."""
        return self.modified if self._packed is None else self._packed.modified

    @property
    def empty(self) -> bool:
        """Whether it had no byte when it was seen last."""
        return self._head_length == 0

    # --- the file ---

    def open(self) -> bool:
        """False where the name now belongs to another file. Raises OSError."""
        if self._descriptor is not None:
            return True
        descriptor = open_log(self.path)
        if identity_of(os.fstat(descriptor)) != self.identity:
            os.close(descriptor)
            return False
        self._descriptor, self._by_link = descriptor, is_link(self.path)
        return True

    def close(self) -> None:
        """Give the descriptor back; `open` gets it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def end(self) -> None:
        """Nothing more can be read."""
        self.close()
        self.ended = True

    def unpack(self, descriptor: int, packed: Packed) -> None:
        """Go on in what is unpacked of a compressed file; it has no name and grows for a while."""
        self.close()
        self._descriptor, self._by_link = descriptor, False
        self.path, self.identity, self._packed = packed.path, identity_of(os.fstat(descriptor)), packed
        self.linked = self.absent = False
        self.unpacking = True
        self._cutter.go_back()
        self.kept_from = self.read_at
        self.size = os.fstat(descriptor).st_size
        self._same_head()

    def move(self, descriptor: int) -> None:
        """What is unpacked lies in another file from now on, each byte where it was."""
        self.close()
        self._descriptor, self.identity = descriptor, identity_of(os.fstat(descriptor))

    def place(self, fact: Fact) -> None:
        """Go on in the file of `fact`: the same one, or a copy of it."""
        if fact.identity != self.identity:
            self.close()
            self.identity, self._packed, self.kept_from = fact.identity, None, 0
        self.path, self.linked, self.absent = fact.path, True, False
        self.size, self.modified = max(fact.size, self.read_at), fact.modified
        if self.empty and fact.head:  # what is read must be what was decided on
            self._head, self._head_length, self._head_digest = fact.head, len(fact.head), digest(fact.head)

    def was_as_known(self, at_us: int) -> None:
        """A look at this time found nothing new."""
        if self._limiter is not None and not (self.has_more or self.absent):
            self._limiter.was_caught_up(at_us)

    def saw(self, seen: os.stat_result, now: float) -> bool:
        """Take note of how the file is now; False where it is not what it was. Raises OSError."""
        if seen.st_size < self.read_at or identity_of(seen) != self.identity or not self._same_head():
            return False
        if seen.st_size < self._cutter.scanned:  # what is unfinished was taken back
            self.taken_back += max(0, self._cutter.open_end - seen.st_size)
            self._cutter.go_back()
        if seen.st_size != self.size:
            self.grown_at = now
        self.size, self.modified = seen.st_size, seen.st_mtime_ns
        return True

    def _same_head(self) -> bool:
        """Compare the first bytes, and learn more of them while the file is short."""
        if self._descriptor is None:
            return True
        head = os.pread(self._descriptor, HEAD, 0)
        if len(self._head) != self._head_length:  # only their digest was saved
            if digest(head[: self._head_length]) != self._head_digest:
                return False
        elif not head.startswith(self._head):
            return False
        if len(head) > self._head_length or not self._head:
            self._head, self._head_length, self._head_digest = head, len(head), digest(head)
        return True

    # --- reading ---

    def read(self, now_us: int, *, whole: bool, closed: bool = False) -> None:
        """Read one block. Raises Replaced, OSError.

        `whole`: its last line counts without a newline; `closed`: its last record as it stands.
        """
        if self._descriptor is None:
            raise Replaced
        read_from = self.read_at
        if read_from % self._unit:  # the rule's encoding was another: in the middle of a character
            self._cutter.move(read_from + 1)
        block = os.pread(self._descriptor, cutting.BLOCK, self._cutter.reads_from)
        if not self._same_head():
            raise Replaced
        written_in = self._encoding.of(self._head)
        cut = self._cutter.feed(block, written_in, whole=whole, closed=closed)
        self.misread = not cut.texts and written_in.is_other(block)
        self._counts["bytes"] += self.read_at - read_from
        if cut.texts:
            self._select(cut, read_from, now_us)
        if self._limiter is not None and not self.has_more and not self.rotated:
            self._limiter.caught_up(now_us)
        if closed and self.out.deferred:  # what the daemon splits must be cut alike after a restart
            self.out.durable = False

    def rescue(self, now_us: int) -> int:
        """Keep what was read of the last record of a file whose content is gone; so many bytes of it."""
        read_from = self.read_at
        if self.record_open:
            self._select(self._cutter.take_open(), read_from, now_us)
        return self.read_at - read_from

    def _select(self, cut: Cut, read_from: int, now_us: int) -> None:
        lines = self.selection.of(cut.texts)
        ends = _ends(lines, cut) if self._cutter.with_ends else []
        self.out.keep(lines, ends, (read_from, self.read_at), now_us)

    # --- for what was read ---

    def stored_up_to(self, offset: int) -> None:
        """As `outgoing.Reading`."""
        self._cutter.with_ends = self.out.deferred
        self._cutter.forget_forced(offset)

    def go_back(self, offset: int) -> bool:
        """As `outgoing.Reading`."""
        if self.ended or offset < self.kept_from:
            return False
        self._cutter.move(offset)
        return True

    def _as_position(self, offset: int) -> Position:
        return Position(
            stream=self.stream,
            source=self.source,
            path=self.path,
            device=self.identity.device,
            inode=self.identity.inode,
            head_length=self._head_length,
            head=self._head_digest,
            offset=offset,
            stored=self.out.stored,
            size=self.size,
            modified=self.written_at,
            born=self.born,
            forced=tuple(sorted(place for place in self._cutter.forced if place > offset)),
            caught_up_at=self._limiter.caught_up_at if self._limiter is not None else 0,
            let_through=self.out.let_through if self._limiter is not None else 0,
            sent=self.out.sent,
        )


def shown(path: str) -> str:
    """A path as text, also where its name is none."""
    return os.fsencode(path).decode("utf-8", "replace")


def _ends(selected: list[str], cut: Cut) -> list[int]:
    """The offset behind each selected line."""
    pairs = zip(cut.texts, cut.ends, strict=True)
    return [next(offset for line, offset in pairs if line is wanted) for wanted in selected]
