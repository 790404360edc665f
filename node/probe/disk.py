"""The steps of a measurement on the shared disk, as the protocol itself goes about it (design section 3).

Rules: every file lies in `doctor/` of the shared directory and is called NODE.RUN.WHAT; a node writes its own files
alone, at most one of each kind, and removes them: at the end of a run, and what an earlier run of its own left at the
beginning of the next. Reading is by a fresh open, writing is fsynced. What goes wrong on the disk is an answer.
"""

from __future__ import annotations

import fcntl
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from noroshi.node.probe import place
from noroshi.node.wire.probing import (
    Clear,
    DiskAnswer,
    DiskStep,
    Done,
    Failed,
    Found,
    Link,
    Locate,
    Located,
    Lock,
    Read,
    Replace,
    Replaced,
    Stay,
    Sync,
    Synced,
    Tried,
    TryLock,
    Unlock,
    Watch,
    Watched,
    Write,
)
from noroshi.store.disk import create, create_new, make_directory, read_fresh, sync_directory, write_synced
from noroshi.store.layout import Layout

BLOCK = 4096
SIZES = 7
"""The file `data` has 1 to SIZES blocks: it grows and shrinks, as the log does."""
_MOST_SYNCS = 2000
_PAUSE = 0.002
_LOCKS: dict[str, Callable[[int, int], None]] = {"flock": fcntl.flock, "fcntl": fcntl.lockf}
"""Each kind has a file of its own: where flock is made of byte ranges, as on NFS, the two would meet."""


def content(number: int) -> bytes:
    """Version `number` of a file: the number in every eight bytes."""
    return number.to_bytes(8, "big") * ((1 + number % SIZES) * BLOCK // 8)


def found_in(raw: bytes | None) -> Found:
    """What stands in a file that should hold one version."""
    if raw is None:
        return Found(-1, 0, False)
    number = int.from_bytes(raw[:8], "big") if len(raw) >= 8 else 0
    return Found(len(raw), min(number, 2**62), 1 <= number <= 1000 and raw == content(number))


class Disk:
    """One run on one node."""

    def __init__(self, shared: Path, node: str, run: str) -> None:
        self._layout, self._node, self._run = Layout(shared), node, run
        self._data = -1
        self._locks: list[int] = []
        self._moved = 0

    def do(self, step: DiskStep) -> DiskAnswer:
        """The step's answer; an error of the disk is `Failed`."""
        try:
            return self._do(step)
        except OSError as error:
            name = Path(error.filename).name if isinstance(error.filename, str) else self._layout.probes.name
            return Failed("disk", f"{name}: {error.strerror or error}"[:1000])

    def _do(self, step: DiskStep) -> DiskAnswer:
        match step:
            case Locate():
                return self._begin()
            case Write(number, of):
                return self._overwrite(number, of) if of else self._write(number)
            case Read(of, what):
                return found_in(read_fresh(self._file(what, of), (SIZES + 1) * BLOCK))
            case Replace(seconds):
                return self._replace(seconds)
            case Watch(of, seconds):
                return _watched(self._file("moved", of), seconds)
            case Lock(of):
                return self._lock(of or self._node)
            case Unlock():
                return self._unlock()
            case TryLock(of, seconds):
                return self._try(of, seconds)
            case Link():
                return self._link()
            case Sync(seconds):
                return self._sync(seconds)
            case Stay():
                return Done()
            case Clear():
                return self._clear()

    def _file(self, what: str, of: str | None = None) -> Path:
        return self._layout.probes / f"{of or self._node}.{self._run}.{what}"

    def _new(self, what: str) -> int:
        """Another doctor, ending, may just have removed the empty directory."""
        with suppress(FileNotFoundError):
            return create_new(self._file(what))
        make_directory(self._layout.probes)
        return create_new(self._file(what))

    def _begin(self) -> Located:
        make_directory(self._layout.probes)
        self._remove(but=f"{self._node}.{self._run}.")
        return place.locate(self._layout.shared)

    def _write(self, number: int) -> Done:
        if self._data < 0:
            self._data = self._new("data")
            sync_directory(self._layout.probes)
        return _put(self._data, number)

    def _replace(self, seconds: float) -> Replaced:
        until, times = time.monotonic() + seconds, 0
        while not times or time.monotonic() < until:
            times, self._moved = times + 1, self._moved % 1000 + 1
            descriptor, new = self._new("new"), self._file("new")
            try:
                write_synced(descriptor, content(self._moved))
            finally:
                os.close(descriptor)
            new.rename(self._file("moved"))
            sync_directory(self._layout.probes)
        return Replaced(times)

    def _overwrite(self, number: int, of: str) -> Done:
        descriptor = os.open(self._file("data", of), os.O_RDWR | os.O_CLOEXEC)
        try:
            return _put(descriptor, number)
        finally:
            os.close(descriptor)

    def _lock(self, of: str) -> Done:
        make_directory(self._layout.probes)
        try:
            for name, lock in _LOCKS.items():
                self._locks.append(create(self._file(name, of)))
                lock(self._locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._unlock()  # half of them would stand in our own way at the next try
            raise
        sync_directory(self._layout.probes)
        return Done()

    def _unlock(self) -> Done:
        while self._locks:
            os.close(self._locks.pop())
        return Done()

    def _try(self, of: str, seconds: float) -> Tried:
        began = time.monotonic()
        obtained = dict.fromkeys(_LOCKS, False)
        held = _refused(self._file("flock", of), os.O_RDONLY, fcntl.flock, fcntl.LOCK_SH)
        while True:
            for name, lock in _LOCKS.items():
                obtained[name] |= not _refused(self._file(name, of), os.O_RDWR, lock, fcntl.LOCK_EX)
            took = time.monotonic() - began
            if all(obtained.values()) or took >= seconds:
                return Tried(obtained["flock"], obtained["fcntl"], held, took)
            time.sleep(_PAUSE)

    def _link(self) -> DiskAnswer:
        data, link = self._file("data"), self._file("link")
        os.link(data, link)
        sync_directory(self._layout.probes)
        with suppress(FileExistsError):
            os.link(data, link)
            return Failed("disk", "a link to a name that was taken did not fail")
        return Done()

    def _sync(self, seconds: float) -> Synced:
        descriptor = self._new("sync")
        try:
            taken = list(_timed_syncs(descriptor, seconds))
        finally:
            os.close(descriptor)
        return Synced(len(taken), statistics.median(taken), max(taken))

    def _clear(self) -> Done:
        self._unlock()
        if self._data >= 0:
            os.close(self._data)
            self._data = -1
        self._remove()
        with suppress(OSError):  # others have files there
            self._layout.probes.rmdir()
        return Done()

    def _remove(self, but: str = "\0") -> None:
        """This node's files, `but` those whose names begin so: there is one run at a time."""
        dots = self._node.count(".") + 2
        for file in list(self._layout.probes.glob("*")):
            own = file.name.startswith(f"{self._node}.") and file.name.count(".") == dots
            if own and not file.name.startswith(but):
                file.unlink(missing_ok=True)


def _put(descriptor: int, number: int) -> Done:
    """Version `number` into an open file, in place."""
    data = content(number)
    os.ftruncate(descriptor, min(len(data), os.fstat(descriptor).st_size))
    write_synced(descriptor, data)
    return Done()


def _refused(path: Path, how: int, lock: Callable[[int, int], None], kind: int) -> bool:
    """Whether the lock is refused by a fresh open; where it is obtained it is released again."""
    descriptor = os.open(path, how | os.O_CLOEXEC)
    try:
        lock(descriptor, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # fcntl may say either
        return True
    finally:
        os.close(descriptor)
    return False


def _timed_syncs(descriptor: int, seconds: float) -> Iterator[float]:
    until = time.monotonic() + seconds
    for number in range(_MOST_SYNCS):
        began = time.monotonic()
        os.pwrite(descriptor, bytes(BLOCK), number * BLOCK)
        os.fsync(descriptor)
        yield time.monotonic() - began
        if time.monotonic() >= until:
            return


def _watched(path: Path, seconds: float) -> Watched:
    until = time.monotonic() + seconds
    reads = missing = torn = errors = 0
    last = ""
    while not reads or time.monotonic() < until:
        reads += 1
        try:
            found = found_in(read_fresh(path, (SIZES + 1) * BLOCK))
        except OSError as error:
            errors, last = errors + 1, error.strerror or str(error)
            continue
        missing += found.size < 0
        torn += found.size >= 0 and not found.whole
    return Watched(reads, missing, torn, errors, last)
