"""Memory errors that the controllers corrected, or could not correct (EDAC).

Source: /sys/devices/system/edac/mc (Documentation/ABI/testing/sysfs-devices-edac): counters since the driver was
loaded. A module (DIMM) with so many corrected errors within the window is a WARNING, by default ten in a day, as
mcelog's; an uncorrected error is an ERROR at once. Both end when the window has passed without a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from noroshi.node.monitors import reading
from noroshi.node.monitors.observation import ERROR, FINE, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.record import Record
from noroshi.store.kinds import format_duration

DIRECTORY = "sys/devices/system/edac/mc"


@dataclass(frozen=True)
class Module:
    """One place that errors are counted for, within its controller; `label`: the file with what the board says."""

    key: str
    label: str
    corrected: int
    uncorrected: int


class MemoryMonitor(Monitor):
    """memory/NODE/CONTROLLER; the supplement names the modules."""

    def __init__(self, node: str, options: Options, record: Record) -> None:
        self.interval = options.interval
        self._prefix = f"memory/{node}/"
        self._directory = str(options.root / DIRECTORY)
        self._most = int(options.number("corrected"))
        self._counted = record.counting(options.number("window"))

    def observe(self, now: float) -> list[Observation]:
        names = [name for name in reading.names(self._directory) if name.startswith("mc") and name[2:].isdigit()]
        return [Observation(self._prefix + name, *self._condition(name, now)) for name in names]

    def _condition(self, controller: str, now: float) -> Condition:
        corrected, uncorrected = [], []
        for module in modules(f"{self._directory}/{controller}"):
            place = f"{self._prefix}{controller}/{module.key}"
            if self._count(f"{place} uncorrected", module.uncorrected, now, since_boot=True):
                uncorrected.append(module)
            if self._count(f"{place} corrected", module.corrected, now) >= self._most:
                corrected.append(module)
        within = f"within {format_duration(self._counted.window)}"
        return worst(
            (ERROR, f"uncorrected error {within}: {_named(uncorrected)}") if uncorrected else FINE,
            (WARNING, f"{self._most} or more corrected errors {within}: {_named(corrected)}") if corrected else FINE,
        )

    def _count(self, what: str, total: int, now: float, since_boot: bool = False) -> int:
        """How many within the window; `since_boot`: what happened before the first look counts as happening now."""
        if since_boot and not self._counted.knows(what):
            self._counted.take(what, 0, now)
        self._counted.take(what, total, now)
        return self._counted.within(what, now)


def modules(controller: str) -> Iterator[Module]:
    """The modules of a controller, and what it could not place; of a driver that has no modules, the whole."""
    names = [name for name in reading.names(controller) if name.startswith(("dimm", "rank")) and name[4:].isdigit()]
    for name in names:
        yield _module(name, f"{controller}/{name}/dimm_label", f"{controller}/{name}/dimm_")
    if names:
        yield _module("unknown module", "", f"{controller}/", "_noinfo_count")
    else:
        yield _module("all modules", "", f"{controller}/")


def _module(key: str, label: str, before: str, after: str = "_count") -> Module:
    """`before` and `after` the ce or ue in the names of its counters."""
    corrected, uncorrected = (reading.number(f"{before}{kind}{after}") or 0 for kind in ("ce", "ue"))
    return Module(key, label, corrected, uncorrected)


def _named(found: list[Module]) -> str:
    return ", ".join((module.label and reading.text(module.label)) or module.key for module in found)
