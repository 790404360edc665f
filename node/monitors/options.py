"""The options of one monitor, as the node file's reader gives them: complete, checked, of known types.

Rules: the defaults are in `store.config.monitors` alone. A wrong key or type here is a fault of this program: KeyError,
TypeError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Typed access by key."""

    values: Mapping[str, object]

    @property
    def interval(self) -> float:
        """Seconds."""
        return self.number("interval")

    @property
    def root(self) -> Path:
        """The prefix of /proc and /sys."""
        return self.path("root")

    def number(self, key: str) -> float:
        value = self.values[key]
        if not isinstance(value, int | float):
            raise TypeError(f"{key} is no number: {value!r}")
        return float(value)

    def path(self, key: str) -> Path:
        value = self.values[key]
        if not isinstance(value, Path | str):
            raise TypeError(f"{key} is no path: {value!r}")
        return Path(value)

    def text(self, key: str) -> str:
        """A text, empty where the file has none."""
        value = self.values[key]
        if not isinstance(value, str | None):
            raise TypeError(f"{key} is no text: {value!r}")
        return value or ""

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty where the file has none."""
        value = self.values[key]
        if not isinstance(value, tuple | list | None):
            raise TypeError(f"{key} is no list: {value!r}")
        return tuple(str(each) for each in value or ())
