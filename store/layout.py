"""Where things lie in the shared directory; the one place that knows the file names (design section 5)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of one shared directory. `wal` is SQLite's; `mark` and `lock` are the protocol's.

    What every commit asks for is made once: a path takes longer to make than to open.
    """

    shared: Path

    @cached_property
    def database(self) -> Path:
        return self.shared / "noroshi.db"

    @cached_property
    def wal(self) -> Path:
        return self.shared / "noroshi.db-wal"

    @cached_property
    def mark(self) -> Path:
        return self.shared / "noroshi.mark"

    @cached_property
    def lock(self) -> Path:
        return self.shared / "coordinator.lock"

    def kept_aside(self) -> list[Path]:
        """Databases and logs that were kept when they were damaged or lost, oldest first. Nothing removes them here:
        somebody may want them back. Raises OSError.
        """
        names = (f"{self.database.name}.damaged-*", f"{self.wal.name}.damaged-*", f"{self.wal.name}.lost-*")
        return sorted((path for name in names for path in self.shared.glob(name)), key=_stamp)

    @property
    def aside(self) -> Path:
        """What nodes said and no coordinator could work on (aside.py)."""
        return self.shared / "aside"

    def set_aside(self) -> list[Path]:
        """The files in it, oldest first. Raises OSError."""
        return sorted(self.aside.glob("*.json"), key=_written)

    @property
    def claims(self) -> Path:
        return self.shared / "claims"

    @property
    def probes(self) -> Path:
        """Where `noroshi doctor` has the nodes make their files, and remove them."""
        return self.shared / "doctor"

    @property
    def backup(self) -> Path:
        """Where `noroshi backup` writes unless told otherwise; in its directory, beside the coordinator's own backups,
        of which the newest sound one is what a lost database is begun from."""
        return self.shared / "backup" / "noroshi.db"

    @property
    def cluster(self) -> Path:
        return self.shared / "cluster.yaml"

    @property
    def definitions(self) -> Path:
        return self.shared / "definitions.yaml"


def _written(path: Path) -> int:
    """0 of one that somebody has just removed."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


def _stamp(path: Path) -> str:
    return path.name.removesuffix("-wal").rpartition("-")[2]
