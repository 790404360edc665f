"""Failed units of systemd, by asking systemctl; a unit that is failed no more is OK again."""

from __future__ import annotations

from fnmatch import fnmatchcase

from noroshi.node.monitors import program
from noroshi.node.monitors.observation import ERROR, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Run

LIMIT = 20.0

_ARGUMENTS = ("list-units", "--all", "--state=failed", "--plain", "--no-legend", "--full", "--no-pager")


class UnitMonitor(Monitor):
    """unit/NODE/UNIT for every failed unit; none where systemd does not run."""

    gone = ""

    def __init__(self, node: str, options: Options, run: Run) -> None:
        self.interval = options.interval
        self._prefix, self._run = f"unit/{node}/", run
        self._booted = options.root / "run/systemd/system"  # sd_booted(3)
        self._command, self._except = options.texts("command"), options.texts("except")

    def observe(self, now: float) -> list[Observation]:
        systemctl = program.command(self._command, "systemctl")
        if systemctl is None or not self._booted.is_dir():
            return []
        units = parse(program.output_of(self._run, [*systemctl, *_ARGUMENTS], LIMIT))
        return [
            Observation(self._prefix + name, ERROR, f"failed: {description}" if description else "failed")
            for name, description in units.items()
            if not any(fnmatchcase(name, pattern) for pattern in self._except)
        ]


def parse(text: str) -> dict[str, str]:
    """systemctl's lines `UNIT LOAD ACTIVE SUB DESCRIPTION` -> unit: description."""
    lines = (line.split(None, 4) for line in text.splitlines())
    return {words[0]: words[4] if len(words) > 4 else "" for words in lines if len(words) >= 4}
