"""Which network interfaces count: those the node file names, or the physical ones and bonds."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from noroshi.node.monitors import reading

SYSFS = "sys/class/net"


def watched(directory: Path, wanted: Sequence[str]) -> list[str]:
    """Names below /sys/class/net; `wanted` may hold patterns. What virtual machines and containers make is left out."""
    names = reading.names(directory)
    if wanted:
        return [name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted)]
    return [name for name in names if (directory / name / "device").exists() or (directory / name / "bonding").exists()]
