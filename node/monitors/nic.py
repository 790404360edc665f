"""Errors of network interfaces, by rate: damaged packets, and links that come and go.

Source: /sys/class/net/INTERFACE/statistics (Documentation/ABI/testing/sysfs-class-net-statistics) and
carrier_down_count. Dropped packets are counted only where the node file asks for it: a busy host drops some.
"""

from __future__ import annotations

from noroshi.node.monitors import reading
from noroshi.node.monitors.interfaces import SYSFS, watched
from noroshi.node.monitors.observation import FINE, WARNING, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.record import Record
from noroshi.store.kinds import format_duration

_COUNTERS = {
    "errors": ("statistics/rx_errors", "statistics/tx_errors"),
    "drops": ("statistics/rx_dropped", "statistics/tx_dropped"),
    "flaps": ("carrier_down_count",),
}
_SAID = {"errors": "damaged packets", "drops": "dropped packets", "flaps": "losses of the link"}


class NicMonitor(Monitor):
    """nic/NODE/INTERFACE."""

    def __init__(self, node: str, options: Options, record: Record) -> None:
        self.interval = options.interval
        self._prefix = f"nic/{node}/"
        self._directory, self._wanted = options.root / SYSFS, options.texts("interfaces")
        self._most = {kind: int(options.number(kind)) for kind in _COUNTERS}
        self._counted = record.counting(options.number("window"))

    def observe(self, now: float) -> list[Observation]:
        names = watched(self._directory, self._wanted)
        return [Observation(self._prefix + name, *self._condition(name, now)) for name in names]

    def _condition(self, name: str, now: float) -> Condition:
        said = [
            f"{most} or more {_SAID[kind]}"
            for kind, most in self._most.items()
            if most and self._count(name, kind, now) >= most
        ]
        return (WARNING, f"{', '.join(said)} within {format_duration(self._counted.window)}") if said else FINE

    def _count(self, name: str, kind: str, now: float) -> int:
        what = f"{self._prefix}{name} {kind}"
        totals = [reading.number(f"{self._directory}/{name}/{file}") for file in _COUNTERS[kind]]
        self._counted.take(what, sum(total or 0 for total in totals), now)
        return self._counted.within(what, now)
