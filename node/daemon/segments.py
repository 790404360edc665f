"""The files of one spool: opened, written, read and removed; everything here blocks and runs in a worker thread.

Rules: a segment is made whole, as zeros, under another name and renamed, so that writing into it later changes no
metadata (one flush less for each fdatasync) and meets no full disk. What a failed write left is cut off before anything
else is written. What is written is in the kernel's hands and outlives this process: it is told at once, and again when
it is on the disk; after a failure only then. Where it will be can be foreseen, and may be told before that. No sequence
of a stream is ever used twice: a new stream begins where what was told did not reach the disk, after a torn tail, in
another boot than the segment's (a restored image is older than what was sent), and after a life that was not closed in
order, of which the file `open` is left: what it told may have been lost with the process, with the machine's power, or
with a disk that went away and came back. What has to be known of segments that
are gone is a note beside the others, replaced whole before they go.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.core import spool as format
from noroshi.node.core.spool import Item, Name, Scan

FULL = (errno.ENOSPC, errno.EDQUOT)

SEGMENT_SIZE = 1024 * 1024
"""Bytes of a segment as it is made; a single item larger than that makes its own segment longer."""

_NOTE = "note"
_OPEN = "open"


def boot_id() -> bytes:
    """16 bytes that differ in each boot of this machine."""
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))


@dataclass(frozen=True)
class Written:
    """Where a group of bodies is: numbered from `first` on in the segment of this name."""

    name: Name
    first: int


@dataclass(frozen=True)
class Found:
    """What lay there at the start: the segments in order, each one's last sequence, the items of the one that was
    written last and its name, and the note of those that are gone."""

    names: list[Name]
    lasts: list[int]
    items: list[Item]
    written_last: Name
    note: bytes = b""


class SegmentFiles:
    """One spool's directory. One thread at a time, but `read` may run beside the others."""

    def __init__(self, directory: Path, boot: bytes, size: int = SEGMENT_SIZE) -> None:
        self._directory, self._boot, self._size = directory, boot, size
        self._file = -1
        self._end = self._sealed = 0
        self._name = Name(0, 1, b"")
        self._next = 1
        self._dirty = self._over = self._cautious = False

    def open(self) -> Found:
        """Find out what is there and make ready to append. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        closed = not (self._directory / _OPEN).exists()
        names = self._names() if closed else self._without_empty(self._names())
        last = self._recover(names[-1]) if names else Scan([], 0, False, b"")
        orderly = closed and last.clean and last.boot == self._boot
        written_last = self._name
        self._mark_open()
        if not orderly:
            names = self._begin_another(names)
        lasts = [self._last(name, after) for name, after in zip(names, [*names[1:], None], strict=True)]
        return Found(names, lasts, last.items, written_last, self._read_note())

    def foresee(self, bodies: Sequence[bytes]) -> Written | None:
        """Where `write` will put these bodies, if they are the next; None where that is not certain.

        Only while no other thread writes or rotates.
        """
        uncertain = self._over or self._dirty or self._cautious
        if uncertain or self._end + format.size(bodies) > self._sealed:
            return None
        return Written(self._name, self._next)

    def write(self, bodies: Sequence[bytes], foreseen: Written | None, on_written: Callable[[Written], object]) -> None:
        """Append the bodies, say where they are unless it was foreseen, return once they are on the disk.

        Raises OSError: none of them is kept, and if it was said or foreseen where they are the stream takes no more.
        """
        try:
            self._write(bodies, foreseen, on_written)
        except BaseException:
            if foreseen is not None:  # whatever it was: what was told is nowhere
                self._over = self._dirty = self._cautious = True
            raise

    def _write(
        self, bodies: Sequence[bytes], foreseen: Written | None, on_written: Callable[[Written], object]
    ) -> None:
        if self._over:
            self._rotate(0)
        if self._dirty:
            self._cut()
        data = format.frames(self._next, bodies)
        if self._end + len(data) > self._sealed:
            self._rotate(len(data))
        written = Written(self._name, self._next)
        if foreseen not in (None, written):
            raise RuntimeError(f"foreseen in {foreseen}, and it is {written}")
        self._append(data)
        if self._cautious:
            self._sync()
            on_written(written)
        else:
            if foreseen is None:
                on_written(written)
            self._sync(told=True)
        self._cautious = False
        self._end += len(data)
        self._next += len(bodies)

    def rotate(self) -> Name:
        """Begin the next segment, the present one is full or old. Raises OSError."""
        self._rotate(0)
        return self._name

    def read(self, name: Name) -> Scan:
        """What a segment holds; may run while another thread writes to it. Raises OSError."""
        return format.scan((self._directory / str(name)).read_bytes(), name.first)

    def remove(self, names: Sequence[Name], note: bytes | None = None) -> None:
        """Remove segments, the oldest first, so that a crash leaves no hole between those kept; with a note before.

        Raises OSError.
        """
        noted = note is None or self._noted(note)
        for name in names:
            (self._directory / str(name)).unlink(missing_ok=True)
            _sync_directory(self._directory)
        if note is not None and not noted:  # there is room now
            self._write_note(note)

    def set_aside(self, name: str, body: bytes) -> Path:
        """Keep a body under `aside/` for a person to look at. Raises OSError."""
        aside = self._directory / "aside"
        aside.mkdir(mode=0o700, exist_ok=True)
        path = aside / name
        _create(path, body)
        _sync_directory(aside)
        return path

    def close(self) -> None:
        """The end of a life: orderly, unless something that was written did not reach the disk."""
        self._detach()
        if not (self._over or self._dirty):
            (self._directory / _OPEN).unlink(missing_ok=True)

    def _detach(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _mark_open(self) -> None:
        """Before anything is written: from here on to `close` a next life knows that this one was not closed."""
        path = self._directory / _OPEN
        if not path.exists():
            _create(path, b"")
            _sync_directory(self._directory)

    def _begin_another(self, names: list[Name]) -> list[Name]:
        """A new stream; where the disk has no room for a segment, with the first write that finds some."""
        try:
            self._begin(names[-1].number + 1 if names else 1, 1, os.urandom(16))
        except OSError as error:
            if not names or error.errno not in FULL:
                raise
            self._over = True
            return names
        return [*names, self._name]

    def _without_empty(self, names: list[Name]) -> list[Name]:
        """A life that did not come to write anything, or whose only writes failed, leaves no segment for good."""
        while names and (scan := self.read(names[-1])).clean and not scan.items:
            (self._directory / str(names[-1])).unlink()
            names = names[:-1]
        return names

    def _noted(self, note: bytes) -> bool:
        try:
            self._write_note(note)
        except OSError:
            return False
        return True

    def _write_note(self, note: bytes) -> None:
        path = self._directory / _NOTE
        unfinished = path.with_name(path.name + ".new")
        _create(unfinished, note)
        unfinished.rename(path)
        _sync_directory(self._directory)

    def _read_note(self) -> bytes:
        try:
            return (self._directory / _NOTE).read_bytes()
        except FileNotFoundError:
            return b""

    def _names(self) -> list[Name]:
        names = []
        for path in self._directory.iterdir():
            if path.suffix == ".new":
                path.unlink()
            elif name := format.parse_name(path.name):
                names.append(name)
        return sorted(names, key=lambda name: name.number)

    def _recover(self, name: Name) -> Scan:
        """What is in this segment, and make ready to go on in it."""
        scan = self.read(name)
        path = self._directory / str(name)
        self._attach(os.open(path, os.O_RDWR | os.O_CLOEXEC), name, scan)
        os.fsync(self._file)  # what is here now may be in the page cache only, and is taken for safe from here on
        _sync_directory(self._directory)
        return scan

    def _attach(self, file: int, name: Name, scan: Scan) -> None:
        self._detach()
        self._file, self._name = file, name
        self._end, self._sealed = scan.end, os.fstat(file).st_size
        self._next = scan.items[-1].sequence + 1 if scan.items else name.first

    def _last(self, name: Name, after: Name | None) -> int:
        """The last sequence of a segment, from its successor's name where that is of the same stream."""
        if after is not None and after.stream == name.stream:
            return after.first - 1
        if after is None:
            return self._next - 1
        items = self.read(name).items
        return items[-1].sequence if items else name.first - 1

    def _append(self, data: bytes) -> None:
        try:
            _write_all(self._file, data, self._end)
        except OSError:
            self._dirty = True
            with contextlib.suppress(OSError):  # tried again, and then told, before the next write
                self._cut()
            raise

    def _sync(self, *, told: bool = False) -> None:
        try:
            os.fdatasync(self._file)
        except OSError:
            self._over, self._dirty, self._cautious = told, True, True
            with contextlib.suppress(OSError):  # as above; else they are found by the next life, and are what they were
                self._cut()
            raise

    def _cut(self) -> None:
        """Cut off what follows the last safe frame; the segment takes no more."""
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)
        self._sealed = self._end
        self._dirty = False

    def _rotate(self, room: int) -> None:
        self._sealed = self._end  # should this fail half-way, nothing may follow the last frame of the old segment
        old, empty = self._name, self._next == self._name.first
        if self._over:
            self._begin(self._name.number + 1, 1, os.urandom(16), room)
            self._over = self._dirty = False
        else:
            self._begin(self._name.number + 1, self._next, self._name.stream, room)
        if empty:  # left there, a later life would miss what it seems to have held
            with contextlib.suppress(OSError):
                (self._directory / str(old)).unlink(missing_ok=True)
                _sync_directory(self._directory)

    def _begin(self, number: int, first: int, stream: bytes, room: int = 0) -> None:
        name = Name(number, first, stream)
        size = max(self._size, format.HEADER_SIZE + room)
        path = self._directory / str(name)
        unfinished = path.with_name(path.name + ".new")
        _create(unfinished, format.header(self._boot).ljust(size, b"\0"))
        unfinished.rename(path)
        _sync_directory(self._directory)
        self._attach(os.open(path, os.O_RDWR | os.O_CLOEXEC), name, Scan([], format.HEADER_SIZE, True, self._boot))


def _create(path: Path, data: bytes) -> None:
    """Write a new file and have it on the disk, or leave none."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(file, data, 0)
        os.fsync(file)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
