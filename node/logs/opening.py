"""Opening a log: what a rule names may lie in directories of others, who put there what they like.

Rules: nothing blocks, a pipe or a terminal among the logs neither. A symbolic link, as the file or on the way to it, is
followed where root, this process's own user or the owner of the file made it, as the kernel has it for sticky
directories (fs.protected_symlinks): else the user of a log directory would have a daemon that runs as root read any
file for the whole cluster.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
PROC_SUPER_MAGIC = 0x9FA0
_libc = ctypes.CDLL(None)

MOST_LINKS = 40
"""As path_resolution(7) has it."""


class StrangersLink(PermissionError):
    """The file is reached by a symbolic link that somebody else than root or its owner made."""


def open_log(path: str) -> int:
    """A descriptor to read from. Raises OSError, of which StrangersLink."""
    descriptor = os.open(path, READ_FLAGS)
    try:
        _refuse_strangers(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_strangers(path: str, file: os.stat_result) -> None:
    """Raises StrangersLink, other OSErrors where the path is another by now.

    What is looked at must lead to what was opened: a link may have been swapped for something honest in between.
    """
    trusted = {0, os.geteuid(), file.st_uid}
    with _opened("/", STEP) as at:
        for count, (link, owner) in enumerate(_links(path, at)):
            if owner not in trusted or count >= MOST_LINKS:
                shown = os.fsencode(link).decode("utf-8", "replace")
                raise StrangersLink(errno.EPERM, f"{shown} is a link of user {owner} to a file of {file.st_uid}", path)
        if not os.path.samestat(os.fstat(at), file):
            raise FileNotFoundError(errno.ENOENT, "it was moved while it was opened", path)


def _links(path: str, at: int) -> Iterator[tuple[str, int]]:
    """Each symbolic link on the way and its owner, before it is followed; in the end `at` is what was reached.

    By descriptors, and through links of /proc as the kernel goes: their text says nothing in another mount namespace.
    """
    reached, ahead = "", deque(path.split("/"))
    while ahead:
        name = ahead.popleft()
        if name in ("", "."):
            continue
        with _opened(name, STEP, at) as step:
            seen, kernels = os.fstat(step), _of_proc(step)
            link = stat.S_ISLNK(seen.st_mode)
            target = os.readlink("", dir_fd=step) if link else ""
            if not link:
                os.dup2(step, at, inheritable=False)
        here = {"/": "", "..": reached.rpartition("/")[0]}.get(name, f"{reached}/{name}")
        if link:
            yield here, seen.st_uid
        if link and not kernels:
            ahead.extendleft(reversed(["/" * target.startswith("/"), *target.split("/")]))
            continue
        if link:
            with _opened(name, os.O_PATH | os.O_CLOEXEC, at) as step:
                os.dup2(step, at, inheritable=False)
        reached = here


@contextmanager
def _opened(name: str, flags: int, at: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, flags, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _of_proc(descriptor: int) -> bool:
    """Whether it is in a /proc, in whichever namespace."""
    told = (ctypes.c_long * 32)()  # struct statfs begins with the filesystem's type
    return _libc.fstatfs(descriptor, told) == 0 and told[0] == PROC_SUPER_MAGIC
