"""What monitors need besides files: programs, a search that can be given up, the record of retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from noroshi.node.monitors.matching import Matcher
from noroshi.node.monitors.program import Programs
from noroshi.node.monitors.record import Record


@dataclass(frozen=True)
class Tools:
    """One set for all monitors of a node; `close` ends every program they run."""

    record: Record = field(default_factory=Record)
    programs: Programs = field(default_factory=Programs)
    matcher: Matcher = field(default_factory=Matcher)

    @classmethod
    def of(cls, directory: Path) -> Tools:
        """Keeping its record in a directory, which need not exist yet."""
        return cls(Record(directory / "retries.jsonl"))

    def close(self) -> None:
        self.programs.end()
        self.matcher.end()
