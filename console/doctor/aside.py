"""What was kept aside in the shared directory when a database was damaged: it takes room until somebody removes it."""

from __future__ import annotations

from contextlib import suppress

from noroshi.console.doctor.check import Check, warning
from noroshi.store.damage import kept_aside as kept
from noroshi.store.layout import Layout


def kept_aside(layout: Layout) -> list[Check]:
    """How many files, how big, and the newest; nothing where there are none, or the directory cannot be read."""
    found, size = [], 0
    with suppress(OSError):
        for path in kept(layout):
            size += path.stat().st_size
            found.append(path.name)
    if not found:
        return []
    files = "1 file" if len(found) == 1 else f"{len(found)} files"
    what = f"{files} of {size / 2**20:.1f} MiB together, the newest {found[-1]}"
    hint = "`sqlite3 FILE .recover` reads a database; remove them once nothing in them is wanted: Noroshi never does"
    return [warning("kept after damage", what, hint, files=len(found), bytes=size)]
