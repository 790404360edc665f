"""btrfs file systems: missing devices, and the errors that each device has on record.

Source: /sys/fs/btrfs/UUID/devinfo/ID/{missing,error_stats} (kernel 5.14 and later; what `btrfs device stats` prints).
The kernel keeps the counts over restarts; `btrfs device stats --reset` ends the WARNING.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from noroshi.node.monitors import reading
from noroshi.node.monitors.observation import DEGRADED, FINE, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options

_KINDS = {
    "write_errs": "write errors",
    "read_errs": "read errors",
    "flush_errs": "flush errors",
    "corruption_errs": "corruption",
    "generation_errs": "old generations",
}


class BtrfsMonitor(Monitor):
    """pool/NODE/LABEL, or /UUID of one without a label of its own, for every mounted one."""

    def __init__(self, node: str, options: Options) -> None:
        self.interval = options.interval
        self._prefix = f"pool/{node}/"
        self._directory = options.root / "sys/fs/btrfs"

    def observe(self, now: float) -> list[Observation]:
        found = [self._directory / name for name in reading.names(self._directory)]
        labels = {path: reading.text(path / "label") for path in found if (path / "devinfo").is_dir()}
        times = Counter(labels.values())
        return [
            Observation(self._prefix + (label if label and times[label] == 1 else path.name), *_condition(path))
            for path, label in labels.items()
        ]


def _condition(filesystem: Path) -> Condition:
    devices = [filesystem / "devinfo" / name for name in reading.names(filesystem / "devinfo")]
    missing = [device.name for device in devices if reading.number(device / "missing")]
    stats = {device.name: _errors(reading.text(device / "error_stats") or "") for device in devices}
    erring = "; ".join(f"device {name}: {kinds}" for name, kinds in stats.items() if kinds)
    return worst(
        (DEGRADED, f"missing: device {', '.join(missing)}") if missing else FINE,
        (WARNING, erring) if erring else FINE,
    )


def _errors(text: str) -> str:
    """`write_errs 3` and so on, a line each -> the kinds there are."""
    pairs = (line.split() for line in text.splitlines())
    return ", ".join(_KINDS.get(pair[0], pair[0]) for pair in pairs if len(pair) == 2 and pair[1] != "0")
