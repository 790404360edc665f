"""What a node said and no coordinator can work on, kept for a person to look at: a file each, in the shared directory.

Role: what is set aside here may be acknowledged, for it is not lost, and what waits behind it moves on.
Rules: a file is durable before anything is acknowledged that it stands for; the same item kept twice is one file. No
more than MOST are kept, and nothing removes them here: a fault that spoils all that comes must not fill the disk, nor
push out what nobody has looked at yet. Where none can be kept though the disk is well, a person has to see to that
directory; it is no reason to give the role up, for the next leader would meet the same.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import islice
from pathlib import Path

from noroshi.store.disk import create_new, disk_errors, make_directory, sync_directory, write_synced
from noroshi.store.errors import NotKept
from noroshi.store.layout import Layout

MOST = 1000
"""Items kept at once; each rode in a packet, and is written out in its file."""

UNUSABLE = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENOENT,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
"""What is wrong with names and rights, not with the disk."""


def keep(layout: Layout, name: str, data: bytes) -> Path:
    """Keep JSON as NAME.json; where it lies. Raises NotKept, DiskFull, DiskFailed."""
    path = layout.aside / f"{name}.json"
    with disk_errors("cannot set an item aside", path):
        try:
            make_directory(layout.aside)
            if not path.exists() and _full(layout.aside):
                raise _not_kept(layout.aside, f"{MOST} are there", "look at them and remove them")
            _write(path, data)
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
            hint = "make it a directory that the user of the coordinator can write to"
            raise _not_kept(layout.aside, os.strerror(error.errno), hint) from error
    return path


def _full(directory: Path) -> bool:
    """By their names alone, and no more of them than it takes: this is asked within a turn."""
    with os.scandir(directory) as entries:
        kept = (entry for entry in entries if entry.name.endswith(".json"))
        return sum(1 for _ in islice(kept, MOST)) >= MOST


def _not_kept(directory: Path, why: str, hint: str) -> NotKept:
    return NotKept("nothing can be set aside in", on=str(directory), why=why, hint=hint)


def _write(path: Path, data: bytes) -> None:
    """Under its own name only once it is whole."""
    unfinished = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    descriptor = create_new(unfinished)
    try:
        write_synced(descriptor, data)
    finally:
        os.close(descriptor)
    unfinished.replace(path)
    sync_directory(path.parent)
