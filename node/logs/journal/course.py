"""Where reading stands in the journal, and which `journalctl` says the next of it. Pure: no I/O, no clock.

Phases: TAIL finds the newest entry, where a rule that is new begins. CHECK looks whether the entry that was read last
is still there; where nothing is at it or after it, ANY looks whether there is a journal at all. READ reads all there is
now, of earlier boots too, which `--follow` leaves out; FOLLOW goes on from there and waits for what is written.
Rules: both begin *at* the last entry and leaves it out, for `--after-cursor` skips an entry unseen where that one is
gone. Gone means that the journal was vacuumed past it: a gap, and on from the oldest there is. `""` is the cursor
before the first entry. A journal that had an entry and has none now may not be mounted yet: that is a failure, no gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What is asked of the journal now."""

    TAIL = "tail"
    CHECK = "check"
    ANY = "any"
    READ = "read"
    FOLLOW = "follow"


class Verdict(Enum):
    """What an entry or an end means."""

    SKIP = "nothing to take"
    TAKE = "a new entry"
    GAP = "what was read last is gone, and perhaps more"
    STEP = "on to the next phase"
    FAILED = "the same again, later"


_NEXT = {Phase.TAIL: Phase.READ, Phase.CHECK: Phase.ANY, Phase.READ: Phase.FOLLOW}
"""What follows on one that ended well."""


@dataclass
class Course:
    """`cursor`: of the last entry read, None before the first look; `inclusive`: that entry is still to be read."""

    cursor: str | None
    inclusive: bool = False
    phase: Phase = Phase.TAIL
    _seen: str | None = None

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again where reading stands."""
        self._seen = None
        if self.cursor is None:
            self.phase = Phase.TAIL
        else:
            self.phase = Phase.CHECK if self.cursor and not self.inclusive else Phase.READ

    @property
    def arguments(self) -> list[str]:
        """For journalctl. CHECK wants the first line only."""
        at = [f"--cursor={self.cursor}"] if self.cursor else []
        if self.phase is Phase.FOLLOW:
            return ["--follow", "--no-tail", *at]
        return ["--lines=1"] if self.phase in (Phase.TAIL, Phase.ANY) else at

    def entry(self, cursor: str) -> Verdict:
        """An entry was printed. After STEP and GAP this journalctl is done with."""
        if self.phase is Phase.CHECK:
            return self._checked(cursor)
        if self.phase is Phase.ANY:
            return self._checked("")
        first, self._seen = self._seen is None, cursor
        if self.phase is Phase.TAIL or (first and cursor == self.cursor and not self.inclusive):
            return Verdict.SKIP
        self.cursor, self.inclusive = cursor, False
        return Verdict.TAKE

    def ended(self, *, well: bool) -> Verdict:
        """It ended by itself; `well`: it found a journal and all it was asked for."""
        if self.phase in (Phase.FOLLOW, Phase.ANY) or not well:
            self.restart()
            return Verdict.FAILED
        if self.phase is Phase.TAIL:
            self.cursor = self._seen or ""
        self.phase, self._seen = _NEXT[self.phase], None
        return Verdict.STEP

    def _checked(self, found: str) -> Verdict:
        """The first entry at the cursor or after it; none: what there is has no order with it, and is read whole."""
        self.phase, self._seen = Phase.READ, None
        if found == self.cursor:
            return Verdict.STEP
        self.cursor, self.inclusive = found, bool(found)
        return Verdict.GAP
