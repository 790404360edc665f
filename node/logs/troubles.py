"""What the log monitor tells about itself as the state of `monitor/NODE/logs`, without I/O.

Rules: a *standing* trouble (a file that cannot be read) lasts until it is cleared; a *passing* one (bytes that were
lost) is a fact, and counts as over after a while. The same trouble is told once, and again with new words at most once
in REPEAT seconds. When one ends the worst of the others is told, or OK.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from noroshi.node.logs.messages import Raise

REPEAT = 60.0
PASSING = 600.0

State = Literal["WARNING", "ERROR"]


@dataclass
class _Trouble:
    state: State
    words: str
    until: float | None
    told_at: float = -math.inf
    told: bool = False


class Troubles:
    """Each method returns the events to raise now. `now` is monotonic seconds."""

    def __init__(self, *, unsure: bool = False) -> None:
        """`unsure`: what was told last is not known, so the first `settle` without a trouble tells OK."""
        self._troubles: dict[str, _Trouble] = {}
        self._told: tuple[str, str] = ("", "") if unsure else ("OK", "")

    @property
    def any(self) -> bool:
        """Whether something is wrong."""
        return bool(self._troubles)

    def stands(self, key: str, state: State, words: str, now: float) -> list[Raise]:
        """Something is wrong until `clear(key)`."""
        return self._add(key, _Trouble(state, words, None), now)

    def passes(self, key: str, state: State, words: str, now: float) -> list[Raise]:
        """Something went wrong."""
        return self._add(key, _Trouble(state, words, now + PASSING), now)

    def clear(self, key: str) -> list[Raise]:
        """The trouble `key`, if there was one, is over."""
        return self.settle() if self._troubles.pop(key, None) is not None else []

    def tick(self, now: float) -> list[Raise]:
        """Tell what was put off; facts that are old enough count as over."""
        over = [key for key, trouble in self._troubles.items() if trouble.until is not None and trouble.until <= now]
        put_off = [
            trouble for trouble in self._troubles.values() if not trouble.told and now >= trouble.told_at + REPEAT
        ]
        told = [event for trouble in put_off for event in self._tell_trouble(trouble, now)]
        for key in over:
            del self._troubles[key]
        return told + (self.settle() if over or told else [])

    def settle(self) -> list[Raise]:
        """Tell the worst trouble that is left, or OK."""
        worst = max(
            self._troubles.values(), key=lambda trouble: (trouble.state == "ERROR", trouble.told_at), default=None
        )
        return self._tell("OK", "") if worst is None else self._tell(worst.state, worst.words)

    def _add(self, key: str, trouble: _Trouble, now: float) -> list[Raise]:
        before = self._troubles.get(key)
        self._troubles[key] = trouble
        if before is not None and before.state == trouble.state and now - before.told_at < REPEAT:
            trouble.told_at, trouble.told = before.told_at, before.told and before.words == trouble.words
            return []
        return self._tell_trouble(trouble, now) + self.settle()

    def _tell_trouble(self, trouble: _Trouble, now: float) -> list[Raise]:
        trouble.told_at, trouble.told = now, True
        return self._tell(trouble.state, trouble.words)

    def _tell(self, state: Literal["OK", "WARNING", "ERROR"], words: str) -> list[Raise]:
        if (state, words) == self._told:
            return []
        self._told = (state, words)
        return [Raise(state, words)]
