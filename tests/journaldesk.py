"""A stand for the systemd journal as a source: a real journal, a coordinator in memory, monitors that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from journals import Journal
from logstand import Coordinator, MonitorProcess, Shelf
from waiting import wait_until

from noroshi.node.logs.messages import JournalRule


class Desk:
    """A journal, a coordinator, and monitors that come and go."""

    def __init__(self, directory: Path, coordinator: Coordinator) -> None:
        self.directory, self.coordinator = directory, coordinator
        self.journal = Journal(directory / "journal")
        self.monitors: list[MonitorProcess] = []

    def start(self, *rules: JournalRule, lead: bool = True) -> MonitorProcess:
        """A monitor that knows where each rule begins; no rule: all of the journal."""
        rules = rules or (JournalRule(self.journal.command),)
        monitor = MonitorProcess(self.directory / "state", [], journals=rules)
        self.monitors.append(monitor)
        if lead:
            monitor.lead(self.coordinator.endpoint)
        wait_until("every rule has its place", lambda: len(list(self.places)) >= len(rules) and monitor.alive)
        return monitor

    @property
    def places(self) -> Iterator[Path]:
        return (path for path in (self.directory / "state/logs/journal").glob("*") if not path.suffix)

    def stored(self, source: str = "journal/app.service") -> list[str]:
        return self.coordinator.shelf.lines.get(source, [])

    def wait_for(self, *lines: str, source: str = "journal/app.service") -> None:
        wait_until(f"{lines} of {source}", lambda: self.stored(source) == list(lines))


def desk_on(tmp_path: Path) -> Iterator[Desk]:
    """One that is cleared away when the test has ended."""
    with Coordinator(Shelf()) as coordinator:
        desk = Desk(tmp_path, coordinator)
        yield desk
        for monitor in desk.monitors:
            monitor.stop()


def children(process: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == process:
            found.append(int(path.parent.name))
    return found
