"""What a storage does that gives up on a host: the lock is free, the holder does not know."""

from __future__ import annotations

import shutil
from pathlib import Path


def free_lock(file: Path) -> None:
    """Whoever opens the file from now on can lock it; who holds it holds a file that has no name any more."""
    fresh = file.with_suffix(".fresh")
    shutil.copy2(file, fresh)
    fresh.rename(file)
