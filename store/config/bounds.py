"""How much is kept, and how long: a bound on size and on age. Whichever is reached first counts."""

from __future__ import annotations

from dataclasses import dataclass

from noroshi.store import kinds
from noroshi.store.validation import Field, Kind, record

MiB = 1024 * 1024
GiB = 1024 * MiB
DAY = 86_400.0


@dataclass(frozen=True)
class Bounds:
    """`size` in bytes, `age` in seconds."""

    size: int
    age: float


SPOOL = Bounds(64 * MiB, 7 * DAY)
"""Of each of a node's spools: as long as a coordinator may be missing with nothing lost."""


def bounds(what: str, default: Bounds, least: int, most: int) -> Kind[Bounds]:
    """`{size: …, age: …}`, sizes from `least` to `most` bytes, ages from a minute to ten years."""
    fields = {
        "size": Field(kinds.size("size", least, most), default.size),
        "age": Field(kinds.duration("age", 60, 3650 * DAY), default.age),
    }
    return record(what, fields, Bounds)
