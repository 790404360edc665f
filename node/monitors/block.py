"""Disks: off the bus, set offline by the kernel, or with I/O errors.

Source: /sys/block/DISK/device/state (Documentation/ABI/testing/sysfs-bus-scsi-devices, drivers/nvme/host/sysfs.c) and
`ioerr_cnt` of SCSI and ATA disks. A few errors are harmless (a command that the disk does not know), so they count by
rate. A disk that vanishes is a WARNING for an hour; what it carried says by itself what that means.
"""

from __future__ import annotations

from pathlib import Path

from noroshi.node.monitors import reading
from noroshi.node.monitors.observation import ERROR, FINE, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.record import Record
from noroshi.node.monitors.seen import HOUR, Seen

_DEAD = frozenset({"offline", "transport-offline", "dead", "deleting", "deleting (no IO)"})
_WAITING = frozenset({"blocked", "created-blocked", "quiesce", "connecting", "resetting"})


class BlockMonitor(Monitor):
    """block/NODE/DEVICE for every disk with hardware behind it."""

    def __init__(self, node: str, options: Options, record: Record) -> None:
        self.interval = options.interval
        self._prefix = f"block/{node}/"
        self._disks = options.root / "sys/block"
        self._most = options.number("errors")
        self._errors = record.counting(options.number("window"))
        self._fixed = Seen(HOUR)

    def observe(self, now: float) -> list[Observation]:
        disks = [name for name in reading.names(self._disks) if (self._disks / name / "device").exists()]
        found = {name: worst(_state(self._disks / name), self._io_errors(name, now)) for name in disks}
        fixed = [name for name in disks if not reading.number(self._disks / name / "removable")]
        for name in self._fixed.missing(fixed, now):
            found.setdefault(name, (WARNING, "no longer there"))
        return [Observation(self._prefix + name, *condition) for name, condition in found.items()]

    def _io_errors(self, name: str, now: float) -> Condition:
        total = reading.number(self._disks / name / "device/ioerr_cnt")
        if total is None:
            return FINE
        what = f"{self._prefix}{name} I/O errors"
        self._errors.take(what, total, now)
        return (WARNING, "I/O errors") if self._errors.within(what, now) >= self._most else FINE


def _state(disk: Path) -> Condition:
    state = reading.text(disk / "device/state")
    if state in _DEAD:
        return ERROR, f"the kernel has set it {state}"
    if state in _WAITING:
        return WARNING, f"does not take requests: {state}"
    return FINE
