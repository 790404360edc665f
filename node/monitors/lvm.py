"""Logical volumes of LVM: redundant ones that lost a disk, and any that LVM itself calls unwell.

Source: lvs --reportformat json, field lv_health_status (lvmraid(7), lib/report/report.c). Asked only where the kernel
has device-mapper devices of LVM.
"""

from __future__ import annotations

import json
from pathlib import Path

from noroshi.node.monitors import program, reading
from noroshi.node.monitors.observation import DEGRADED, ERROR, FINE, WARNING, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Run

LIMIT = 30.0

_FIELDS = "vg_name,lv_name,lv_layout,lv_health_status,raid_mismatch_count"
_REDUNDANT = ("raid1", "raid4", "raid5", "raid6", "raid10", "mirror")
_HEALTHY = ("", "writemostly", "reshaping")
_LOST = ("failed", "error", "out_of_data", "metadata_read_only")


class LvmMonitor(Monitor):
    """raid/NODE/VG/LV for redundant volumes, and for others while they are unwell."""

    gone = ""

    def __init__(self, node: str, options: Options, run: Run) -> None:
        self.interval = options.interval
        self._prefix, self._run = f"raid/{node}/", run
        self._blocks, self._command = options.root / "sys/block", options.texts("command")

    def observe(self, now: float) -> list[Observation]:
        lvs = program.command(self._command, "lvs")
        if lvs is None or not mapped(self._blocks, "LVM-"):
            return []
        arguments = [*lvs, "--reportformat", "json", "--options", _FIELDS]
        conditions = parse(program.output_of(self._run, arguments, LIMIT))
        return [Observation(self._prefix + name, *condition) for name, condition in conditions.items()]


def mapped(blocks: Path, prefix: str) -> bool:
    """Whether the kernel has a device-mapper device of this owner (libdm's rule for their uuids)."""
    devices = (name for name in reading.names(blocks) if name.startswith("dm-"))
    return any((reading.text(blocks / name / "dm/uuid") or "").startswith(prefix) for name in devices)


def parse(text: str) -> dict[str, Condition]:
    """lvs's JSON -> VG/LV: condition. Raises ValueError for something else."""
    try:
        rows = [row for report in json.loads(text)["report"] for row in report["lv"]]
        judged = {f"{row['vg_name']}/{row['lv_name']}": _judge(row) for row in rows}
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the report of lvs: {error!r}") from error
    return {name: condition for name, condition in judged.items() if condition is not None}


def _judge(row: dict[str, str]) -> Condition | None:
    """None for a plain volume that is well: it cannot be anything else."""
    health, redundant = row["lv_health_status"], any(kind in row["lv_layout"].split(",") for kind in _REDUNDANT)
    if health == "partial":
        return (DEGRADED if redundant else ERROR), "a disk is missing"
    if health == "refresh needed":
        return DEGRADED, "a disk was away: refresh needed"
    if health in _LOST:
        return ERROR, health.replace("_", " ")
    if health not in _HEALTHY or row.get("raid_mismatch_count", "") not in ("", "0"):
        return WARNING, health if health not in _HEALTHY else "mismatches exist"
    return FINE if redundant else None
