"""The directories in which the rules find files, and what a look at one gives `position.reconcile` to decide on.

Rules: a directory is looked at again when its own time of change moved, when a file in it is not what it was, and
every so often; a look that finds the same names and inode numbers decides nothing. A name that changed hands during
the look makes the look worthless: it is taken again, a few times.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from posixpath import basename

from noroshi.node.logs.directory import Listing, directories_of, fact_of, fact_of_open, list_directory, stat_of
from noroshi.node.logs.follower import Follower
from noroshi.node.logs.globs import Glob
from noroshi.node.logs.position import Fact, Identity
from noroshi.node.logs.rotation import readings

ATTEMPTS = 3
SHARE = 100
"""A directory, or the wildcards, are looked at for at most one part in so many of the time."""
LONGEST = 10.0
"""Seconds of it at most: what took long may have been a disk or a machine that stood still."""

GONE = frozenset({errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ENXIO})
"""What a file says whose mount has ended (FUSE, NFS, a device that was pulled out)."""

Signature = tuple[tuple[str, int], ...]


def pause_after(seconds: float) -> float:
    """How long not to look after a look that took so long."""
    return min(SHARE * seconds, LONGEST)


@dataclass
class Place:
    """One directory and the rules (by number) that find files in it."""

    path: str
    rules: list[int] = field(default_factory=list)
    modified: int = -1
    signature: Signature | None = None
    """The names and inode numbers that mattered at the last look; None: look again."""
    names: dict[str, int] | None = None
    """All of them."""
    not_before: float = 0.0
    resumed: bool = True
    """Whether there was no look yet in this life."""

    def path_of(self, name: str) -> str:
        return self.path.rstrip("/") + "/" + name

    def changed(self) -> bool:
        """Whether the directory itself changed since this was asked last."""
        try:
            modified = stat_of(self.path).st_mtime_ns
        except OSError:
            modified = 0
        changed, self.modified = modified != self.modified, modified
        return changed


@dataclass(frozen=True)
class View:
    """What a directory holds now. `linked` are the files with a name in it; `steady`: nothing moved meanwhile."""

    listing: Listing
    signature: Signature
    facts: tuple[Fact, ...]
    linked: frozenset[Identity]
    steady: bool


class Rules:
    """Which file is whose: the first rule that names it has it."""

    def __init__(self, patterns: Sequence[str], looked_at: Iterable[str]) -> None:
        self.globs = [Glob(pattern) for pattern in patterns]
        self.looked_at = set(looked_at) & set(patterns)
        """Patterns that were looked at before, in this life or an earlier one."""

    def expand(self) -> dict[str, list[int]]:
        """The directories that now matter, each with its rules in order."""
        found: dict[str, list[int]] = {}
        for number, glob in enumerate(self.globs):
            for path in dict.fromkeys(directories_of(glob)):
                found.setdefault(path, []).append(number)
        return found

    def of_name(self, place: Place, name: str) -> int | None:
        """The rule that a file of this name in that directory falls under."""
        return next((number for number in place.rules if self.globs[number].names(name)), None)

    def single(self, place: Place) -> dict[str, bool]:
        """The paths in that directory that are configured by name, and whether each is looked at for the first time."""
        globs = [self.globs[number] for number in place.rules]
        return {glob.pattern: glob.pattern not in self.looked_at for glob in globs if glob.literal}

    def of_path(self, path: str) -> int:
        """The rule that a source falls under. Raises KeyError."""
        for number, glob in enumerate(self.globs):
            if glob.matches(path):
                return number
        raise KeyError(path)

    def has(self, path: str) -> bool:
        """Whether any rule names the source."""
        return any(glob.matches(path) for glob in self.globs)

    def first_look(self, number: int) -> bool:
        return self.globs[number].pattern not in self.looked_at


def view(rules: Rules, place: Place, followers: Sequence[Follower]) -> View | None:
    """Look at a directory; None where there is none. Raises OSError where it may not be read."""
    for _ in range(ATTEMPTS):
        listing = list_directory(place.path)
        if listing is None:
            return None
        found = _view(rules, place, followers, listing)
        if found.steady:
            break
    return found


def differs(rules: Rules, place: Place, followers: Sequence[Follower]) -> bool:
    """Whether a look has to be taken at what may mean something. Raises OSError."""
    listing = list_directory(place.path)
    if listing is None or place.signature is None:
        return True
    if listing.names != place.names and _signature(rules, place, followers, listing) == place.signature:
        place.names = listing.names
    return listing.names != place.names


def _signature(rules: Rules, place: Place, followers: Sequence[Follower], listing: Listing) -> Signature:
    """The names that matter: configured, followed, or named like a rotated one of those; with their inode numbers."""
    wanted = {name for name in listing.names if rules.of_name(place, name) is not None}
    bases = wanted | {basename(path) for path in rules.single(place)}
    bases |= {basename(follower.source) for follower in followers}
    inodes = {follower.identity.inode for follower in followers}
    paths = {basename(follower.path) for follower in followers}
    return tuple(
        (name, inode)
        for name, inode in sorted(listing.names.items())
        if name in wanted or inode in inodes or name in paths or any(base in bases for base, _ in readings(name))
    )


def _view(rules: Rules, place: Place, followers: Sequence[Follower], listing: Listing) -> View:
    names = _signature(rules, place, followers, listing)
    seen = [(inode, _fact(rules, place, name)) for name, inode in names]
    facts = [fact for _, fact in seen if fact is not None]
    linked = frozenset(fact.identity for fact in facts)
    steady = all(inode in (0, fact.inode if fact is not None else 0) for inode, fact in seen)
    for follower in followers:
        fact = None if follower.identity in linked else _open_fact(follower)
        if fact is not None:
            facts.append(fact)
            steady = steady and unnamed(follower)
    return View(listing, names, tuple(facts), linked, steady)


def _open_fact(follower: Follower) -> Fact | None:
    """Of what is open. On a disk that is gone that is of no use any more; its name may lead to it on another mount."""
    if follower.descriptor is None:
        return None
    try:
        return fact_of_open(follower.descriptor, follower.path)
    except OSError as error:
        if error.errno not in GONE:
            raise
        follower.close()
        return None


def unnamed(follower: Follower) -> bool:
    """Whether what is open of it has no name any more. Raises OSError."""
    return follower.descriptor is not None and os.fstat(follower.descriptor).st_nlink == 0


def _fact(rules: Rules, place: Place, name: str) -> Fact | None:
    number = rules.of_name(place, name)
    first = number is not None and rules.first_look(number)
    return fact_of(place.path_of(name), wanted=number is not None, first=first)
