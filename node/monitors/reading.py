"""Reading small files of /proc and /sys.

Rules: what is not there, went away while it was read, or has nothing to say in its present state is None; everything
else that goes wrong is an OSError. Monitors that read many files join their paths as text, which costs a hundredth.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NOT_PRESENT = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ESRCH}
)


def text(path: Path | str) -> str | None:
    """The file's text without the white space around it."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the cost, and this is what polling costs
            return file.read().decode("utf-8", "surrogateescape").strip()
    except OSError as error:
        if error.errno in _NOT_PRESENT:
            return None
        raise


def number(path: Path | str) -> int | None:
    """The file's whole number, decimal or 0x…; None also where it holds something else."""
    found = text(path)
    try:
        return None if found is None else int(found, 0)
    except ValueError:
        return None


def names(path: Path | str) -> list[str]:
    """The names in a directory, sorted; none where it is not there."""
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - names are wanted
    except OSError as error:
        if error.errno in _NOT_PRESENT:
            return []
        raise
