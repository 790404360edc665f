"""Texts that are being edited, kept on the operator's own disk until they are saved or given up.

A connection that drops, a coordinator that is gone, a console that was quit: what was typed is still there at the next
edit of the same definition. Rules: one small file each, for the operator alone (0600 in a directory 0700), written
whole and renamed; a draft that cannot be kept is told, and never stands in the way of editing. A file has one editor
at a time, by flock on a file beside it: a second console of the same operator gets the next file, and is told.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path

import msgspec

LONGEST = 2 << 20
"""Bytes of a draft's file that is read."""

MOST = 8
"""Editors of one definition by one operator at a time that have a draft each."""


class Draft(msgspec.Struct, frozen=True):
    """`name` None and `kind`: a new definition; `seen` the version the text was begun on; `at` microseconds UTC."""

    cluster: str
    name: str | None
    kind: str
    seen: int
    text: str
    at: int


class Claim:
    """One editor's own draft file, until it ends. Threads may share it: after `end` nothing is written or removed."""

    def __init__(self, files: list[Path], file: Path | None, descriptor: int = -1, refused: str = "") -> None:
        self._files, self._file, self._refused = files, file, refused
        self._ending = threading.Lock()
        # a claim that nobody took, as its answer came too late, frees the file all the same
        self._unlock = weakref.finalize(self, os.close, descriptor) if file is not None else None

    def find(self) -> Draft | None:
        """What was kept; None where nothing is, or it cannot be read."""
        if self._file is None:
            return None
        try:
            with self._file.open("rb") as handle:
                return msgspec.json.decode(handle.read(LONGEST), type=Draft)
        except (OSError, msgspec.MsgspecError, UnicodeError):
            return None

    def keep(self, draft: Draft) -> None:
        """Write it. Raises OSError."""
        with self._ending:
            if self._refused:
                raise OSError(self._refused)
            if self._file is None:
                return
            written = self._file.with_suffix(".new")
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(msgspec.json.encode(draft))
            written.replace(self._file)

    def elsewhere(self) -> tuple[int, ...]:
        """The processes in which the same is being edited, this editor excepted."""
        return tuple(pid for file in self._files if file != self._file and (pid := _holder(_lock_of(file))) is not None)

    def end(self, *, forget: bool = False) -> None:
        """Give the file up, with what is in it or without; again: nothing. A file that stays is no trouble."""
        with self._ending:
            file, self._file = self._file, None
            if file is None or self._unlock is None:
                return
            with suppress(OSError):
                if forget:
                    file.unlink(missing_ok=True)
                _lock_of(file).unlink(missing_ok=True)
            self._unlock()


def directory() -> Path:
    """`$XDG_STATE_HOME/noroshi/drafts`. Raises RuntimeError where nobody knows a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "noroshi" / "drafts"


def claim(cluster: str, name: str | None, kind: str) -> Claim:
    """A draft file of this definition (or of a new one of this kind) that no other editor has, one with a draft first.

    Where there is none, or no place for one, the claim finds nothing, and its `keep` says why.
    """
    files: list[Path] = []
    try:
        files = _files(cluster, name, kind)
        files[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in sorted(files, key=lambda file: not file.exists()):
            descriptor = _locked(_lock_of(file))
            if descriptor is not None:
                return Claim(files, file, descriptor)
    except (OSError, RuntimeError) as error:
        return Claim(files, None, refused=str(error))
    return Claim(files, None, refused=f"{MOST} editors have it open already")


def _locked(lock: Path) -> int | None:
    """A descriptor that holds the lock; None while another editor does."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not _is_free(descriptor, fcntl.LOCK_EX):
            os.close(descriptor)
            return None
        if _is_at(descriptor, lock):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            return descriptor
        os.close(descriptor)  # its last holder has just removed it


def _is_free(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a home that knows no locks: a draft that two may share is better than none
    return True


def _is_at(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), lock.lstat())
    except FileNotFoundError:
        return False


def _holder(lock: Path) -> int | None:
    """The process that holds the lock; None where nobody does, or it cannot be told."""
    try:
        with lock.open("rb") as handle:
            return None if _is_free(handle.fileno(), fcntl.LOCK_SH) else int(handle.read(32))
    except (OSError, ValueError):
        return None


def _lock_of(file: Path) -> Path:
    return file.with_suffix(".lock")


def _files(cluster: str, name: str | None, kind: str) -> list[Path]:
    """One for each editor. Names may hold what a file's name cannot, and be longer."""
    what = "\0".join((cluster, kind, "new" if name is None else f"name {name}"))
    stem = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return [directory() / f"{stem}{f'-{at}' if at else ''}.json" for at in range(MOST)]
