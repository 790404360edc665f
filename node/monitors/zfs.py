"""ZFS pools: degraded, faulted, suspended; disks with errors.

Source: `zpool status` (its text, which all releases print alike), and /proc/spl/kstat/zfs/POOL/state, which answers
also while a pool is suspended and zpool would hang.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from noroshi.node.monitors import program, reading
from noroshi.node.monitors.observation import DEGRADED, ERROR, FINE, OK, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Run

LIMIT = 30.0

_STATES = {"ONLINE": OK, "DEGRADED": DEGRADED}
_WELL = ("ONLINE", "AVAIL", "INUSE")
_LOST = re.compile(r"\d+ data error|Permanent error")


@dataclass
class Pool:
    """What zpool status says of one pool. `away`: name of each vdev that is not well, with its state."""

    state: str = ""
    away: dict[str, str] = field(default_factory=dict)
    erring: list[str] = field(default_factory=list)
    lost_data: bool = False

    def condition(self) -> Condition:
        state = _STATES.get(self.state, ERROR)
        # the groups above a bad disk are degraded because of it: name the disk alone
        culprits = {name: each for name, each in self.away.items() if each != "DEGRADED"} or self.away
        named = ", ".join(f"{name} {each}" for name, each in culprits.items())
        return worst(
            FINE if state == OK else (state, self.state + (f": {named}" if named else "")),
            (ERROR, "data was lost: see zpool status -v") if self.lost_data else FINE,
            (WARNING, f"errors on {', '.join(self.erring)}") if self.erring else FINE,
        )


class ZfsMonitor(Monitor):
    """pool/NODE/POOL for every imported pool; none where the kernel has no ZFS."""

    def __init__(self, node: str, options: Options, run: Run) -> None:
        self.interval = options.interval
        self._prefix, self._run = f"pool/{node}/", run
        self._kstat, self._command = options.root / "proc/spl/kstat/zfs", options.texts("command")

    def observe(self, now: float) -> list[Observation]:
        if not self._kstat.is_dir():
            return []
        states = {name: reading.text(self._kstat / name / "state") for name in reading.names(self._kstat)}
        pools = {name: Pool(state) for name, state in states.items() if state}
        awake = [name for name, pool in pools.items() if pool.state != "SUSPENDED"]
        zpool = program.command(self._command, "zpool")
        if zpool and (awake or not pools):  # old releases show no states here
            pools |= parse(program.output_of(self._run, [*zpool, "status", *awake], LIMIT))
        return [Observation(self._prefix + name, *pool.condition()) for name, pool in pools.items()]


def parse(text: str) -> dict[str, Pool]:
    """The text of zpool status -> the pools by name."""
    pools: dict[str, Pool] = {}
    pool, in_table = Pool(), False
    for line in text.splitlines():
        key, _, value = line.strip().partition(": ")
        words = line.split()
        if key == "pool":
            pool, in_table = pools.setdefault(value, Pool()), False
        elif key == "state":
            pool.state = value
        elif key == "errors":
            pool.lost_data, in_table = bool(_LOST.match(value)), False
        elif words[:2] == ["NAME", "STATE"]:
            in_table = True
        elif in_table and len(words) >= 2 and words[0] not in pools:
            _vdev(pool, words)
    return pools


def _vdev(pool: Pool, words: list[str]) -> None:
    """A line of the table: NAME STATE READ WRITE CKSUM, then a remark. Spares have no counters."""
    name, state = words[:2]
    if state not in _WELL:
        pool.away[name] = state
    elif any(counter not in ("0", "-") for counter in words[2:5]) and state == "ONLINE":
        pool.erring.append(name)
