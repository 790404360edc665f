"""Bonded network interfaces: one that lost a member is DEGRADED, one with none left ERROR.

Source: /sys/class/net/BOND/bonding/slaves and MEMBER/bonding_slave/mii_status (Documentation/networking/bonding.rst). A
member that was taken out, or whose card vanished, is missed for a day.
"""

from __future__ import annotations

from pathlib import Path

from noroshi.node.monitors import reading
from noroshi.node.monitors.interfaces import SYSFS
from noroshi.node.monitors.observation import DEGRADED, ERROR, FINE, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.seen import HOUR, Seen

_UP = ("up", "going down")


class BondMonitor(Monitor):
    """bond/NODE/BOND for every bond that has or had members."""

    def __init__(self, node: str, options: Options) -> None:
        self.interval = options.interval
        self._prefix = f"bond/{node}/"
        self._directory: Path = options.root / SYSFS
        self._members: dict[str, Seen] = {}

    def observe(self, now: float) -> list[Observation]:
        names = [name for name in reading.names(self._directory) if (self._directory / name / "bonding").is_dir()]
        found = {name: self._condition(name, now) for name in names}
        return [Observation(self._prefix + name, *each) for name, each in found.items() if each is not None]

    def _condition(self, bond: str, now: float) -> Condition | None:
        members = (reading.text(f"{self._directory}/{bond}/bonding/slaves") or "").split()
        missing = self._members.setdefault(bond, Seen(24 * HOUR)).missing(members, now)
        down = [name for name in members if not self._is_up(name)]
        if not members and not missing:
            return None
        if not down and not missing:
            return FINE
        said = [f"{name} down" for name in down] + [f"{name} is no member any more" for name in missing]
        return (ERROR if len(down) == len(members) else DEGRADED), ", ".join(said)

    def _is_up(self, member: str) -> bool:
        return reading.text(f"{self._directory}/{member}/bonding_slave/mii_status") in _UP
