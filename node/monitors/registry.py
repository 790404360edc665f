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
    """Those configured; with no entry at all, every one with its defaults (absent hardware reports nothing)."""
    chosen = configured or {name: {} for name in MONITORS}
    return {name: MONITORS[name](node, options) for name, options in chosen.items()}
