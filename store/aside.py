"""What a node said and no coordinator can work on, kept for a person to look at: a file each, in the shared directory.

Role: what is set aside here may be acknowledged, for it is not lost, and what waits behind it moves on.
Rules: a file is durable before anything is acknowledged that it stands for; the same item kept twice is one file. No
more than MOST are kept, and nothing removes them here: a fault that spoils all that comes must not fill the disk, nor
push out what nobody has looked at yet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from noroshi.store.disk import create_new, disk_errors, make_directory, sync_directory, write_synced
from noroshi.store.layout import Layout

MOST = 1000
"""Items kept at once; each is smaller than a packet."""


def keep(layout: Layout, name: str, item: Mapping[str, object]) -> Path | None:
    """Keep it as NAME.json; where it lies, None where MOST are kept already. Raises DiskFull, DiskFailed."""
    path = layout.aside / f"{name}.json"
    with disk_errors("cannot set an item aside", path):
        make_directory(layout.aside)
        if not path.exists() and len(layout.set_aside()) >= MOST:
            return None
        _write(path, msgspec.json.format(msgspec.json.encode(item)) + b"\n")
    return path


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
