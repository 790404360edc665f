"""Opening a log: what a rule names may lie in directories of others, who put there what they like.

Rules: nothing blocks, a pipe or a terminal among the logs neither. A symbolic link, as the file or on the way to it, is
followed where root, this process's own user or the owner of the file made it, as the kernel has it for sticky
directories (fs.protected_symlinks): else the user of a log directory would have a daemon that runs as root read any
file for the whole cluster.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from posixpath import dirname

READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

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
    reached, ahead, links, found = "", deque(path.split("/")), 0, None
    while ahead:
        name = ahead.popleft()
        if name in ("", "."):
            continue
        here = dirname(reached).rstrip("/") if name == ".." else f"{reached}/{name}"
        seen = os.lstat(here or "/")
        if not stat.S_ISLNK(seen.st_mode):
            reached, found = here, seen
            continue
        links += 1
        if seen.st_uid not in trusted or links > MOST_LINKS:
            link = os.fsencode(here).decode("utf-8", "replace")
            raise StrangersLink(errno.EPERM, f"{link} is a link of user {seen.st_uid} to a file of {file.st_uid}", path)
        target = os.readlink(here)  # noqa: PTH115 (paths are text here)
        ahead.extendleft(reversed(target.split("/")))
        reached = "" if target.startswith("/") else reached
    if found is None or not os.path.samestat(found, file):
        raise FileNotFoundError(errno.ENOENT, "it was moved while it was opened", path)
