"""The incarnations of each source, and which of them is to be read next.

Rules: a later incarnation is read only when all of the earlier is acknowledged, and after the earlier was looked at
once more: a writer that has begun the new file is done with the old one. A rotated file's last line is complete, with
its newline or without, once it has not grown for `partial` seconds, and so is its last record.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from posixpath import dirname

from noroshi.node.logs.follower import Follower


class Chains:
    """Followers by source, the oldest incarnation first."""

    def __init__(self, partial: float) -> None:
        self._chains: dict[str, list[Follower]] = {}
        self._partial = partial

    def __iter__(self) -> Iterator[Follower]:
        for chain in self._chains.values():
            yield from chain

    def __len__(self) -> int:
        return sum(map(len, self._chains.values()))

    def add(self, follower: Follower) -> None:
        self._chains.setdefault(follower.source, []).append(follower)

    def has(self, source: str) -> bool:
        """Whether any incarnation of the source is followed."""
        return source in self._chains

    def remove(self, follower: Follower) -> None:
        chain = self._chains[follower.source]
        chain.remove(follower)
        if not chain:
            del self._chains[follower.source]

    def of(self, source: str) -> list[Follower]:
        """The incarnations of one source."""
        return list(self._chains.get(source, ()))

    def by_directory(self) -> dict[str, list[Follower]]:
        """Those not ended by the directory their file was last seen in, in the order they were born."""
        found: dict[str, list[Follower]] = {}
        for follower in sorted(self, key=lambda follower: follower.born):
            if not follower.ended:
                found.setdefault(dirname(follower.path), []).append(follower)
        return found

    def readers(self, active: Iterable[Follower], now: float) -> Iterator[Follower]:
        """Of each source with something to do, the incarnation to be read now."""
        for source in dict.fromkeys(follower.source for follower in active):
            reader = self._reader(self._chains.get(source, []), now)
            if reader is not None:
                yield reader

    def completes(self, follower: Follower, now: float) -> bool:
        """Whether the last line counts as complete although it has no newline."""
        still = now - follower.grown_at >= self._partial
        return still and follower.partial and follower.rotated and not (follower.has_more or follower.unpacking)

    def _reader(self, chain: list[Follower], now: float) -> Follower | None:
        for place, follower in enumerate(chain):
            if follower.has_more or follower.record_due(now) or self.completes(follower, now):
                return _grown(chain[:place], now) or follower
            if follower.out.pending or follower.unpacking or (follower.partial and follower.rotated):
                return None
        return None


def _grown(earlier: list[Follower], now: float) -> Follower | None:
    """One of the earlier incarnations that was written since it was looked at last."""
    for follower in earlier:
        with contextlib.suppress(OSError):  # told where it is looked at; it must not keep the others from being read
            seen = None if follower.descriptor is None else os.fstat(follower.descriptor)
            if seen is not None and follower.saw(seen, now) and follower.has_more:
                return follower
    return None
