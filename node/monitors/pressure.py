"""Load: for how much of the time tasks stand still for want of CPU, memory or I/O.

Source: /proc/pressure (Documentation/accounting/psi.rst), the average of a minute: `some` tasks over the threshold is a
WARNING, `full` (all that could run) an ERROR. A state is left at LEAVE of its threshold.
"""

from __future__ import annotations

import re

from noroshi.node.monitors import reading
from noroshi.node.monitors.observation import ERROR, FINE, WARNING, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options

RESOURCES = ("cpu", "memory", "io")
LEAVE = 0.8

_LINE = re.compile(r"^(some|full) avg10=\S+ avg60=([0-9.]+) ", re.MULTILINE)
_SAID = {ERROR: "all tasks wait for it", WARNING: "tasks wait for it"}


class PressureMonitor(Monitor):
    """pressure/NODE/cpu, /memory and /io; none where the kernel does not measure."""

    def __init__(self, node: str, options: Options) -> None:
        self.interval = options.interval
        self._prefix = f"pressure/{node}/"
        self._directory = options.root / "proc/pressure"
        self._limits = {resource: options.number(resource) for resource in RESOURCES}
        self._before: dict[str, str] = {}

    def observe(self, now: float) -> list[Observation]:
        texts = {resource: reading.text(self._directory / resource) for resource in RESOURCES}
        return [
            Observation(self._prefix + resource, *self._condition(resource, parse(text)))
            for resource, text in texts.items()
            if text is not None
        ]

    def _condition(self, resource: str, averages: dict[str, float]) -> Condition:
        before = self._before.get(resource)
        for state, kind in ((ERROR, "full"), (WARNING, "some")):
            leaving = before in (state, ERROR)
            if averages.get(kind, 0.0) >= self._limits[resource] * (LEAVE if leaving else 1.0):
                self._before[resource] = state
                return state, _SAID[state]
        self._before.pop(resource, None)
        return FINE


def parse(text: str) -> dict[str, float]:
    """The text of one file -> per cent of the last minute by `some` and `full`."""
    return {kind: float(average) for kind, average in _LINE.findall(text)}
