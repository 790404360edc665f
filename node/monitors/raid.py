"""Linux software RAID (md): an array that lost a member is DEGRADED, one that cannot run ERROR.

Source: /proc/mdstat (Documentation/admin-guide/md.rst; md_seq_show in drivers/md/md.c): `md0 : active raid1 sdb1[1]
sda1[0](F)`, then `... [2/1] [_U]`: members wanted, members in sync. /sys/block/MD/md/mismatch_cnt counts what a check
of a parity array found to differ; on mirrors that may be harmless (swap), and is left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from noroshi.node.monitors import reading
from noroshi.node.monitors.observation import DEGRADED, ERROR, FINE, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options

_ARRAY = re.compile(r"^(md\S*) : (active|inactive|broken)(?: \([a-z-]+\))?(?: (\S+))?(.*)$")
_MEMBERS = re.compile(r"\[(\d+)/(\d+)\]\s+\[([U_]+)\]")
_FAILED = re.compile(r"(\S+?)\[\d+\](?:\([A-Z]\))*\(F\)")
_PARITY = {"raid4": 1, "raid5": 1, "raid6": 2}
"""Members that may be lost."""


class RaidMonitor(Monitor):
    """raid/NODE/ARRAY for every array of this node; none where the kernel has no md."""

    def __init__(self, node: str, options: Options) -> None:
        self.interval = options.interval
        self._prefix = f"raid/{node}/"
        self._mdstat, self._blocks = options.root / "proc/mdstat", options.root / "sys/block"

    def observe(self, now: float) -> list[Observation]:
        found = parse(reading.text(self._mdstat) or "")
        return [
            Observation(self._prefix + array, *worst(condition, _mismatch(self._blocks / array / "md")))
            for array, condition in found.items()
        ]


def parse(text: str) -> dict[str, Condition]:
    """mdstat's text -> array: condition."""
    found: dict[str, Condition] = {}
    array, level, members = "", "", ""
    for line in text.splitlines():
        if match := _ARRAY.match(line):
            array, level, members = match[1], match[3] or "", match[4]
            found[array] = FINE if match[2] == "active" else (ERROR, match[2])
        elif array and (counts := _MEMBERS.search(line)) and found[array][0] != ERROR:
            found[array] = _judge(level, int(counts[1]), int(counts[2]), members)
    return found


def _judge(level: str, wanted: int, in_sync: int, members: str) -> Condition:
    failed = ", ".join(sorted(_FAILED.findall(members)))
    if in_sync >= wanted:
        return (WARNING, f"failed spare: {failed}") if failed else FINE
    runs = wanted - in_sync <= _PARITY.get(level, wanted - 1)
    text = f"{in_sync} of {wanted} members in sync" + (f", failed: {failed}" if failed else "")
    return (DEGRADED, text) if runs else (ERROR, f"too few members: {text}")


def _mismatch(md: Path) -> Condition:
    """What the last check found, when none runs."""
    if reading.text(md / "level") not in _PARITY or reading.text(md / "sync_action") != "idle":
        return FINE
    return (WARNING, "a check found parity that does not match") if reading.number(md / "mismatch_cnt") else FINE
