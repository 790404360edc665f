"""Where the shared directory lies: its mount as the kernel tells it (proc_pid_mountinfo(5)), and on which host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from noroshi.node.monitors.mounts import unescape
from noroshi.node.wire.probing import Located
from noroshi.store.layout import Layout

_NFS_PARAMETER = Path("/sys/module/nfs/parameters/recover_lost_locks")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo; `options` are the mount's own and the file system's."""

    point: str
    kind: str
    source: str
    options: tuple[str, ...]


def mount_of(path: str, mountinfo: str) -> Mount | None:
    """The mount that an absolute path without symbolic links lies on: the last of those with the longest prefix."""
    best: Mount | None = None
    for line in mountinfo.splitlines():
        mount = _parsed(line)
        if mount is not None and _holds(mount.point, path) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def _parsed(line: str) -> Mount | None:
    before, separator, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not separator or len(left) < 6 or len(right) < 3:
        return None
    options = tuple(dict.fromkeys([*left[5].split(","), *right[2].split(",")]))
    return Mount(unescape(left[4]), right[0], unescape(right[1]), options)


def _holds(point: str, path: str) -> bool:
    return point == "/" or path == point or path.startswith(point + "/")


def locate(shared: Path) -> Located:
    """Raises OSError."""
    space = os.statvfs(shared)
    mount = mount_of(str(shared.resolve()), Path("/proc/self/mountinfo").read_text(errors="replace"))
    if mount is None:
        raise OSError(f"no mount of {shared} in /proc/self/mountinfo")
    lost_locks = _read(_NFS_PARAMETER) if mount.kind.startswith("nfs") else ""
    kept, unfit = Layout(shared).kept_aside(), Layout(shared).set_aside()
    return Located(
        kind=mount.kind[:64],
        source=mount.source[:256],
        point=mount.point[:1024],
        options=",".join(mount.options)[:2000],
        machine=_read(_BOOT),
        free=space.f_bavail * space.f_frsize,
        lost_locks=lost_locks,
        aside=len(kept),
        aside_size=sum(_size(path) for path in kept),
        aside_newest=kept[-1].name[:1024] if kept else "",
        unfit=len(unfit),
        unfit_newest=unfit[-1].name[:1024] if unfit else "",
    )


def _size(path: Path) -> int:
    """0 for one that somebody has just removed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path) -> str:
    """Empty where the kernel does not tell."""
    try:
        return path.read_text().strip()[:64]
    except OSError:
        return ""
