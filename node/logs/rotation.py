"""What the name of a rotated file says, without I/O.

Role: tells that `app.log.2` was `app.log`, and that `app.log.1` was so later.
Rules: a rotated name is the file's own with a counter (`app.log.1`, `app.1.log`), a date (`app.log-20261122`,
`app-2026-11-22.log`) or `old` put in. A compressed file is none: it is read
only where `archives` finishes in it what was compressed too soon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

_LAST = re.compile(r"(?P<base>.+)[.-](?P<mark>\d[\d._T:-]*|old)\Z")
_DATED_LAST = re.compile(r"(?P<base>.+?)[.-](?P<mark>\d{4}-?\d{2}-?\d{2}[\d._T:-]*)\Z")
_BEFORE_EXTENSION = re.compile(r"(?P<stem>.+?)[.-](?P<mark>\d[\d._T:-]*|old)(?P<extension>\.[A-Za-z]\w*)\Z")
_COUNTER = re.compile(r"\d{1,3}\Z")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzo", ".Z", ".zip")


@dataclass(frozen=True)
class Mark:
    """The part of a name that rotation put in. Marks of one kind say which file is the older one."""

    kind: Literal["counter", "date", "old"]
    text: str

    def older_than(self, other: Mark) -> bool | None:
        """None: the names do not say."""
        if self.kind != other.kind or self.text == other.text:
            return None
        if self.kind == "counter":
            return int(self.text) > int(other.text)
        return self.text < other.text


def unpacked(name: str) -> str:
    """What a compressed file was called before it was compressed."""
    return name.removesuffix(next((suffix for suffix in _COMPRESSED if name.endswith(suffix)), ""))


def compressed(name: str) -> bool:
    """Whether the name is that of a compressed file."""
    return name.endswith(_COMPRESSED)


@lru_cache(maxsize=16384)
def readings(name: str) -> tuple[tuple[str, Mark], ...]:
    """The names that `name` may have had before rotation, each with the mark that would have been put in."""
    if compressed(name):
        return ()
    found: dict[str, Mark] = {}
    for pattern in (_LAST, _DATED_LAST, _BEFORE_EXTENSION):
        match = pattern.match(name)
        if match is not None:
            parts = match.groupdict()
            base = parts.get("base") or parts["stem"] + parts["extension"]
            found.setdefault(base, _mark(parts["mark"]))
    return tuple(found.items())


def mark_of(base: str, name: str) -> Mark | None:
    """The mark that made `name` out of `base`; None where it is no rotated name of it."""
    return dict(readings(name)).get(base)


def _mark(text: str) -> Mark:
    if text == "old":
        return Mark("old", text)
    return Mark("counter" if _COUNTER.match(text) else "date", text)
