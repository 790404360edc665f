"""Looking at directories and files: the facts that `position.reconcile` decides on.

Rules: what vanishes between two calls is simply not there; what may not be read is told apart from what is missing.
Only regular files are opened, so that a pipe or a device among the logs blocks nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from noroshi.node.logs.globs import ANY_DEPTH, Glob, segment
from noroshi.node.logs.opening import READ_FLAGS
from noroshi.node.logs.position import HEAD, Fact, Identity

LAST_LINE = 64 * 1024
"""Bytes looked through for the start of an unfinished last line."""


@dataclass(frozen=True)
class Listing:
    """The names of files in a directory, with the inode number each is listed with (0 for a symbolic link)."""

    device: int
    names: dict[str, int]


def stat_of(file: str | int) -> os.stat_result:
    """A path's or descriptor's stat. Raises OSError."""
    return os.stat(file)  # noqa: PTH116 (a Path for each file each second costs more than the look itself)


def list_directory(path: str) -> Listing | None:
    """None where there is no such directory. Raises OSError where it may not be read."""
    try:
        device = stat_of(path).st_dev
        with os.scandir(path) as entries:
            return Listing(
                device,
                {
                    entry.name: 0 if entry.is_symlink() else entry.inode()
                    for entry in entries
                    if entry.is_file(follow_symlinks=False) or entry.is_symlink()
                },
            )
    except (FileNotFoundError, NotADirectoryError):
        return None


def fact_of(path: str, *, wanted: bool, first: bool) -> Fact | None:
    """What the file is now; None where it is not there or no regular file."""
    try:
        seen = stat_of(path)
        if not stat.S_ISREG(seen.st_mode):
            return None
        descriptor = os.open(path, READ_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _fact(path, seen, None, wanted, first)
    try:
        return _fact(path, os.fstat(descriptor), os.pread(descriptor, HEAD, 0), wanted, first)
    except OSError:
        return _fact(path, seen, None, wanted, first)
    finally:
        os.close(descriptor)


def fact_of_open(descriptor: int, path: str) -> Fact:
    """The same for a file that is open, whatever its name is by now. Raises OSError."""
    return replace(_fact(path, os.fstat(descriptor), os.pread(descriptor, HEAD, 0), False, False), named=False)


def directories_of(glob: Glob) -> Iterator[str]:
    """The directories in which the pattern's last segment finds files, each perhaps more than once.

    One that the pattern names without wildcards counts although it is not there yet.
    """
    start, *rest = glob.directories or [""]
    found = _walk(start, rest)
    named = all(segment(part) is None for part in rest)
    yield from found if named else (path for path in found if Path(path).is_dir())


def identity_of(seen: os.stat_result) -> Identity:
    """The identity in a stat."""
    return Identity(seen.st_ino, seen.st_dev)


def _fact(path: str, seen: os.stat_result, head: bytes | None, wanted: bool, first: bool) -> Fact:
    return Fact(path, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, head, wanted, first)


def _walk(directory: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield directory or "/"
        return
    part, rest = parts[0], parts[1:]
    if part == ANY_DEPTH:
        yield from _walk(directory, rest)
        for name in _subdirectories(directory, follow=False):
            if not name.startswith("."):
                yield from _walk(f"{directory}/{name}", parts)
        return
    pattern = segment(part)
    if pattern is None:
        yield from _walk(f"{directory}/{part}", rest)
        return
    for name in _subdirectories(directory, follow=True):
        if pattern.fullmatch(name):
            yield from _walk(f"{directory}/{name}", rest)


def _subdirectories(directory: str, *, follow: bool) -> list[str]:
    """The directories in one; none where it cannot be read. Links are not followed at any depth: they may go round."""
    try:
        with os.scandir(directory or "/") as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=follow))
    except OSError:
        return []


def is_link(path: str) -> bool:
    """Whether the name is a symbolic link."""
    return os.path.islink(path)  # noqa: PTH114 (as above)


def irregular(path: str) -> bool:
    """Whether the path is there and is no regular file."""
    try:
        return not stat.S_ISREG(stat_of(path).st_mode)
    except OSError:
        return False


def last_line_start(path: str, size: int, newline: bytes = b"\n") -> int:
    """Where the last, unfinished line begins, so that it is whole when it comes; `size` where it is too long for that.

    Raises OSError.
    """
    width = len(newline)
    size -= size % width
    start = max(0, size - LAST_LINE)
    descriptor = os.open(path, READ_FLAGS)
    try:
        tail = os.pread(descriptor, size - start, start)
    finally:
        os.close(descriptor)
    found = tail.rfind(newline)
    while found > 0 and found % width:  # the halves of two characters
        found = tail.rfind(newline, 0, found + width - 1)
    return start + found + width if found >= 0 else 0 if start == 0 else size
