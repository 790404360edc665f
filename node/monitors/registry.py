"""Which monitors there are; a name under `monitors:` of the node file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noroshi.node.monitors.filesystem import FilesystemMonitor
from noroshi.node.monitors.observation import Monitor
from noroshi.node.monitors.raid import RaidMonitor

MONITORS: dict[str, Callable[[str, Mapping[str, object]], Monitor]] = {
    "filesystem": FilesystemMonitor,
    "raid": RaidMonitor,
}


def build(node: str, configured: Mapping[str, Mapping[str, object]]) -> dict[str, Monitor]:
    """Those configured; the node file's reader fills in the defaults, and leaves out what is turned off."""
    return {name: MONITORS[name](node, options) for name, options in configured.items() if name in MONITORS}
