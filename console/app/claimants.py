"""Nodes that run and do not hear the coordinator which holds the role: their claims move (design section 3); pure.

Rules: `now` is monotonic seconds. A claim says nothing by being there, for the node that wrote it may be dead; one that
has moved for a while says that the coordinator's host hangs, or is cut off. A take-over is over before that.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

LASTING = 5.0
"""Seconds for which a claim moves before it is told of."""

PATIENCE = 15.0
"""Seconds without a move after which a claim is dead."""


@dataclass(frozen=True)
class _Seen:
    stamp: Hashable
    since: float | None = None
    moved_at: float = 0.0


class Claimants:
    """Looked at again and again; what is found at the first look has not moved."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def look(self, found: Mapping[str, Hashable], now: float) -> tuple[str, ...]:
        """`found`: what each node's claim says now. The nodes that have claimed the role for a while, by name."""
        self._seen = {node: self._note(node, stamp, now) for node, stamp in found.items()}
        return tuple(sorted(node for node, seen in self._seen.items() if _is_lasting(seen, now)))

    def _note(self, node: str, stamp: Hashable, now: float) -> _Seen:
        before = self._seen.get(node)
        if before is None:
            return _Seen(stamp)
        if before.stamp != stamp:
            since = before.since if _is_alive(before, now) else now
            return _Seen(stamp, since, now)
        return before if _is_alive(before, now) else replace(before, since=None)


def _is_alive(seen: _Seen, now: float) -> bool:
    return seen.since is not None and now - seen.moved_at < PATIENCE


def _is_lasting(seen: _Seen, now: float) -> bool:
    return seen.since is not None and _is_alive(seen, now) and now - seen.since >= LASTING
