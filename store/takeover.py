"""Taking over the role (design section 3, Leading): lock, term, log, mark, in this order.

Role: `take_over` leaves the disk so that whatever a paused or cut-off former leader still does lands in files nobody
uses any more, the database file excepted: that is why the first checkpoint waits for its end (writer_checkpoint.py).
Rules, each of which loses data when dropped:
- the term is above the lock file's, the mark's and the database's, and durable in the lock file *before* the log is
  read: what the old leader acknowledges afterwards it can no longer acknowledge, what it acknowledged before is read;
- the log is copied to a new file, and copied again if the old one was emptied meanwhile; it is never reused;
- the mark is a new file, renamed into place before the first commit.

A database that is damaged or gone is replaced on the way (damage.py has the order and its reasons).

A candidate may itself be paused, lose the lock and wake up when its successor leads, just before a rename that would
put its old copy over the successor's files. So: a candidate makes its file, *then* looks at the lock record, *then*
renames; a successor writes its record, *then* removes every such file it finds. Whichever comes second sees the
other: the candidate the record, or the successor the file, whose rename then fails.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec

from noroshi.store import damage
from noroshi.store.clock import now_us
from noroshi.store.cutlog import Cut, find_cut
from noroshi.store.disk import CHUNK, create_new, disk_errors, read_at, read_fresh, sync_directory, write_synced
from noroshi.store.errors import DiskFailed, NoDatabase, ReadFailed, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.lock import LockRecord, RoleLock, read_lock
from noroshi.store.mark import OTHERS, Mark, Owner, OwnMark, Phase, encode, plain, read_mark
from noroshi.store.process import has_ended, machine, started
from noroshi.store.reader import NewerSchema, SharedReader
from noroshi.store.takeover_create import create_database

_TEMPORARY = ".take-"
_HEADER = 32
_PATIENCE = 1.0
"""Seconds for which the database is asked for its last term, where nothing else tells it."""
_COPIES = 20
"""A deposed leader can empty its log once; more changes than this are not a leader's."""


@dataclass(frozen=True)
class Identity:
    """Who wants to lead: the node's name, the endpoint it answers at, its daemon's incarnation, its process."""

    node: str
    endpoint: str
    incarnation: bytes
    pid: int


@dataclass(frozen=True)
class Role:
    """What a leader holds: the lock, its record, its mark, a descriptor of its log; and whose record it found."""

    layout: Layout
    lock: RoleLock
    record: LockRecord
    mark: OwnMark
    wal: int
    previous: LockRecord | None

    def close(self) -> None:
        """Give everything up, the lock last. Only for a leader whose connection is closed."""
        self.mark.end()
        os.close(self.wal)
        self.lock.close()


def take_over(layout: Layout, identity: Identity) -> Role:
    """Take the lock and make log and mark our own. Raises RoleTaken, DiskFull, DiskFailed."""
    with ExitStack() as undo, disk_errors("cannot take over", layout.shared):
        lock = RoleLock.acquire(layout)
        undo.callback(lock.close)
        led_before, previous = bool(read_fresh(layout.lock, 1)), read_lock(layout)
        record = raise_term(layout, lock, identity, nobody_led(layout, led_before, previous))
        remove_leftovers(layout)
        # only now, when no earlier candidate can install a mark any more
        former = former_leaders(layout, led_before, previous)
        half = half_copied(layout)
        lost = Lost.found(layout, lock, record)
        wal = lost.copy(layout, lock, record.token)
        undo.callback(os.close, wal)
        mark = install_mark(layout, lock, first_mark(record, former, lost.why, half))
        undo.callback(mark.end)
        made = temporary(layout.database, record.token)
        create_database(layout.database, made, lambda: look(lock, layout), lost.begin(layout))
        if lost.why:  # who still has the old database open can do the new one no harm
            mark.write(msgspec.structs.replace(mark.value, suspect="", unsettled=(), half=False))
        elif record.first:
            mark.write(msgspec.structs.replace(mark.value, first=False))
        undo.pop_all()
        return Role(layout, lock, record, mark, wal, previous)


@dataclass(frozen=True)
class Lost:
    """Why the database has to be begun again, empty where it has not; the file the damaged one is kept in.

    `cut`: where its log is damaged and the database goes on from what is before that.
    """

    why: str
    aside: str = ""
    cut: Cut | None = None

    @classmethod
    def found(cls, layout: Layout, lock: RoleLock, record: LockRecord) -> Lost:
        """Judge database and log, and take the database out of the way where it is damaged."""
        why = damage.judge(layout, led_before=not record.first)
        cut = None if why or not has_database(layout) else find_cut(layout)
        if cut is not None and read_mark(layout.mark).phase is Phase.TRUNCATING:
            return cls("", cut=Cut(0))  # all of it is in the database
        if cut is not None and half_copied(layout):
            why = "its log is damaged, and a part of it may have been copied into it"
        if not why:
            if cut is not None:
                damage.keep_log_aside(layout)
            return cls("", cut=cut)
        look(lock, layout)
        aside = damage.keep_aside(layout)
        if has_database(layout):
            try:
                with new_file(layout, lock, layout.database, record.token):
                    """An empty one: to readers no database."""
            except RoleTaken:
                damage.give_up_aside(layout, aside)
                raise
        return cls(why, aside)

    def copy(self, layout: Layout, lock: RoleLock, token: str) -> int:
        """The log in a file of its own, without what is behind the damage: the next leader would find it again."""
        return copy_wal(layout, lock, token) if self.cut is None else copy_wal(layout, lock, token, self.cut.sound)

    def begin(self, layout: Layout) -> Callable[[Path], None] | None:
        """What fills the new database."""
        return (lambda made: damage.begin(layout, made, self.why, self.aside)) if self.why else None


def half_copied(layout: Layout) -> bool:
    """Whether a part of the log may stand in the database already: somebody ended in a checkpoint that nobody ended."""
    seen = read_mark(layout.mark)
    begun = seen.phase is not Phase.NORMAL or (seen.mark is not None and seen.mark.half)
    return begun and has_database(layout)


def nobody_led(layout: Layout, led_before: bool, previous: LockRecord | None) -> bool:
    """Whether a database that is missing is no loss: those who took the role here ended before they had made one."""
    if not led_before:
        return True
    seen = read_mark(layout.mark)
    if seen.raw is None:
        return previous is not None and previous.first
    return seen.mark is not None and seen.mark.first


def raise_term(layout: Layout, lock: RoleLock, identity: Identity, first: bool = False) -> LockRecord:
    """Write our record with a term above every other, durable on return.

    Looked at again afterwards: a candidate paused before its write may come back below its successors.
    """
    while True:
        record = _record(highest_term(layout) + 1, identity, first)
        lock.write(record)
        if kept_term(layout, needed=False) < record.term:
            return record


def _record(term: int, identity: Identity, first: bool) -> LockRecord:
    return LockRecord(
        node=identity.node,
        term=term,
        endpoint=identity.endpoint,
        pid=identity.pid,
        since_us=now_us(),
        incarnation=identity.incarnation.hex(),
        machine=machine(),
        started=started(identity.pid),
        token=secrets.token_hex(8),
        first=first,
    )


def highest_term(layout: Layout) -> int:
    """The highest term on the disk. Raises DiskFailed where neither lock file, mark nor database can tell."""
    record = read_lock(layout)
    return max(record.term if record else 0, kept_term(layout, needed=record is None))


def kept_term(layout: Layout, needed: bool) -> int:
    """The highest term in mark and database. `needed`: nothing else tells it, so one of them must be readable."""
    mark = read_mark(layout.mark).mark
    return max(mark.term if mark else 0, _database_term(layout, needed and mark is None))


def _database_term(layout: Layout, needed: bool) -> int:
    try:
        return SharedReader(layout).query(_last_term, timeout=_PATIENCE if needed else _PATIENCE / 5)
    except NoDatabase as error:
        if needed and layout.database.exists():
            hint = "remove it, or put a backup in its place"
            why = "the file is empty, and nobody has led here"
            raise DiskFailed("cannot lead", on=str(layout.database), why=why, hint=hint) from error
        return 0
    except NewerSchema as error:
        raise DiskFailed("cannot lead", on=error.on, why=error.why, hint=error.hint) from error
    except ReadFailed as error:
        if needed:
            raise DiskFailed("cannot lead", on=error.on, why=error.why, hint=error.hint) from error
        return 0


def _last_term(connection: apsw.Connection) -> int:
    return int(next(connection.execute("SELECT coalesce(max(term), 0) FROM terms"))[0])


def temporary(path: Path, token: str) -> Path:
    """Where a candidate makes its new file for `path`; no two share the name."""
    return path.with_name(path.name + _TEMPORARY + token)


def remove_leftovers(layout: Layout) -> None:
    """Remove what earlier candidates were about to rename; those that still run fail at it."""
    for leftover in list(layout.shared.glob(f"noroshi.*{_TEMPORARY}*")):
        leftover.unlink(missing_ok=True)
    sync_directory(layout.shared)


def look(lock: RoleLock, layout: Layout) -> None:
    """RoleTaken unless the record in the lock file is still ours."""
    if not lock.still_ours():
        raise _overtaken(layout.lock)


def _overtaken(path: Path) -> RoleTaken:
    return RoleTaken("the role was taken by another candidate meanwhile", on=str(path))


def copy_wal(layout: Layout, lock: RoleLock, token: str, sound: int | None = None) -> int:
    """Give the log a new file with the old one's content, or its first `sound` bytes; return its descriptor."""
    with new_file(layout, lock, layout.wal, token) as descriptor:
        if has_database(layout):
            _copy_whole(layout, descriptor)
            if sound is not None:
                os.ftruncate(descriptor, sound)
        else:
            keep_aside(layout)
    return descriptor


@contextmanager
def new_file(layout: Layout, lock: RoleLock, final: Path, token: str) -> Iterator[int]:
    """A new file filled by the block, then in place of `final`, durably; its descriptor stays open.

    Raises RoleTaken where a successor has begun; then nothing was replaced.
    """
    made = temporary(final, token)
    descriptor = create_new(made)
    try:
        yield descriptor
        os.fsync(descriptor)
        put_in_place(layout, lock, made, final)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            made.unlink()
        raise


def put_in_place(layout: Layout, lock: RoleLock, made: Path, final: Path) -> None:
    """Look at the record, rename, fsync the directory; in this order (see the module)."""
    look(lock, layout)
    try:
        made.rename(final)
    except FileNotFoundError as error:
        raise _overtaken(final) from error
    sync_directory(layout.shared)


def has_database(layout: Layout) -> bool:
    """Whether there is one, by a fresh open: an empty file is none."""
    return damage.has_content(layout.database)


def _copy_whole(layout: Layout, descriptor: int) -> None:
    for _ in range(_COPIES):
        if copy_once(layout.wal, descriptor) == wal_header(layout.wal):
            return
    raise DiskFailed("cannot copy the log", on=str(layout.wal), why="another process keeps rewriting it")


def keep_aside(layout: Layout) -> None:
    """A log without its database must not meet a new one; it may hold what somebody wants back.

    A link takes nothing away, should a successor have made database and log meanwhile. One that has a second name
    already is kept.
    """
    if wal_header(layout.wal) and layout.wal.stat().st_nlink == 1:
        os.link(layout.wal, layout.wal.with_name(f"{layout.wal.name}.lost-{now_us()}"))


def copy_once(source: Path, descriptor: int) -> bytes:
    """Copy the log as it is now, fsynced; return the header it had when the copy began."""
    os.ftruncate(descriptor, 0)
    header = b""
    for offset, data in _chunks(source):
        header = header or data[:_HEADER]
        os.pwrite(descriptor, data, offset)
    os.fsync(descriptor)
    return header


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The file piece by piece, by a fresh open; nothing where there is none."""
    with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        offset = 0
        while data := read_at(file.fileno(), CHUNK, offset):
            yield offset, data
            offset += len(data)


def wal_header(path: Path) -> bytes:
    """What tells one filling of the log from the next: its salts are new each time. Empty for an empty log."""
    return read_fresh(path, _HEADER) or b""


def first_mark(record: LockRecord, former: tuple[Owner, ...], suspect: str = "", half: bool = False) -> Mark:
    """Our own mark, phase normal, naming the leaders not known to have ended; `suspect` until a new database stands."""
    unsettled = tuple(owner for owner in former if not has_ended(owner))
    return Mark(
        record.term,
        0,
        record.token,
        _owner(record),
        unsettled=unsettled,
        suspect=plain(suspect),
        first=record.first and not suspect,
        half=half,
    )


def _owner(record: LockRecord) -> Owner:
    return Owner(record.node, record.term, record.pid, record.incarnation, record.machine, record.started)


def former_leaders(layout: Layout, led_before: bool, previous: LockRecord | None) -> tuple[Owner, ...]:
    """Who may still write to the database.

    The mark knows: who never installed one never opened the database. Where somebody took the mark away, the lock
    file names the last candidate at least; where there is no database either, nobody has it open.
    """
    mark = read_mark(layout.mark).mark
    if mark is not None:
        return mark.unsettled if mark.closed else (*mark.unsettled, mark.owner)
    if not led_before or not layout.database.exists():
        return ()
    return (OTHERS,) if previous is None else (_owner(previous),)


def install_mark(layout: Layout, lock: RoleLock, mark: Mark) -> OwnMark:
    """Put our mark in place of the old one, durably."""
    with new_file(layout, lock, layout.mark, mark.token) as descriptor:
        write_synced(descriptor, encode(mark))
    return OwnMark(descriptor, mark)
