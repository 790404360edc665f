"""Who the programs run as: `notifier.user` of node.yaml, with that user's groups and no others.

Rules: looked up once, at the daemon's start; a name service that hangs later delays no delivery.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from noroshi.store.errors import NoroshiError


@dataclass(frozen=True)
class Account:
    """A user of this machine; `switch` says whether a child must change to it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    switch: bool


def resolve(user: str | None) -> Account:
    """The account of `user`, of the daemon itself where None. Raises NoroshiError."""
    try:
        entry = pwd.getpwuid(os.geteuid()) if user is None else pwd.getpwnam(user)
    except KeyError:
        if user is None:
            return Account(str(os.geteuid()), os.geteuid(), os.getegid(), (), "/", switch=False)
        hint = f"create it, or name another in node.yaml: useradd --system {user}"
        raise NoroshiError("cannot start programs as user", on=user, why="no such user", hint=hint) from None
    if entry.pw_uid == os.geteuid():
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, (), entry.pw_dir, switch=False)
    if os.geteuid() != 0:
        hint = "run the daemon as root, or leave notifier.user out of node.yaml"
        raise NoroshiError("cannot start programs as user", on=entry.pw_name, why="the daemon is not root", hint=hint)
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, switch=True)
