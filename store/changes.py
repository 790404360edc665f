"""What an import of definitions changes: decided once, shown by `diff`, a dry run and the import alike.

A definition the file lacks is kept unless the import prunes, for a file is often a part of the whole. Whoever changes
names the versions they saw; what was changed by somebody else since is a conflict, told with both changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from noroshi.store.clock import to_iso
from noroshi.store.definitions import describe_change
from noroshi.store.model import Definition
from noroshi.store.tables.definitions import VersionRow


@dataclass(frozen=True)
class Change:
    """`old` None: added; `new` None: removed. Versions play no part in the comparison."""

    name: str
    old: Definition | None
    new: Definition | None


def between(current: Iterable[Definition], imported: Iterable[Definition], *, prune: bool) -> list[Change]:
    """Added, changed and (when pruning) removed definitions, by name."""
    old = {definition.name: unversioned(definition) for definition in current}
    new = {definition.name: unversioned(definition) for definition in imported}
    names = sorted(old.keys() | new.keys() if prune else new.keys())
    return [Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def unversioned(definition: Definition) -> Definition:
    """As a file has it."""
    return msgspec.structs.replace(definition, version=0)


def describe(changes: Iterable[Change]) -> list[str]:
    """For people: one entry or a few lines a change."""
    return [describe_change(change.old, change.new) for change in changes]


def conflicts(changed: Iterable[Change], seen: Mapping[str, int], history: Iterable[VersionRow]) -> list[str]:
    """What others changed after the versions `seen` (0: there was none), each with their change and the one refused.

    `history` are the versions of at least the changed names, oldest first.
    """
    rows: dict[str, list[VersionRow]] = {}
    for row in history:
        rows.setdefault(row.name, []).append(row)
    return [
        line
        for change in changed
        if (made := rows.get(change.name)) and made[-1].version != seen.get(change.name, 0)
        for line in _conflict(change, seen.get(change.name, 0), made)
    ]


_SEEN = re.compile(r"^# versions:((?: [^\s=]+=[0-9]{1,9})*)[ \r]*$", re.MULTILINE)


def seen_line(seen: Mapping[str, int]) -> str:
    """The comment that lets an edited export name the versions it began with."""
    return "# versions:" + "".join(f" {name}={version}" for name, version in sorted(seen.items()))


def seen_in(text: str) -> dict[str, int] | None:
    """The inverse: what a file says it has seen; None where it says nothing."""
    found = _SEEN.search(text)
    if found is None:
        return None
    pairs = (word.rpartition("=") for word in found[1].split())
    return {name: int(version) for name, _, version in pairs}


def _conflict(refused: Change, seen: int, made: list[VersionRow]) -> Iterator[str]:
    base = next((row.definition for row in made if row.version == seen), None)
    last = made[-1]
    was = f"version {seen}" if seen else "no version"
    there = f"version {last.version} of {last.author} at {to_iso(last.created_at)}"
    yield f"{refused.name}: {was} was seen, {there} is there"
    yield f"  theirs: {_told(base, last.definition)}"
    yield f"  yours, on top of it: {_told(last.definition, refused.new)}"


def _told(old: Definition | None, new: Definition | None) -> str:
    told = describe_change(old and unversioned(old), new and unversioned(new))
    return told.replace("\n", "; ") or "no change"


@dataclass(frozen=True)
class Logged:
    """One version for people: `lines` say what it changed in the one before it."""

    name: str
    version: int
    author: str
    created_at: int
    note: str
    lines: tuple[str, ...]


def log(history: Iterable[VersionRow]) -> list[Logged]:
    """Who changed what, when; `history` as `tables.definitions.versions` gives it."""
    last: dict[str, Definition | None] = {}
    logged = []
    for row in history:
        new = row.definition and unversioned(row.definition)
        told = describe_change(last.get(row.name), new).splitlines()
        note = "; ".join(filter(None, (row.note, row.damaged and f"DAMAGED ROW: {row.damaged}")))
        logged.append(Logged(row.name, row.version, row.author, row.created_at, note, tuple(told)))
        last[row.name] = new
    return logged


def strangers(definition: Definition, members: Iterable[str]) -> list[str]:
    """The nodes a definition names that are not in the cluster, each once."""
    known = set(members)
    named = [one.node for one in definition.notify if one.node is not None]
    if "*" not in definition.node:
        named.append(definition.node)
    return [node for node in dict.fromkeys(named) if node not in known]
