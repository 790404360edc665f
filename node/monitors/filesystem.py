"""File systems on real devices: space, inodes, and gone read-only.

Read-only is seen by the mount's own `ro` or, where the kernel keeps `rw` after an error, by the `emergency_ro` mark
(kernel 6.12 and later); both stand in /proc/self/mountinfo (proc_pid_mountinfo(5)). A file system that was read-only
when it was first seen is meant to be so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.monitors.observation import (
    ERROR,
    OK,
    WARNING,
    Observation,
    below,
    interval_of,
    number_of,
)

_READ_ONLY_KINDS = frozenset({"iso9660", "squashfs", "erofs"})


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo, as far as it matters."""

    point: str
    kind: str
    device: str
    read_only: bool
    emergency: bool


class FilesystemMonitor:
    """filesystem/NODE followed by the mount point, for every file system on a device of its own."""

    def __init__(self, node: str, options: Mapping[str, object]) -> None:
        self.interval = interval_of(options, 30.0)
        self._node = node
        self._root = Path(str(options.get("root") or "/"))
        self._mountinfo = below(self._root, "proc/self/mountinfo")
        self._warning = number_of(options, "warning", 90.0)
        self._error = number_of(options, "error", 97.0)
        self._meant_read_only: dict[str, bool] = {}

    def observe(self) -> list[Observation]:
        mounts = parse(self._mountinfo.read_text(encoding="utf-8", errors="surrogateescape"))
        return [Observation(f"filesystem/{self._node}{mount.point}", *self._state(mount)) for mount in mounts]

    def _state(self, mount: Mount) -> tuple[str, str]:
        meant = self._meant_read_only.setdefault(mount.point, mount.read_only)
        if mount.emergency or (mount.read_only and not meant):
            return ERROR, "read-only after an error" if mount.emergency else "became read-only"
        try:
            usage = os.statvfs(below(self._root, mount.point))
        except OSError as error:
            return ERROR, f"cannot be read: {error.strerror}"
        return self._fill(usage)

    def _fill(self, usage: os.statvfs_result) -> tuple[str, str]:
        space = _used(usage.f_blocks - usage.f_bfree, usage.f_bavail)
        inodes = _used(usage.f_files - usage.f_ffree, usage.f_favail)
        for state, limit in ((ERROR, self._error), (WARNING, self._warning)):
            full = [what for what, used in (("space", space), ("inodes", inodes)) if used >= limit]
            if full:
                return state, f"{' and '.join(full)} over {limit:g} %"
        return OK, ""


def _used(used: int, available: int) -> float:
    """Per cent used of what a normal user may use, as df shows it."""
    return 100.0 * used / (used + available) if used + available > 0 else 0.0


def parse(text: str) -> list[Mount]:
    """mountinfo's text -> the mounts of block devices, each mount point once (the last mount covers the others)."""
    found: dict[str, Mount] = {}
    devices: set[str] = set()
    for line in text.splitlines():
        mount = _parse_line(line)
        if mount is None or not mount.device.startswith("/dev/") or mount.kind in _READ_ONLY_KINDS:
            continue
        if mount.device in devices and mount.point not in found:
            continue  # a bind mount of a file system already seen
        devices.add(mount.device)
        found[mount.point] = mount
    return list(found.values())


def _parse_line(line: str) -> Mount | None:
    before, separator, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not separator or len(left) < 6 or len(right) < 3:
        return None
    options, super_options = left[5].split(","), right[2].split(",")
    return Mount(
        point=_unescape(left[4]),
        kind=right[0],
        device=_unescape(right[1]),
        read_only="ro" in options or "ro" in super_options,
        emergency="emergency_ro" in super_options or "emergency_ro" in options,
    )


def _unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal escapes."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
