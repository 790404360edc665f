"""Does a disk still take what is written? A file without a name, written, synced, read back.

Rules: in a thread of its own, since a dead disk never answers; while one write hangs no other is begun.
"""

from __future__ import annotations

import errno
import os
import threading

LIMIT = 10.0
"""Seconds; a write that takes longer is an error."""

_SIZE = 4096
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})


class WriteProbe:
    """For one directory."""

    def __init__(self, directory: str, limit: float = LIMIT) -> None:
        self.directory = directory
        self._limit = limit
        self._thread: threading.Thread | None = None
        self._wrong = ""

    def look(self) -> str:
        """What is wrong, or nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"write-{self.directory}", daemon=True)
            self._thread.start()
        self._thread.join(self._limit)
        if self._thread.is_alive():
            return "a write does not come back"
        self._thread = None
        return self._wrong

    def _work(self) -> None:
        try:
            self._wrong = "" if write(self.directory) else "what was written is read back otherwise"
        except OSError as error:
            self._wrong = f"cannot be written: {error.strerror or error}"


def write(directory: str) -> bool:
    """Write, sync, read back; whether it came back as it was. Raises OSError."""
    data = os.urandom(_SIZE)
    file = _open(directory)
    try:
        os.write(file, data)
        os.fsync(file)
        return os.pread(file, _SIZE, 0) == data
    finally:
        os.close(file)


def _open(directory: str) -> int:
    """A file that is gone when it is closed."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
    path = os.path.join(directory, f".noroshi-write-{os.getpid()}")  # noqa: PTH118 - as os.open
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.unlink(path)  # noqa: PTH108
    return file
