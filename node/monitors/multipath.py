"""Multipath maps: one that lost a path is DEGRADED, one with none left ERROR.

Source: `multipathd list multipaths json` (libmultipath/print.c): dm_st is what the kernel's map thinks of a path,
chk_st what the last check found. Asked only where the kernel has a map. Paths that vanished altogether are missed for
an hour.
"""

from __future__ import annotations

import json
from typing import Any

from noroshi.node.monitors import program
from noroshi.node.monitors.lvm import mapped
from noroshi.node.monitors.observation import DEGRADED, ERROR, FINE, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Run
from noroshi.node.monitors.seen import HOUR, Seen

LIMIT = 20.0

_DOWN = ("faulty", "i/o timeout", "disconnected", "shaky")


class MultipathMonitor(Monitor):
    """multipath/NODE/MAP for every map."""

    def __init__(self, node: str, options: Options, run: Run) -> None:
        self.interval = options.interval
        self._prefix, self._run = f"multipath/{node}/", run
        self._blocks, self._command = options.root / "sys/block", options.texts("command")
        self._slots: dict[str, Seen] = {}

    def observe(self, now: float) -> list[Observation]:
        multipathd = program.command(self._command, "multipathd")
        if multipathd is None or not mapped(self._blocks, "mpath-"):
            return []
        text = program.output_of(self._run, [*multipathd, "list", "multipaths", "json"], LIMIT)
        return [
            Observation(self._prefix + name, *self._condition(name, paths, now)) for name, paths in parse(text).items()
        ]

    def _condition(self, name: str, paths: dict[str, bool], now: float) -> Condition:
        """A path that comes back has a new name, so those that vanished are counted, not named."""
        slots = self._slots.setdefault(name, Seen(HOUR))
        missing = len(slots.missing((str(slot) for slot in range(len(paths))), now))
        down = sorted(path for path, up in paths.items() if not up)
        if len(down) == len(paths):
            return ERROR, "no path is left"
        if not down and not missing:
            return FINE
        said = [f"failed: {', '.join(down)}"] if down else []
        return DEGRADED, "; ".join(said + ([f"{missing} of {missing + len(paths)} paths are gone"] if missing else []))


def parse(text: str) -> dict[str, dict[str, bool]]:
    """multipathd's JSON -> map: {path: whether it is up}. Raises ValueError for something else."""
    try:
        maps: list[dict[str, Any]] = json.loads(text)["maps"]
        return {
            each["name"]: {path["dev"]: _is_up(path) for group in each["path_groups"] for path in group["paths"]}
            for each in maps
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the list of multipathd: {error!r}") from error


def _is_up(path: dict[str, str]) -> bool:
    return path["dm_st"] != "failed" and path["chk_st"] not in _DOWN
