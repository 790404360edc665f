"""A leader that has the disk but not the network: who shall have the role (design section 3, Leading).

Role: decides over the claims read from the shared disk; the leader's side and the judge's (`alive`).
Rules: `now` is monotonic seconds. A claim is alive when it moved within the patience, as this reader saw it; what is
found at the first look, or at the first after a pause in looking, has not moved. A leader gives way to a claimant that
hears more nodes than itself; at a tie it stays.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noroshi.node.core.membership import PeerState, unpack_view

if TYPE_CHECKING:
    from noroshi.node.wire.messages import Views

STAND_BACK = 3
"""Down times that a leader which gave way lets pass before it tries again."""


@dataclass(frozen=True)
class Found:
    """A claim as read: `stamp` differs each time it was renewed."""

    node: str
    hears: int
    stamp: Hashable


@dataclass
class _Seen:
    found: Found
    moved_at: float


class Claims:
    """`own` is this node, whose own claim does not count; `patience` in seconds, the down time."""

    def __init__(self, own: str, patience: float) -> None:
        self._own, self._patience = own, patience
        self._seen: dict[str, _Seen] = {}
        self._looked_at = -math.inf

    def look(self, found: Iterable[Found], now: float) -> None:
        """What the directory holds now."""
        fresh = now - self._looked_at > self._patience
        before, self._seen, self._looked_at = self._seen, {}, now
        for claim in found:
            if claim.node != self._own:
                self._seen[claim.node] = self._note(before.get(claim.node), claim, fresh, now)

    def _note(self, before: _Seen | None, claim: Found, fresh: bool, now: float) -> _Seen:
        if before is not None and before.found.stamp == claim.stamp:
            return before
        return _Seen(claim, -math.inf if fresh else now)

    def alive(self, now: float) -> frozenset[str]:
        """The nodes whose claims move: they run, whoever hears them."""
        return frozenset(node for node, seen in self._seen.items() if now - seen.moved_at < self._patience)

    def stronger(self, hears: int, now: float) -> Found | None:
        """A living claim of a node that hears more than this one."""
        living = [self._seen[node].found for node in self.alive(now)]
        best = max(living, key=lambda claim: (claim.hears, claim.node), default=None)
        return best if best is not None and best.hears > hears else None


def hears(views: Views, own: str, names: tuple[str, ...]) -> int:
    """How many other nodes `own` hears; 0 where its view is of another roster."""
    for each in views.views:
        if each.node == own and len(each.view) == (len(names) + 3) // 4:
            states = unpack_view(each.view, len(names))
            return sum(s is PeerState.UP and n != own for n, s in zip(names, states, strict=True))
    return 0
