"""How fast entries of the systemd journal are read, selected, saved and sent, beside journalctl alone.

    python tests/bench/logjournal.py [--entries N]

The monitor is its real process with its default timing; the coordinator only acknowledges. journalctl alone prints the
same fields of the same entries to nobody.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import measuring  # noqa: F401 (puts the tests' helpers on the path)
from journals import Journal
from logstand import Coordinator, MonitorProcess, Shelf
from waiting import wait_until

from noroshi.node.logs.journal.entries import FIELDS
from noroshi.node.logs.messages import JournalRule, Timing

UNITS = 5
PIECE = 10_000
"""Entries written by one program."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=100_000)
    count = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        journal = Journal(directory / "journal")
        journal.write("old")
        rule = JournalRule(journal.command)
        begin(directory, rule)
        fill(journal, count)
        show("journalctl alone", count, alone(journal))
        show("log monitor, all selected, 5 units by turns", count, monitored(directory, rule, count))


def begin(directory: Path, rule: JournalRule) -> None:
    """Let the rule have its place before anything is written."""
    with MonitorProcess(directory / "state", [], Timing(), journals=[rule]):
        wait_until("the rule has its place", lambda: list((directory / "state/logs/journal").glob("*")))


def fill(journal: Journal, count: int) -> None:
    for start in range(0, count, PIECE):
        journal.write_all(
            [
                (f"{number} ".ljust(100, "x"), {"_SYSTEMD_UNIT": f"unit{number % UNITS}.service", "PRIORITY": "6"})
                for number in range(start, min(start + PIECE, count))
            ]
        )


def alone(journal: Journal) -> float:
    command = [*journal.command, "--output=json", "--all", f"--output-fields={FIELDS}"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def monitored(directory: Path, rule: JournalRule, count: int) -> float:
    shelf = Shelf()
    with (
        Coordinator(shelf) as coordinator,
        MonitorProcess(directory / "state", [], Timing(), journals=[rule]) as monitor,
    ):
        started = time.perf_counter()
        monitor.lead(coordinator.endpoint)
        wait_until("all are taken", lambda: sum(map(len, list(shelf.lines.values()))) >= count, 200)
        return time.perf_counter() - started


def show(name: str, count: int, seconds: float) -> None:
    print(f"{name:46}{count / seconds:12,.0f} entries/s", flush=True)


if __name__ == "__main__":
    main()
