"""The drop directory: how an event is kept when no daemon answers (`state/drop`, one file an event).

Role: `leave` for the raising program, `look` and `take` for the daemon. For hooks that must not lose an event and
may not wait for a daemon (mdadm, smartd, systemd's OnFailure).
Rules: the standard library alone. A file is there whole and on the disk, or not at all. The directory belongs to the
daemon and its group (mode 3770): who may write to the socket may leave events, nobody else, and only the daemon
removes another's. What lies there was written by others: it is opened without following links or waiting on a pipe.
"""

from __future__ import annotations

import json
import os
import stat

MODE = 0o3770
FILE_MOST = 1024 * 1024
"""Bytes."""

_SUFFIX = ".event"
_UNFINISHED = ".new"


def leave(directory: str, line: bytes, observed_at: int, name: str) -> str:
    """Keep a request line for the daemon; the file's path once it is on the disk. Raises OSError.

    `name` must be new each time: random. `observed_at`: microseconds UTC.
    """
    request = {**json.loads(line), "observed_at": observed_at}
    final = f"{directory}/{observed_at:020d}-{name}{_SUFFIX}"
    unfinished = final + _UNFINISHED
    try:
        _write(unfinished, json.dumps(request).encode())
        os.rename(unfinished, final)  # noqa: PTH104 - pathlib is slow to import
    except OSError:
        _remove_if_there(unfinished)
        raise
    sync_directory(directory)
    return final


def look(directory: str, most: int) -> list[str]:
    """Paths of the oldest events there, no more than `most`. Raises OSError."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIX))  # noqa: PTH208
    return [f"{directory}/{name}" for name in names[:most]]


def read(path: str) -> bytes:
    """What was left. Raises OSError, also for what is no plain file of at most FILE_MOST bytes."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_size > FILE_MOST:
            raise OSError(f"{path} is no plain file of at most {FILE_MOST} bytes")
        return os.read(file, FILE_MOST)
    finally:
        os.close(file)


def sync_directory(path: str) -> None:
    """Have the names in a directory on the disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        os.fchmod(file, 0o640)  # the daemon reads it as the directory's group, whatever the raiser's umask
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)


def _remove_if_there(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - as above
    except FileNotFoundError:
        return
