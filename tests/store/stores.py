"""What the tests of the shared-disk protocol share: a workload with an invariant, leaders, children to kill.

The workload: three accounts, each in a table (so a page) of its own, whose sum is always 0. A move changes two of
them, so any state put together from two moments shows. `serial` counts the moves: a reader must never see fewer than
were acknowledged before it began.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest
from lost_lock import free_lock

from noroshi.store import reader, vfs, writer
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.writer import Identity, Writer

ACCOUNTS = ("a", "b", "c")


kept_and_dropped = pytest.mark.parametrize("dropped", [False, True], ids=["kept", "dropped"])
"""A test that runs once with the step it proves, once with the step taken out."""


@dataclass(frozen=True)
class Seen:
    """One reading of the accounts."""

    balances: tuple[int, ...]
    serial: int

    @property
    def whole(self) -> bool:
        return sum(self.balances) == 0


def identity(node: str = "db1", pid: int | None = None) -> Identity:
    return Identity(node, "tcp://127.0.0.1:7402", b"\x01\x02", os.getpid() if pid is None else pid)


def lead(layout: Layout, node: str = "db1") -> Writer:
    """A leader, by way of the module, so that what a test replaced there counts."""
    return writer.lead(layout, identity(node))


def open_accounts(leader: Writer) -> None:
    """Make the accounts; each table is followed by filler so that they lie in different blocks."""
    with leader.transaction() as connection:
        for name in (*ACCOUNTS, "serial"):
            connection.execute(f"CREATE TABLE {name} (v INTEGER)")
            connection.execute(f"INSERT INTO {name} VALUES (0)")
            connection.execute(f"CREATE TABLE {name}_filler (v BLOB)")
            connection.execute(f"INSERT INTO {name}_filler VALUES (zeroblob({2 * vfs.BLOCK}))")


def move(leader: Writer, source: str, target: str) -> int:
    """One acknowledged move; returns its serial."""
    with leader.transaction() as connection:
        return transfer(connection, source, target)


def transfer(connection: apsw.Connection, source: str, target: str) -> int:
    connection.execute(f"UPDATE {source} SET v = v - 1")
    connection.execute(f"UPDATE {target} SET v = v + 1")
    connection.execute("UPDATE serial SET v = v + 1")
    return int(connection.execute("SELECT v FROM serial").get)


def balances(connection: apsw.Connection) -> Seen:
    read = [int(connection.execute(f"SELECT v FROM {name}").get) for name in ACCOUNTS]
    return Seen(tuple(read), int(connection.execute("SELECT v FROM serial").get))


def checked(connection: apsw.Connection) -> Seen:
    """The accounts of a database that is sound as a whole."""
    assert connection.pragma("integrity_check") == "ok"
    return balances(connection)


def look_at(layout: Layout, timeout: float = 5.0) -> Seen:
    return SharedReader(layout).query(balances, timeout)


def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaders and readers of one database in this one process: no POSIX locks are there to be dropped."""
    monkeypatch.setattr(writer, "VFS", "unix-none")
    monkeypatch.setattr(vfs, "refuse_in_writer", lambda database: None)
    monkeypatch.setattr(reader, "refuse_in_writer", lambda database: None)


def copy_into_database(leader: Writer) -> None:
    """The checkpoint up to the end of the copy, where it is paused."""
    leader._checkpoint.mark_copying()
    assert leader._checkpoint.copy_frames()


def memory(otherwise: Path | None = None) -> Path | None:
    """A directory in memory, where there is one: for tests that fsync hundreds of times and never cut the power."""
    shm = Path("/dev/shm")
    return shm if os.access(shm, os.W_OK) else otherwise


def drop_lock(layout: Layout) -> None:
    """What a storage does that gives up on a paused host: the lock is free, the holder does not know."""
    free_lock(layout.lock)


def forget(leader: Writer) -> None:
    """End a leader of this process without a word on the disk, as SIGKILL does."""
    leader._connection.close(True)
    leader._closed = True
    vfs.writes_here(leader._layout.database, -1)
    os.close(leader._role.wal)
    leader._role.mark.close()
    leader._role.lock.close()


class Died(Exception):
    """The end of a candidate between two steps."""


def die_after(monkeypatch: pytest.MonkeyPatch, module: object, step: str, layout: Layout) -> None:
    """A candidate that ends right after a step of its take-over; the next one has the step as it was."""
    real = getattr(module, step)

    def dies(*arguments: object) -> None:
        result = real(*arguments)
        if hasattr(result, "__enter__"):
            with result:
                pass
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(module, step, dies)
        lead(layout, "dies")


@dataclass
class Child:
    """A forked process that runs a function and reports lines through a pipe."""

    pid: int
    pipe: int
    _buffer: bytes = field(default=b"")
    _ended: bool = False

    def line(self) -> str:
        """The next line, empty once the child has ended."""
        while b"\n" not in self._buffer:
            data = os.read(self.pipe, 65536)
            if not data:
                break
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def rest(self) -> list[str]:
        """Every further line until the child ends."""
        lines = []
        while line := self.line():
            lines.append(line)
        return lines

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        self._ended = True
        os.close(self.pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


Say = Callable[[object], None]


def in_child(function: Callable[[Say], None]) -> Child:
    """Run `function(say)` in a child; it exits 0, or 3 with the error as its last line."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return Child(pid, ours)
    os.close(ours)

    def say(what: object) -> None:
        os.write(theirs, f"{what}\n".encode())

    status = 3
    try:
        function(say)
        status = 0
    except BaseException as error:
        say(f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)


@contextmanager
def running(function: Callable[[Say], None]) -> Iterator[Child]:
    """A child that is gone at the end of the block, whatever happens."""
    child = in_child(function)
    try:
        yield child
    finally:
        child.kill()
