"""Who may change what is run: a program that others can write runs what they like, as the user it runs as.

Rules: it looks, and changes nothing. Root may everything, and so may a user with its own programs. A directory with the
sticky bit lets nobody move what is another's; who shares a group is trusted.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path


def others_who_may_change(file: Path, user: int) -> str:
    """Who else than root and `user` (an id) may change this file, or put another in its place.

    Empty where nobody may, and where there is no such file.
    """
    try:
        return next(filter(None, (_open_to(path, user) for path in _on_the_way(file))), "")
    except OSError:
        return ""


def _on_the_way(file: Path) -> Iterable[Path]:
    """The file and its directories, by the name it was given and by what that leads to."""
    real = file.resolve(strict=True)
    return dict.fromkeys((real, *real.parents, *file.parents))


def _open_to(path: Path, user: int) -> str:
    about = path.stat()
    if about.st_uid not in (0, user):
        return f"{path} belongs to {_name(about.st_uid)}"
    sticky = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
    return f"anybody may write {path}" if about.st_mode & stat.S_IWOTH and not sticky else ""


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def user_of(name: str | None) -> int | None:
    """The id of a user of this machine, of this process's own for None; None where there is no such user."""
    try:
        return os.geteuid() if name is None else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None
