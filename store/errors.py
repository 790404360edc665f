"""The errors an operator can meet, each with its next step.

NoroshiError                what failed, on what, why, what to do
├── ConfigError             a YAML file is wrong; carries every problem found, not only the first
├── RoleTaken               another node holds the coordinator's lock
├── Deposed                 a newer term stands in the lock file: exit, acknowledge nothing
├── DiskFailed              an I/O error on the shared disk, final for this coordinator
│   └── Damaged         the database is: the next leader looks at the whole of it, and begins from the last backup
├── DiskFull                ENOSPC or EDQUOT: keep the role, acknowledge nothing, try again
├── NotKept                 nothing more can be set aside: keep the role, do not acknowledge that one item
├── ReadFailed              the shared reader gave up after its bound
│   └── DamagedRead         and what it read was not a sound database
└── NoDatabase              there is no database in the shared directory yet
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NoroshiError(Exception):
    """`what` failed on `on` because of `why`; `hint` says what to do. str() is one line for a log or a terminal."""

    def __init__(self, what: str, *, on: str = "", why: str = "", hint: str = "") -> None:
        self.what, self.on, self.why, self.hint = what, on, why, hint
        super().__init__(self._line())

    def _line(self) -> str:
        line = self.what + (f" {self.on}" if self.on else "") + (f": {self.why}" if self.why else "")
        return line + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file; line and column count from 1, 0 where there is none."""

    file: Path
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(NoroshiError):
    """Every problem of a file at once; str() is one problem a line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class RoleTaken(NoroshiError):
    """Another node holds the coordinator's lock."""


class Deposed(NoroshiError):
    """A newer term stands in the lock file; nothing may be acknowledged any more."""


class DiskFailed(NoroshiError):
    """An I/O error on the shared disk; final for this coordinator, never retried."""


class Damaged(DiskFailed):
    """The database is damaged, as far as this coordinator can see; final for it, and for its successor to judge."""


class DiskFull(NoroshiError):
    """The shared disk is full (ENOSPC, EDQUOT); the role is kept and the work tried again later."""


class NotKept(NoroshiError):
    """`aside/` is full or cannot be written: the item stays where it is; its line is the same for each of them."""


class ReadFailed(NoroshiError):
    """No consistent reading within the bound."""


class DamagedRead(ReadFailed):
    """Of a state that did not change meanwhile, the database could not be read for what is in it."""


class NoDatabase(NoroshiError):
    """There is no database in the shared directory yet."""
