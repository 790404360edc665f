"""What an import of definitions changes: decided once, shown by `diff`, a dry run and the import alike.

A definition the file lacks is kept unless the import prunes, for a file is often a part of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from noroshi.store.definitions import describe_change
from noroshi.store.model import Definition


@dataclass(frozen=True)
class Change:
    """`old` None: added; `new` None: removed. Versions play no part in the comparison."""

    name: str
    old: Definition | None
    new: Definition | None


def between(current: Iterable[Definition], imported: Iterable[Definition], *, prune: bool) -> list[Change]:
    """Added, changed and (when pruning) removed definitions, by name."""
    old = {definition.name: msgspec.structs.replace(definition, version=0) for definition in current}
    new = {definition.name: msgspec.structs.replace(definition, version=0) for definition in imported}
    names = sorted(old.keys() | new.keys() if prune else new.keys())
    return [Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def describe(changes: Iterable[Change]) -> list[str]:
    """For people: one entry or a few lines a change."""
    return [describe_change(change.old, change.new) for change in changes]
