"""Which process of which boot of which machine: can a former leader still be running here?

Rules: 'ended' is said only where it is certain. A process id alone says nothing: hosts share the disk, ids are used
again, and containers of one machine count their own. So an owner carries the boot and the process-id namespace it ran
in and its start time; anything that does not match this machine is not known to have ended.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from noroshi.store.mark import Owner


@cache
def machine() -> str:
    """This boot of this kernel, and the namespace process ids are counted in; empty where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def started(pid: int) -> int:
    """When the process started, clock ticks since the boot; 0 where there is no such process."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(line[line.rindex(b")") + 2 :].split()[19])


def has_ended(owner: Owner) -> bool:
    """True if the process ran in this boot, seen from here, and runs no more."""
    if not owner.machine or owner.machine != machine():
        return False
    return started(owner.pid) != owner.started
