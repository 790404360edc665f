"""How long to wait before trying again: doubles from `first` to `most`, in seconds."""

from __future__ import annotations


class Backoff:
    """Without a random part: who uses it has at most one peer to talk to."""

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most = first, most
        self._pause = first

    def next(self) -> float:
        """The pause after one more failure."""
        pause = self._pause
        self._pause = min(self._pause * 2, self._most)
        return pause

    def reset(self) -> float:
        """It went well: the pause before a next try is the first one again."""
        self._pause = self._first
        return self._first
