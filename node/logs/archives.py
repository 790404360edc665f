"""Finishes what was compressed before it was read to its end, as by a logrotate while the daemon was down (spec 3.1).

Rules: a compressed file is never a log of its own. It is looked at only when a known incarnation is gone: the one whose
unpacked content begins with the bytes that the incarnation began with, and holds all that was read of it, goes on in
its place; those that were compressed after it are its successors. A source that was never seen begins with what was
compressed of it since logs are followed here. What is unread is unpacked, piece by piece as it is read, into a file
without a name in the node's state directory: no more of it at once than fits into memory, and no further ahead than
AHEAD, and what is stored gives its room on the disk back. That disk may be full: until its turn comes only the first
bytes are there, in memory. What cannot be unpacked here is a gap, and it is said why.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import basename, dirname

from noroshi.node.logs.directory import identity_of, list_directory, stat_of
from noroshi.node.logs.follower import Follower, Packed, shown
from noroshi.node.logs.position import HEAD, Begin, Fact, Identity, Position, digest
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.roster import STALLED, Roster
from noroshi.node.logs.rotation import Mark, compressed, mark_of, unpacked
from noroshi.node.logs.unpackers import BROKEN, Opened, unpack

PIECE = 1024 * 1024
"""Bytes unpacked at once."""

AHEAD = 4 * 1024 * 1024
"""Bytes unpacked and not yet read."""

PAGE = 4096

_PUNCH_HOLE = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_libc = ctypes.CDLL(None)


ATTEMPTS = 5

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Archive:
    """A compressed file that was a source once. `head`: its first unpacked bytes, None where it cannot be unpacked, and
    `why` it cannot."""

    path: str
    mark: Mark
    identity: Identity
    modified: int
    head: bytes | None
    why: str = ""

    @property
    def age(self) -> tuple[bool, int, str, int]:
        """Sorts, the oldest first."""
        counter = int(self.mark.text) if self.mark.kind == "counter" else 0
        return (self.mark.kind != "counter", -counter, "" if counter else self.mark.text, self.modified)

    def holds(self, known: Position) -> bool:
        """Whether it begins with what the incarnation began with, and is not older. Some keep only its seconds."""
        if not self.head or not known.head_length or self.modified // SECOND < known.modified // SECOND:
            return False
        return len(self.head) >= known.head_length and digest(self.head[: known.head_length]) == known.head


class NoRoom(Exception):
    """What is unpacked cannot be written; `error` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class _Unpacking:
    """A compressed file on its way into a file without a name in `state`, `at` of whose bytes are there."""

    archive: Archive
    opened: Opened
    follower: Follower
    state: Path
    on_disk: bool = False
    at: int = 0
    data: bytes = b""
    """Unpacked, and not written yet."""
    not_before: float = 0.0

    def piece(self) -> bool:
        """Unpack one more; False at the end. Raises one of BROKEN, or NoRoom where this node's own disk takes none."""
        self.data = self.data or self.opened.content.read(PIECE)
        if not self.on_disk:
            self._move()
        start = self.follower.read_at if self.at < self.follower.read_at else self.at
        wanted = self.data[max(0, start - self.at) :]
        if wanted and self.follower.descriptor is not None:
            try:
                _write_all(self.follower.descriptor, wanted, start)
            except OSError as error:
                raise NoRoom(error) from error
        length, self.data = len(self.data), b""
        self.at += length
        return length > 0

    def _move(self) -> None:
        """From memory to the disk. Raises NoRoom."""
        try:
            self.follower.move(_begun(_nameless(self.state), self.archive, self.follower))
        except OSError as error:
            raise NoRoom(error) from error
        self.on_disk = True


@dataclass
class Archives:
    """`state` is where unpacked bytes may lie for a while; `since` is from when on logs are followed, in nanoseconds:
    what was written last before that is no business of this life."""

    roster: Roster
    state: Path
    reports: Reports
    since: int
    _unpacking: list[_Unpacking] = field(default_factory=list)

    # --- what is gone ---

    def finish(self, follower: Follower, now: float) -> bool:
        """Whether `follower`, whose file is gone, goes on in a compressed one; what came after it then does too."""
        follower.linked = False
        found = _archives(follower.source, dirname(follower.path))
        match = next((archive for archive in found if archive.holds(follower.known)), None)
        resumed = match is not None and self._attach(follower, match)
        if self.roster.chains.of(follower.source)[-1:] == [follower]:
            later = self._between(follower, found, now)
            resumed = resumed or (later and follower.empty)
            if follower.empty and not follower.unpacking:
                follower.end()
        if not resumed:
            for archive in [each for each in found if each.head is None and each.modified > follower.written_at][:1]:
                self.reports.packed(shown(archive.path), archive.why)
        return resumed

    def has(self, follower: Follower) -> bool:
        """Whether a compressed file is what is left of it."""
        found = _archives(follower.source, dirname(follower.path))
        return any(archive.holds(follower.known) for archive in found)

    def before(self, begin: Begin, now: float) -> None:
        """A source begins anew: what was compressed of it since it was seen last comes first; or since it could have
        been seen, where it never was."""
        chain = self.roster.chains.of(begin.source)
        if chain:
            self._between(chain[-1], _archives(begin.source, dirname(chain[-1].path)), now)
        elif not begin.at_end:
            past = self.roster.past(begin.source)
            since = self.since if past is None else max(self.since, past.modified)
            found = [each for each in _archives(begin.source) if each.modified > since]
            unseen = [archive for archive in found if past is None or not archive.holds(past)]
            self._tell_unreadable(unseen)
            self._adopt(begin.source, [archive for archive in unseen if archive.head], now)

    def _between(self, newest: Follower, found: list[Archive], now: float) -> bool:
        """Begin what was the source after `newest`, and is compressed by now; whether there was any."""
        mark = next((archive.mark for archive in found if archive.holds(newest.known)), None)
        if mark is None and newest.linked:
            mark = mark_of(basename(newest.source), unpacked(basename(newest.path)))
        if mark is not None:
            self._tell_unreadable(archive for archive in found if mark.older_than(archive.mark))
        later = [
            archive
            for archive in self._unseen(newest, found)
            if not (mark is not None and archive.mark.older_than(mark))
        ]
        self._adopt(newest.source, later, now)
        return bool(later)

    def instead(self, follower: Follower, fact: Fact, now: float) -> Follower | None:
        """What was seen empty last may have been written, copied, truncated and compressed since: that comes first.

        Who then has the file of `fact`; None where there is nothing of the kind.
        """
        untouched = fact.path == follower.path and fact.modified == follower.modified
        if untouched or not follower.empty or follower.unpacking:
            return None
        found = _archives(follower.source, dirname(fact.path))
        mark = mark_of(basename(follower.source), basename(fact.path))
        earlier = [each for each in self._unseen(follower, found) if mark is None or each.mark.older_than(mark)]
        if not earlier or not self._attach(follower, earlier[0]):
            return None
        self._adopt(follower.source, earlier[1:], now)
        return self.roster.begin(Begin(follower.source, fact, at_end=False), now)

    def _unseen(self, newest: Follower, found: list[Archive]) -> list[Archive]:
        """What was written after `newest`, and is none of what is known."""
        known = [follower.known for follower in self.roster.chains.of(newest.source)]
        later = [archive for archive in found if archive.head and archive.modified > newest.written_at]
        return [archive for archive in later if not any(archive.holds(position) for position in known)]

    def _tell_unreadable(self, archives: Iterable[Archive]) -> None:
        """Of those that are compressed, not just being so: then what is not is read."""
        for archive in archives:
            if archive.head is None and not Path(unpacked(archive.path)).exists():
                self.reports.packed(shown(archive.path), archive.why)

    def _adopt(self, source: str, archives: list[Archive], now: float) -> None:
        for archive in archives:
            head, device = archive.head or b"", archive.identity.device
            fact = Fact(archive.path, device, 0, len(head), archive.modified, head)
            follower = self.roster.begin(Begin(source, fact, at_end=False), now)
            if not self._attach(follower, archive):
                self.roster.end(follower, None, truncated=False)

    def _attach(self, follower: Follower, archive: Archive) -> bool:
        try:
            opened = _open_again(archive)
        except BROKEN:
            return False
        try:
            descriptor = _begun(os.memfd_create("head"), archive, follower)
        except OSError:
            opened.close()
            raise
        follower.unpack(descriptor, Packed(archive.path, archive.identity.device, archive.modified))
        self._unpacking.append(_Unpacking(archive, opened, follower, self.state))
        self.roster.active[follower] = None
        self.roster.moved = True
        return True

    # --- unpacking ---

    def turn(self, now: float, *, leader: bool) -> bool:
        """Unpack a piece of each that has been read so far; whether there is more to do at once."""
        busy = False
        for unpacking in list(self._unpacking):
            follower = unpacking.follower
            if follower.ended or not self._first(follower):
                if follower.ended:
                    self._done(unpacking)
                continue
            wanted = now >= unpacking.not_before and unpacking.at - follower.read_at < AHEAD
            if wanted and (leader or follower.out.deferred):
                _give_back(follower)
                self._piece(unpacking, now)
                busy = True
        return busy

    def _first(self, follower: Follower) -> bool:
        """Whether it is its turn: no earlier one of its source is still to be unpacked."""
        return not any(
            u.follower.source == follower.source and u.follower.born < follower.born for u in self._unpacking
        )

    def _piece(self, unpacking: _Unpacking, now: float) -> None:
        follower = unpacking.follower
        try:
            more = unpacking.piece()
            self.reports.unpackable(shown(follower.source))
        except NoRoom as full:
            self.reports.no_room(shown(follower.source), full.error)
            unpacking.not_before = now + STALLED
            return
        except BROKEN as error:
            self._done(unpacking)
            self.reports.broken(shown(unpacking.archive.path), str(error))
            return
        if follower.descriptor is not None and not follower.saw(os.fstat(follower.descriptor), now):
            more = False
        self.roster.active[follower] = None
        if not more:
            self._done(unpacking)
            if unpacking.at < follower.read_at:  # it only began as what was read did
                self.reports.gap(shown(follower.source), None, truncated=False)

    def _done(self, unpacking: _Unpacking) -> None:
        unpacking.opened.close()
        unpacking.follower.unpacking = False
        self._unpacking.remove(unpacking)


def _archives(source: str, *directories: str) -> list[Archive]:
    """The compressed files whose names are rotated ones of `source`, the oldest first; while names move, once more."""
    wanted = dict.fromkeys((dirname(source), *directories))
    for _ in range(ATTEMPTS):
        names = _rotated(source, wanted)
        found = [_archive(path, mark) for path, mark, _ in names]
        if names == _rotated(source, wanted):
            break
    return sorted((archive for archive in found if archive is not None), key=lambda archive: archive.age)


def _rotated(source: str, directories: Iterable[str]) -> list[tuple[str, Mark, int]]:
    """Path, mark and inode number of each."""
    return [
        (f"{directory}/{name}", mark, inode)
        for directory in directories
        for name, inode in _names(directory).items()
        if compressed(name) and (mark := mark_of(basename(source), unpacked(name))) is not None
    ]


def _names(directory: str) -> dict[str, int]:
    try:
        listing = list_directory(directory or "/")
    except OSError:
        return {}
    return {} if listing is None else listing.names


def _archive(path: str, mark: Mark) -> Archive | None:
    """None where it is not there, or no regular file."""
    try:
        seen = stat_of(path)
    except OSError:
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    head, why = None, ""
    try:
        with contextlib.closing(unpack(path)) as opened:
            seen = os.fstat(opened.file.fileno())
            head = opened.content.read(HEAD)
    except BROKEN as error:
        why = str(error)
    return Archive(path, mark, identity_of(seen), seen.st_mtime_ns, head, why)


def _open_again(archive: Archive) -> Opened:
    """The archive, also where it has another name by now. Raises one of BROKEN."""
    directory = dirname(archive.path)
    names = [name for name, inode in _names(directory).items() if inode == archive.identity.inode and compressed(name)]
    for path in [archive.path, *(f"{directory}/{name}" for name in names)]:
        with contextlib.suppress(FileNotFoundError):
            opened = unpack(path)
            if identity_of(os.fstat(opened.file.fileno())) == archive.identity:
                return opened
            opened.close()
    raise FileNotFoundError(archive.path)


def _give_back(follower: Follower) -> None:
    """The room of what is stored, but for the first bytes; where the filesystem cannot, it comes back at the end."""
    offset = follower.position.offset
    if follower.descriptor is not None and offset - max(PAGE, follower.kept_from) >= PIECE:
        length = ctypes.c_long(offset // PAGE * PAGE - PAGE)
        _libc.fallocate(follower.descriptor, _PUNCH_HOLE, ctypes.c_long(PAGE), length)
        follower.kept_from = offset


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _begun(descriptor: int, archive: Archive, follower: Follower) -> int:
    """An empty file with the first bytes, as long as what was read of the incarnation; closed where that fails."""
    head = archive.head or b""
    try:
        _write_all(descriptor, head, 0)
        os.ftruncate(descriptor, max(follower.read_at, len(head)))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _nameless(directory: Path) -> int:
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        return os.dup(file.fileno())
