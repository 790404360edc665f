"""Who may change what is run: a program that others can write runs what they like, as the user it runs as.

Rules: it looks, and changes nothing. Root may everything, and so may a user with its own programs. A directory with the
sticky bit lets nobody move what is another's; who shares a group is trusted. Every directory and every symbolic link on
the way counts, for each of them says where the next is looked for.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

MOST_LINKS = 40
"""As path_resolution(7) has it."""

_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def others_who_may_change(file: Path, user: int) -> str:
    """Who else than root and `user` (an id) may change this file, or put another in its place.

    Empty where nobody may, and where there is no such file: links in a circle lead to none. Raises OSError where
    something on the way may not be looked at.
    """
    try:
        passed = list(_on_the_way(file))
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return ""
        raise
    return next(filter(None, (_open_to(path, about, user) for path, about in reversed(passed))), "")


def _on_the_way(file: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every directory and link that leads to the file, from the root on, and last the file."""
    reached, ahead, links = Path(), deque(file.absolute().parts), 0
    while ahead:
        name = ahead.popleft()
        if name == "..":
            reached = reached.parent
            continue
        here = reached / name
        about = here.lstat()
        yield here, about
        if not stat.S_ISLNK(about.st_mode):
            reached = here
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(here))
        ahead.extendleft(reversed(here.readlink().parts))  # of an absolute one the first is the root


def _open_to(path: Path, about: os.stat_result, user: int) -> str:
    if about.st_uid not in (0, user):
        return f"{path} belongs to {_name(about.st_uid)}"
    if stat.S_ISLNK(about.st_mode):  # nobody writes a link, whatever its mode says
        return ""
    sticky = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
    return f"anybody may write {path}" if about.st_mode & stat.S_IWOTH and not sticky else ""


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def user_of(name: str) -> int | None:
    """The id of a user of this machine; None where there is no such user."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
