"""File systems on real devices: space, inodes, gone read-only, errors the kernel counted, writes that fail.

Read-only is seen by the mount's own `ro` or, where the kernel keeps `rw` after an error, by the `emergency_ro` mark
(kernel 6.12 and later); between the two came kernels that show plain `rw`, so ext4's own error counters are read as
well (Documentation/ABI/testing/sysfs-fs-ext4), which a check by fsck resets. A file system that was read-only when it
was first seen is meant to be so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection

from noroshi.node.monitors import reading
from noroshi.node.monitors.mounts import Mount, parse
from noroshi.node.monitors.observation import ERROR, FINE, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.probe import WriteProbe

FRESH = 86_400.0
"""Seconds for which an error that ext4 counted is an ERROR; an older one, never checked since, is a WARNING."""

SLACK = 1.0
"""Per cent by which use must fall below a threshold before it counts as below."""


class FilesystemMonitor(Monitor):
    """filesystem/NODE followed by the mount point, and by each directory of `write`."""

    gone = "no longer mounted"

    def __init__(self, node: str, options: Options, utc: Callable[[], float] = time.time) -> None:
        self.interval = options.interval
        self._prefix = f"filesystem/{node}"
        self._root, self._utc = options.root, utc
        self._limits = ((ERROR, options.number("error")), (WARNING, options.number("warning")))
        self._probes = [WriteProbe(directory) for directory in options.texts("write")]
        self._meant_read_only: dict[str, bool] = {}
        self._full: dict[tuple[str, str], str] = {}

    def recall(self, names: Collection[str]) -> None:
        """What was read-only by an error is not meant to be so, though it is when it is first seen again."""
        self._meant_read_only |= {name.removeprefix(self._prefix): False for name in names}

    def observe(self, now: float) -> list[Observation]:
        text = reading.text(self._root / "proc/self/mountinfo") or ""
        found = {mount.point: self._condition(mount) for mount in parse(text)}
        for probe in self._probes:
            wrong = probe.look()
            found[probe.directory] = worst(found.get(probe.directory, FINE), (ERROR, wrong) if wrong else FINE)
        return [Observation(self._prefix + point, *condition) for point, condition in found.items()]

    def _condition(self, mount: Mount) -> Condition:
        meant = self._meant_read_only.setdefault(mount.point, mount.read_only)
        if mount.emergency:
            return ERROR, "read-only after an error"
        if mount.read_only and not meant:
            return ERROR, "became read-only"
        if mount.read_only:
            return self._counted(mount)  # it gets no fuller
        try:
            usage = os.statvfs(self._root / mount.point.lstrip("/"))
        except OSError as error:
            return ERROR, f"cannot be read: {error.strerror}"
        return worst(self._counted(mount), self._fill(mount.point, usage))

    def _counted(self, mount: Mount) -> Condition:
        """The errors ext4 has recorded since the last check."""
        if mount.kind != "ext4":
            return FINE
        # sysfs knows the file system by the kernel's name of the device, mountinfo may have another (/dev/mapper/...)
        device = os.path.basename(os.path.realpath(self._root / "sys/dev/block" / mount.number))  # noqa: PTH119
        counters = self._root / "sys/fs/ext4" / device
        if not reading.number(counters / "errors_count"):
            return FINE
        place = reading.text(counters / "last_error_func") or "an unknown place"
        recent = self._utc() - (reading.number(counters / "last_error_time") or 0) < FRESH
        return ERROR if recent else WARNING, f"errors recorded, the last in {place}: check it with fsck"

    def _fill(self, point: str, usage: os.statvfs_result) -> Condition:
        used = {
            "space": _used(usage.f_blocks - usage.f_bfree, usage.f_bavail),
            "inodes": _used(usage.f_files - usage.f_ffree, usage.f_favail),
        }
        for what, per_cent in used.items():
            self._full[point, what] = self._level(per_cent, self._full.get((point, what), ""))
        for state, limit in self._limits:
            full = [what for what in used if self._full[point, what] == state]
            if full:
                return state, f"{' and '.join(full)} over {limit:g} %"
        return FINE

    def _level(self, per_cent: float, before: str) -> str:
        """The state of one resource; leaving a state takes SLACK more than entering it."""
        for state, limit in self._limits:
            if per_cent >= limit - (SLACK if before in (state, ERROR) else 0.0):
                return state
        return ""


def _used(used: int, available: int) -> float:
    """Per cent used of what a normal user may use, as df shows it."""
    return 100.0 * used / (used + available) if used + available > 0 else 0.0
