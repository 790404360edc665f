"""Writing the database: the leader's one connection (design section 3, Writer).

Role: `lead` takes the role over; `Writer.transaction` commits; `checkpoint_if_due` keeps the log short.
Rules: leaving a transaction block normally means committed, fsynced and the lock record looked at again: only then
may anything be acknowledged. Deposed and DiskFailed are final: the writer refuses everything afterwards and the
process must end. Damaged, one of the latter, is left in the mark for the successor (damage.py). DiskFull is not final:
what did not fit was rolled back, and the next transaction may succeed.

Never open the database file by any other way in a process that has a Writer, not even to read it: closing any
descriptor of a file drops all POSIX locks the process has on it, SQLite's exclusive lock among them. Read through
`Writer.read`; `SharedReader` refuses to work here (vfs.refuse_in_writer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TypeVar

import apsw
import msgspec

from noroshi.store.damage import tell_cut
from noroshi.store.disk import connect, disk_errors, name_damage, sqlite_errors
from noroshi.store.errors import Damaged, Deposed, DiskFailed, NoroshiError, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.lock import LockRecord, read_lock
from noroshi.store.mark import Owner
from noroshi.store.process import has_ended
from noroshi.store.schema import MIGRATIONS, UNTHINKABLE, migrate, version_of
from noroshi.store.soundness import missing_tables
from noroshi.store.tables import meta
from noroshi.store.takeover import Identity, Role, take_over
from noroshi.store.vfs import writes_here
from noroshi.store.writer_checkpoint import WAL_LIMIT, Checkpoint

__all__ = ["Identity", "Writer", "lead"]

T = TypeVar("T")

VFS = "unix"
_SETTINGS = (
    # (N) before journal_mode: the log's index is then in our own memory and no -shm file exists
    ("locking_mode", "exclusive", "exclusive"),
    ("journal_mode", "wal", "wal"),
    ("synchronous", "full", 2),
    ("wal_autocheckpoint", 0, 0),
    ("temp_store", "memory", 2),
    ("cache_size", -65536, -65536),
)


def lead(layout: Layout, identity: Identity) -> Writer:
    """Take the role over and open the database for writing. Raises RoleTaken, DiskFull, DiskFailed.

    Damaged, one of the last, is for the next take-over to see to: the mark says so by then.
    """
    with ExitStack() as undo:
        role = take_over(layout, identity)
        undo.callback(role.close)
        try:
            connection = open_database(layout)
        except Damaged as error:
            role.mark.suspect(error.why)
            raise
        writer = Writer(role, connection)
        undo.pop_all()
        undo.callback(writer.close)
        try:
            writer.begin(identity)
        except Deposed as error:  # before the first commit: we never led
            raise RoleTaken("the role is taken", on=error.on, why=error.why, hint=error.hint) from error
        undo.pop_all()
        return writer


def open_database(layout: Layout) -> apsw.Connection:
    """The one connection, in exclusive write-ahead mode. Raises RoleTaken, DiskFailed, DiskFull."""
    connection = connect(layout.database, VFS)
    try:
        # (N) else closing, a plain exit included, checkpoints without a mark
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        with sqlite_errors(connection, layout.database):
            _configure(layout, connection)
    except BaseException:
        connection.close(True)
        raise
    return connection


def _configure(layout: Layout, connection: apsw.Connection) -> None:
    """Every setting is read back: apsw runs statements lazily, and SQLite ignores what it does not like."""
    for name, value, expected in _SETTINGS:
        connection.pragma(name, value)
        found = connection.pragma(name)
        if found != expected:
            why = f"{name} is {found!r} instead of {expected!r}"
            raise DiskFailed("cannot lead", on=str(layout.database), why=why, hint="use a supported shared disk")
    if not 0 <= version_of(connection) < UNTHINKABLE:
        raise name_damage(f"its schema says it is version {version_of(connection)}", layout.database)
    if version_of(connection) > len(MIGRATIONS):
        why = f"its schema is version {version_of(connection)}, this program knows {len(MIGRATIONS)}"
        raise DiskFailed("cannot lead", on=str(layout.database), why=why, hint="update noroshi on this node")


class Transaction:
    """A block that is one commit. No generator, as other blocks here are: somebody waits for each commit, and where
    nothing has run for a while each of those costs ten microseconds."""

    __slots__ = ("_abort", "_begin", "_commit")

    def __init__(
        self,
        begin: Callable[[], apsw.Connection],
        commit: Callable[[], None],
        abort: Callable[[BaseException], None],
    ) -> None:
        self._begin, self._commit, self._abort = begin, commit, abort

    def __enter__(self) -> apsw.Connection:
        return self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._commit()
            return
        try:
            self._abort(error)
        except BaseException as named:
            if named is not error:
                raise


class Writer:
    """The leader's hold on the database, from `lead` to `close`. One thread uses it."""

    def __init__(self, role: Role, connection: apsw.Connection) -> None:
        self._role, self._layout, self._connection = role, role.layout, connection
        self._checkpoint = Checkpoint(role.layout, connection, role.mark, role.wal, self._look)
        self._ended: NoroshiError | None = None
        self._closed = False
        writes_here(role.layout.database, 1)

    @property
    def term(self) -> int:
        return self._role.record.term

    @property
    def record(self) -> LockRecord:
        """What stands in the lock file while we lead."""
        return self._role.record

    @property
    def previous(self) -> LockRecord | None:
        """Who led before, None where nobody did."""
        return self._role.previous

    @property
    def unsettled(self) -> tuple[Owner, ...]:
        """Former leaders not known to have ended: no checkpoint until they have."""
        return self._role.mark.value.unsettled

    @property
    def wal_size(self) -> int:
        """Bytes in the write-ahead log."""
        return self._checkpoint.wal_size

    def begin(self, identity: Identity) -> None:
        """Bring the schema up to date and record the term, before anything else is committed."""
        with self._final(), self._own_errors():
            self._look()
            if lost := missing_tables(self._connection):
                raise self.damaged(lost)
            migrate(self._connection)
        with self.transaction() as connection:
            tell_cut(connection, self._layout)
            meta.add_term(connection, self.term, identity.node, identity.endpoint, self.record.since_us)

    def transaction(self) -> Transaction:
        """Commit the block: leaving it normally means committed, fsynced and still the leader.

        Whatever is raised inside rolls back and passes through, SQLite's own disk errors under their names here.
        Raises Deposed, DiskFailed (both final), DiskFull (try again later; nothing of the block was kept).
        """
        return Transaction(self._begin, self._commit, self._abort)

    def read(self, function: Callable[[apsw.Connection], T]) -> T:
        """What `function` reads on our own connection, one state throughout; also inside a transaction."""
        if self._connection.in_transaction:
            return function(self._connection)
        with self._final(), sqlite_errors(self._connection, self._layout.database):
            self._connection.execute("BEGIN")
            try:
                return function(self._connection)
            finally:
                self._roll_back()

    def checkpoint_if_due(self, idle: bool) -> bool:
        """Copy the log into the database when it is long, or not empty and nothing else is to do; True if done.

        Not while a former leader may still write. Raises Deposed, DiskFailed, DiskFull.
        """
        with self._final(), self._own_errors():
            size = self.wal_size
            due = size >= WAL_LIMIT or (idle and size > 0)
            return due and self._is_alone() and self._checkpoint.run()

    def previous_leader_ended(self) -> None:
        """Every one of `unsettled` is known to have ended, or the storage fences it: checkpoints are safe now."""
        self._settle(())

    def former_ended(self, ended: Callable[[Owner], bool]) -> None:
        """Settle those of `unsettled` that, by what the caller knows of their nodes, have ended."""
        self._settle(tuple(owner for owner in self.unsettled if not ended(owner)))

    def damaged(self, why: str) -> Damaged:
        """What to raise for damage that somebody else has seen."""
        return name_damage(why, self._layout.database)

    def suspect(self, why: str) -> None:
        """Somebody has found the database damaged: always raises Damaged; final, as if met here."""
        with self._final():
            raise self.damaged(why)

    def close(self) -> None:
        """Give the role up; the log stays as it is."""
        if self._closed:
            return
        self._closed = True
        try:
            self._connection.close(True)
        finally:
            writes_here(self._layout.database, -1)
            self._role.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> apsw.Connection:
        if self._ended is not None:
            raise self._ended
        try:
            self._checkpoint.finish()
            self._look()
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            with self._noted(), self._own_errors():
                raise error
        return self._connection

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except BaseException as error:
            with self._noted(), self._rolled_back(), self._own_errors():
                raise error
        try:
            self._look()
        except BaseException as error:
            with self._noted(), self._own_errors():
                raise error

    def _abort(self, error: BaseException) -> None:
        with self._noted(), self._rolled_back(), sqlite_errors(self._connection, self._layout.database):
            raise error

    @contextmanager
    def _rolled_back(self) -> Iterator[None]:
        """Whatever is raised in the block, after it has got its name."""
        try:
            yield
        except BaseException:
            self._roll_back()
            raise

    def _is_alone(self) -> bool:
        remaining = tuple(owner for owner in self.unsettled if not has_ended(owner))
        self._settle(remaining)
        return not remaining

    def _settle(self, remaining: tuple[Owner, ...]) -> None:
        """Note in the mark who may still write, for our own successor."""
        if remaining == self.unsettled:
            return
        with self._final(), self._own_errors():
            self._role.mark.write(msgspec.structs.replace(self._role.mark.value, unsettled=remaining))

    def _look(self) -> None:
        """Deposed unless a fresh open finds our record. Raises OSError."""
        if self._role.lock.still_ours():
            return
        present = read_lock(self._layout)
        who = f"{present.node} leads in term {present.term}" if present else "the record is gone"
        hint = "another node leads now; this coordinator ends"
        raise Deposed("deposed", on=str(self._layout.lock), why=f"{who}, ours was {self.term}", hint=hint)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Of our own steps, the operating system's errors have names too; in the caller's block they are its own."""
        with disk_errors("cannot write", self._layout.shared), sqlite_errors(self._connection, self._layout.database):
            yield

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with self._own_errors():
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _final(self) -> Iterator[None]:
        """Refuse after the end; note the end."""
        if self._ended is not None:
            raise self._ended
        with self._noted():
            yield

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note the end, if that is raised in the block."""
        try:
            yield
        except (Deposed, DiskFailed) as error:
            self._ended = error
            if isinstance(error, Damaged):
                self._role.mark.suspect(error.why)
            raise
