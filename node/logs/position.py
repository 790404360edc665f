"""Where reading stands in each file, and what a look at a directory means for it (spec 3.1). Pure: no I/O, no clock.

A *source* is a log by the name it is configured under. An *incarnation* is one content of it: a file that is renamed,
or copied and truncated, is continued in by another. Each incarnation is a stream of its own (design section 2).

Rules of `reconcile`, in this order:
1. A file is known again by its inode and its first bytes. Under another name, it was rotated: it goes on there.
2. A file that shrank below what was read, or whose first bytes are others, holds something new. What was not read of
   the old content is looked for in a copy (a rotated name of the source, first bytes equal, not older), or is lost.
3. A file under a rotated name of a source that was never seen, and is newer than what was, was itself the source in
   between: it is read whole, in its turn.
4. Anything else that is configured is a source of its own, from its start; from its end only where its pattern is
   looked at for the first time. A copy of a source that goes on being written is held back until it is known which of
   the two goes on.
Which of two rotated files is the older one their names say: of dates the earlier, of numbers the higher, unless the
times of all of them say that they are counted up.
Device numbers are not stable over a restart of the host, so they decide only between files of one inode number, and
whether a file that is missing may be on a disk that is not mounted: where no other file of that disk is found here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from posixpath import basename
from typing import NamedTuple

from noroshi.node.logs.rotation import Mark, mark_of, readings

HEAD = 1024
"""Bytes from which a file is known again."""


@dataclass(frozen=True)
class Position:
    """How far one incarnation was read, as it is saved.

    Everything before byte `offset` is stored or was not selected; the coordinator has taken up to `stored`. `path` is
    where the file was last, `size` and `modified` (ns) what it was then. `head` is the digest of the first
    `head_length` bytes. `born` orders the incarnations of a source. `forced`: offsets behind `offset` at which a record
    was complete only because it had waited. Of a source with a rate limit, 0 without one: `caught_up_at`, when it was
    last read to its end (us); `let_through`, how many lines up to `stored` were not held back. `sent`: where a part
    ends that was sent and may have been taken; 0 where there is none.
    """

    stream: bytes
    source: str
    path: str
    device: int
    inode: int
    head_length: int
    head: bytes
    offset: int
    stored: int
    size: int
    modified: int
    born: int
    forced: tuple[int, ...] = ()
    caught_up_at: int = 0
    let_through: int = 0
    sent: int = 0


class Identity(NamedTuple):
    """What the system calls a file, while it exists."""

    inode: int
    device: int


@dataclass(frozen=True)
class Fact:
    """One regular file as it is now. `head` is its first HEAD bytes, None where it may not be read.

    `wanted`: its name is configured; `first`: by a pattern looked at for the first time; `named`: it has that name, and
    is not just open here, its name another file's or nobody's by now.
    """

    path: str
    device: int
    inode: int
    size: int
    modified: int
    head: bytes | None
    wanted: bool = False
    first: bool = False
    named: bool = True

    @property
    def identity(self) -> Identity:
        return Identity(self.inode, self.device)


@dataclass(frozen=True)
class Continue:
    """`known` goes on in the file of `fact`: the same file, or a copy that took over from it."""

    known: Position
    fact: Fact


@dataclass(frozen=True)
class Begin:
    """A new incarnation of `source`, read from its start, or from its end."""

    source: str
    fact: Fact
    at_end: bool


@dataclass(frozen=True)
class End:
    """`known` cannot be read on. `lost` is how many bytes of it are known to be unread; None: nobody can say."""

    known: Position
    lost: int | None
    truncated: bool


Decision = Continue | Begin | End


def digest(head: bytes) -> bytes:
    """What is saved of a file's first bytes."""
    return hashlib.blake2b(head, digest_size=16).digest()


def same_content(known: Position, fact: Fact) -> bool:
    """Whether the file still holds what was read of it, judged by its size and first bytes."""
    if fact.size < max(known.offset, known.head_length):
        return False
    return fact.head is None or digest(fact.head[: known.head_length]) == known.head


def reconcile(
    known: Sequence[Position], facts: Sequence[Fact], device: int, single: Mapping[str, bool], *, resumed: bool
) -> list[Decision]:
    """What the files of one directory (on `device`) mean for the incarnations known to be in it, oldest first.

    `facts` has every file that is configured, known, or named like a rotated one of a known or configured source;
    `single` the paths configured by name, whether there or not, and whether this is the first look for each.
    `resumed`: this is the first look after a start, so `known.size` may be old.
    """
    look = _Look(tuple(known), tuple(facts), device, single, resumed)
    return [*look.continued(), *look.begun()]


@dataclass
class _Look:
    """One look at a directory; `claimed` are the files already spoken for."""

    known: tuple[Position, ...]
    facts: tuple[Fact, ...]
    device: int
    single: Mapping[str, bool]
    resumed: bool
    claimed: set[Identity] = field(default_factory=set)
    places: dict[bytes, Fact] = field(default_factory=dict)

    # --- what is known ---

    def continued(self) -> Iterator[Continue | End]:
        for position in self.known:
            fact = self._by_inode(position)
            if fact is not None and same_content(position, fact):
                self._claim(position, fact)
        # Copies go first to those that are known by their bytes: anything could be a copy of an empty file.
        for position in sorted(self.known, key=lambda position: position.head_length == 0):
            self._find_copy(position)
        for position in self.known:
            if position.stream in self.places:
                yield Continue(position, self.places[position.stream])
            elif self._by_inode(position) is not None:
                yield End(position, self._unread(position), truncated=True)
            elif self._is_here(position.device):
                yield End(position, self._unread(position), truncated=False)

    def _find_copy(self, position: Position) -> None:
        """Of several the oldest: those after it hold what came later."""
        place = self.places.get(position.stream)
        if position.head_length == 0 and position.path == position.source:
            copies = [fact for fact in self._copies_of(position) if self._unseen(position, fact, place)]
        else:
            copies = self._copies_of(position) if position.head_length and place is None else []
        if copies:
            self.claimed.discard(place.identity if place is not None else copies[0].identity)
            self._claim(position, self._oldest_first(position.source, copies)[0])

    def _unseen(self, position: Position, fact: Fact, place: Fact | None) -> bool:
        """A source empty when last seen may have been written, copied and truncated since: the copy comes first."""
        if fact.size == 0 or place is None:
            return place is None
        here = self._mark(position.source, place)
        return not _copied(fact, place) and self._older(position.source, fact, here)

    def _is_here(self, device: int) -> bool:
        """Whether this is that disk: by its number, or because another file that was on it is here now."""
        return device == self.device or any(
            position.device == device and self.places[position.stream].device == self.device
            for position in self.known
            if position.stream in self.places
        )

    def _unread(self, position: Position) -> int | None:
        unread = max(position.size - position.offset, 0)
        if unread or not self.resumed or position.path != position.source:
            return unread
        return None

    def _by_inode(self, position: Position) -> Fact | None:
        candidates = [
            fact
            for fact in self._inodes.get(position.inode, [])
            if fact.identity not in self.claimed
            # Without a first byte to go by, an inode number that was used again must not be taken for the same file.
            if position.head_length or fact.path == position.path or self._mark(position.source, fact) is not None
        ]
        return min(candidates, key=lambda fact: _distance(position, fact), default=None)

    @cached_property
    def _inodes(self) -> dict[int, list[Fact]]:
        found: dict[int, list[Fact]] = {}
        for fact in self.facts:
            found.setdefault(fact.inode, []).append(fact)
        return found

    def _copies_of(self, position: Position) -> list[Fact]:
        return [
            fact
            for fact in self._rotated_of(position.source)
            if fact.modified >= position.modified and fact.head is not None and same_content(position, fact)
        ]

    def _claim(self, position: Position, fact: Fact) -> None:
        self.claimed.add(fact.identity)
        self.places[position.stream] = fact

    # --- what is new ---

    def begun(self) -> Iterator[Begin]:
        """Sources that went on in files never seen, then the others."""
        newest = {position.source: position for position in self.known}
        for source, position in newest.items():
            between = [fact for fact in self._rotated_of(source) if self._follows(fact, position)]
            yield from self._begin_all(source, between, at_end=False)
        for source, first in self._never_known(newest).items():
            yield from self._begin_all(source, self._rotated_of(source), at_end=first)
        for fact in self._unclaimed():
            if fact.wanted and not self._held_back(fact):
                yield from self._begin_all(fact.path, [fact], at_end=fact.first and fact.path not in newest)

    def _never_known(self, newest: Mapping[str, Position]) -> dict[str, bool]:
        """Sources without a position, and whether this is the first look for each; originals before their rotated."""
        found = {fact.path: fact.first for fact in self._unclaimed() if fact.wanted}
        sources = {**self.single, **found}
        return {source: sources[source] for source in sorted(sources, key=len) if source not in newest}

    def _begin_all(self, source: str, facts: Sequence[Fact], *, at_end: bool) -> Iterator[Begin]:
        for fact in self._oldest_first(source, facts):
            self.claimed.add(fact.identity)
            yield Begin(source, fact, at_end)

    def _follows(self, fact: Fact, newest: Position) -> bool:
        """Whether an unknown file was the source after its newest known incarnation, and no longer is."""
        found = self.places.get(newest.stream)
        place = found if found is not None and found.named else None
        if place is not None and place.path == newest.source:
            return False
        mark = self._mark(newest.source, fact)
        other = self._mark(newest.source, place) if place is not None else None
        older = mark.older_than(other) if mark is not None and other is not None else None
        if older and self._counts_up(newest.source, sure=True):
            older = None
        return fact.modified >= newest.modified if older is None else not older

    def _held_back(self, fact: Fact) -> bool:
        """Whether this may be a copy in the making of a source that is still written."""
        places = [self._places_by_path.get(path) for path, _ in _readings(fact.path)]
        return any(fact.size == 0 or _copied(fact, place) for place in places if place is not None)

    # --- helpers ---

    def _unclaimed(self) -> list[Fact]:
        """One fact a file, the configured name where it has several."""
        found: dict[Identity, Fact] = {}
        for fact in self.facts:
            if fact.identity not in self.claimed and (fact.identity not in found or fact.wanted):
                found[fact.identity] = fact
        return list(found.values())

    @cached_property
    def _places_by_path(self) -> dict[str, Fact]:
        """Asked for only once all that is known has its place."""
        return {place.path: place for place in self.places.values() if place.named}

    def _rotated_of(self, source: str) -> list[Fact]:
        """The files, nobody's yet, whose names are rotated ones of the source."""
        facts = {fact.identity: fact for fact in self._rotated.get(source, []) if fact.identity not in self.claimed}
        return list(facts.values())

    @cached_property
    def _rotated(self) -> dict[str, list[Fact]]:
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            for source, _ in _readings(fact.path):
                found.setdefault(source, []).append(fact)
        return found

    def _counts_up(self, source: str, *, sure: bool) -> bool:
        """Whether the newest rotated file has the highest number, not the lowest as logrotate has it: by their times.

        One pair may be two files of logrotate's whose older one had a writer slow to let go; several are `sure`.
        """
        numbered = {}
        for fact in self._rotated.get(source, []):
            mark = self._mark(source, fact)
            if mark is not None and mark.kind == "counter":
                numbered[int(mark.text)] = fact.modified
        times = [numbered[number] for number in sorted(numbered)]
        later = sum(before < after for before, after in pairwise(times))
        return times == sorted(times) and later > sure

    def _mark(self, source: str, fact: Fact) -> Mark | None:
        return dict(_readings(fact.path)).get(source)

    def _older(self, source: str, fact: Fact, than: Mark | None) -> bool:
        """Whether a rotated file is older than one with another mark, or than the source itself."""
        mark = self._mark(source, fact)
        return than is None or (mark is not None and mark.older_than(than) is True)

    def _oldest_first(self, source: str, facts: Sequence[Fact]) -> list[Fact]:
        marks = [(self._mark(source, fact), fact) for fact in facts]
        kinds = {mark.kind for mark, _ in marks if mark is not None}
        by_time = sorted(facts, key=lambda fact: fact.modified)
        if len(kinds) != 1 or any(mark is None for mark, _ in marks) or self._counts_up(source, sure=False):
            return by_time
        return sorted(by_time, key=lambda fact: _age(mark_of(basename(source), basename(fact.path))))


def _readings(path: str) -> list[tuple[str, Mark]]:
    directory, slash, name = path.rpartition("/")
    return [(directory + slash + original, mark) for original, mark in readings(name)]


def _distance(position: Position, fact: Fact) -> tuple[bool, bool, bool]:
    """How unlike the known file is; smaller is nearer."""
    return (fact.device != position.device, fact.path != position.path, not fact.wanted)


def _copied(fact: Fact, original: Fact) -> bool:
    """Whether `fact` begins as `original` does and is no longer than it."""
    if not fact.head or original.head is None:
        return False
    return fact.size <= original.size and original.head.startswith(fact.head)


def _age(mark: Mark | None) -> tuple[int, str]:
    """Sorts marks of one kind, the oldest first."""
    if mark is None:
        return (0, "")
    return (-int(mark.text), "") if mark.kind == "counter" else (0, mark.text)
