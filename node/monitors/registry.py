"""Which monitors there are; a name under `monitors:` of the node file each, and one `command/NAME` for each command."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noroshi.node.monitors.block import BlockMonitor
from noroshi.node.monitors.bond import BondMonitor
from noroshi.node.monitors.btrfs import BtrfsMonitor
from noroshi.node.monitors.command import CommandMonitor
from noroshi.node.monitors.filesystem import FilesystemMonitor
from noroshi.node.monitors.link import LinkMonitor
from noroshi.node.monitors.lvm import LvmMonitor
from noroshi.node.monitors.memory import MemoryMonitor
from noroshi.node.monitors.multipath import MultipathMonitor
from noroshi.node.monitors.nic import NicMonitor
from noroshi.node.monitors.observation import Monitor
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.pressure import PressureMonitor
from noroshi.node.monitors.raid import RaidMonitor
from noroshi.node.monitors.rasdaemon import RasdaemonMonitor
from noroshi.node.monitors.smart import SmartMonitor
from noroshi.node.monitors.tools import Tools
from noroshi.node.monitors.unit import UnitMonitor
from noroshi.node.monitors.zfs import ZfsMonitor
from noroshi.store.config.monitors import COMMAND

Build = Callable[[str, Options, Tools], Monitor]

MONITORS: dict[str, Build] = {
    "filesystem": lambda node, options, tools: FilesystemMonitor(node, options),
    "block": lambda node, options, tools: BlockMonitor(node, options, tools.record),
    "link": lambda node, options, tools: LinkMonitor(node, options),
    "unit": lambda node, options, tools: UnitMonitor(node, options, tools.programs.run),
    "pressure": lambda node, options, tools: PressureMonitor(node, options),
    "memory": lambda node, options, tools: MemoryMonitor(node, options, tools.record),
    "rasdaemon": lambda node, options, tools: RasdaemonMonitor(node, options),
    "raid": lambda node, options, tools: RaidMonitor(node, options),
    "lvm": lambda node, options, tools: LvmMonitor(node, options, tools.programs.run),
    "zfs": lambda node, options, tools: ZfsMonitor(node, options, tools.programs.run),
    "btrfs": lambda node, options, tools: BtrfsMonitor(node, options),
    "smart": lambda node, options, tools: SmartMonitor(node, options, tools.programs.run, tools.record),
    "bond": lambda node, options, tools: BondMonitor(node, options),
    "multipath": lambda node, options, tools: MultipathMonitor(node, options, tools.programs.run),
    "nic": lambda node, options, tools: NicMonitor(node, options, tools.record),
}


def build(node: str, configured: Mapping[str, Mapping[str, object]], tools: Tools) -> dict[str, Monitor]:
    """Those configured; the node file's reader fills in the defaults, and leaves out what is turned off."""
    return {name: _builder(name)(node, Options(options), tools) for name, options in configured.items()}


def _builder(name: str) -> Build:
    if name.startswith(f"{COMMAND}/"):
        return lambda node, options, tools: CommandMonitor(node, options, tools.programs.run, tools.matcher.found)
    return MONITORS[name]
