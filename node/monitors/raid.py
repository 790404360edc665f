"""Linux software RAID (md) from /proc/mdstat: an array that lost a member is DEGRADED, one that cannot run ERROR.

Source: Documentation/admin-guide/md.rst and drivers/md/md.c (md_seq_show): `md0 : active raid1 sdb1[1] sda1[0](F)`,
then `... [2/1] [_U]`: members wanted, members in sync.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from noroshi.node.monitors.observation import DEGRADED, ERROR, OK, Observation, below, interval_of

_ARRAY = re.compile(r"^(md\S*) : (active|inactive|broken)\b(.*)$")
_MEMBERS = re.compile(r"\[(\d+)/(\d+)\]\s+\[([U_]+)\]")
_FAILED = re.compile(r"(\S+?)\[\d+\](?:\([A-Z]\))*\(F\)")


class RaidMonitor:
    """raid/NODE/ARRAY for every array of this node; none where the kernel has no md."""

    def __init__(self, node: str, options: Mapping[str, object]) -> None:
        self.interval = interval_of(options, 30.0)
        self._node = node
        self._file = below(options.get("root"), "proc/mdstat")

    def observe(self) -> list[Observation]:
        try:
            text = self._file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [Observation(f"raid/{self._node}/{array}", *state) for array, state in parse(text).items()]


def parse(text: str) -> dict[str, tuple[str, str]]:
    """mdstat's text -> array: (state, supplement)."""
    found: dict[str, tuple[str, str]] = {}
    array, head = "", ""
    for line in text.splitlines():
        if match := _ARRAY.match(line):
            array, head = match[1], match[3]
            found[array] = (ERROR, match[2]) if match[2] != "active" else (OK, "")
        elif array and (members := _MEMBERS.search(line)) and found[array][0] == OK:
            found[array] = _judge(int(members[1]), int(members[2]), head)
    return found


def _judge(wanted: int, in_sync: int, head: str) -> tuple[str, str]:
    if in_sync >= wanted:
        return OK, ""
    failed = ", ".join(sorted(_FAILED.findall(head)))
    return DEGRADED, f"{in_sync} of {wanted} members in sync" + (f", failed: {failed}" if failed else "")
