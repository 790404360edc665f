"""The positions on the node's own disk, and the parts that were set aside there.

Rules: the positions are one file, replaced whole (written, fsynced, renamed, the directory fsynced), so that what is
read back is always one moment. Files are for the daemon's user alone. A file that cannot be understood is moved aside,
never overwritten.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from noroshi.node.logs.position import Position
from noroshi.node.wire.messages import LogPart
from noroshi.store.errors import NoroshiError

FORMAT = 1
ASIDE_LIMIT = 64 * 1024 * 1024
"""Bytes kept of parts that were set aside; the oldest go first."""


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    """A Position; paths as bytes, for a file's name may be no text."""

    stream: bytes
    source: bytes
    path: bytes
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


class _File(msgspec.Struct, frozen=True):
    format: int
    clean: bool
    patterns: list[str]
    positions: list[_Saved]


@dataclass(frozen=True)
class State:
    """All that is saved. `patterns` were looked at before; `clean`: the last run ended well, with nothing wrong."""

    patterns: frozenset[str] = frozenset()
    positions: tuple[Position, ...] = ()
    clean: bool = True
    damaged: str = ""
    """Why what was saved could not be used, or nothing."""


@dataclass
class Store:
    """The directory `logs` in the node's state directory, for one monitor at a time."""

    directory: Path
    _lock: int = field(default=-1, init=False)

    def open(self) -> bool:
        """Make the directory and lock it; False while another monitor has it. Raises NoroshiError."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._lock < 0:
                self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise NoroshiError(
                "the read positions cannot be kept", on=str(self.directory), why=str(error), hint="look at 'state'"
            ) from error
        return True

    def close(self) -> None:
        """Let another monitor have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def saved_at(self) -> int:
        """When positions were saved last, in nanoseconds by the disk's clock; 0 at the first start."""
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0

    def load(self) -> State:
        """What was saved last; nothing at the first start."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return State()
        try:
            saved = msgspec.msgpack.decode(data, type=_File)
            if saved.format != FORMAT:
                raise ValueError(f"format {saved.format}, this program knows {FORMAT}")
        except ValueError as error:
            self._file.replace(self._file.with_suffix(".damaged"))
            return State(clean=False, damaged=str(error))
        positions = tuple(_from_saved(position) for position in saved.positions)
        return State(frozenset(saved.patterns), positions, saved.clean)

    def save(self, state: State) -> None:
        """Durable when it returns. Raises OSError."""
        positions = [_to_saved(position) for position in state.positions]
        replace_file(self._file, msgspec.msgpack.encode(_File(FORMAT, state.clean, sorted(state.patterns), positions)))

    def set_aside(self, part: LogPart, why: str) -> Path:
        """Keep a part that the coordinator cannot take, as JSON. Raises OSError."""
        directory = self.directory / "aside"
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / f"{part.observed_at}-{part.stream.hex()[:8]}-{part.start}.json"
        replace_file(
            path, msgspec.json.encode({"refused": why, **msgspec.structs.asdict(part), "stream": part.stream.hex()})
        )
        _drop_oldest(directory, ASIDE_LIMIT)
        return path

    @property
    def _file(self) -> Path:
        return self.directory / "positions"


def replace_file(path: Path, data: bytes) -> None:
    """Durable when it returns. Raises OSError."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_oldest(directory: Path, limit: int) -> None:
    files = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in directory.iterdir())
    total = sum(size for _, size, _ in files)
    for _, size, path in files[:-1]:
        if total > limit:
            path.unlink(missing_ok=True)
            total -= size


def _to_saved(position: Position) -> _Saved:
    values = vars(position)
    return _Saved(**{**values, "source": os.fsencode(position.source), "path": os.fsencode(position.path)})


def _from_saved(saved: _Saved) -> Position:
    values = msgspec.structs.asdict(saved)
    return Position(**{**values, "source": os.fsdecode(saved.source), "path": os.fsdecode(saved.path)})
