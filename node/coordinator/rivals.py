"""The leader's look at the claims on the shared disk: who hears more, and who runs though nobody hears it.

Rules: nothing is read while this node hears every other one: nobody can then hear more than it.
"""

from __future__ import annotations

from noroshi.node.coordinator.watchdog import Watchdog
from noroshi.node.core.claims import Claims, Found, hears
from noroshi.node.wire.messages import Views
from noroshi.store.claims import read_claims
from noroshi.store.config import Cluster
from noroshi.store.layout import Layout


class Rivals:
    """The shell around `core.claims` on the leader's side."""

    def __init__(self, layout: Layout, cluster: Cluster, own: str, watchdog: Watchdog) -> None:
        self._layout, self._names, self._own, self._watchdog = layout, cluster.names, own, watchdog
        self._claims = Claims(own, cluster.heartbeat.down_time)
        self.alive: frozenset[str] = frozenset()
        """The nodes whose claims move."""

    def look(self, views: Views, now: float) -> tuple[int, Found] | None:
        """Each period: how many nodes are heard here, and the claim to give way to. Raises DiskFailed."""
        heard = hears(views, self._own, self._names)
        if heard >= len(self._names) - 1:
            self.alive = frozenset()
            return None
        with self._watchdog.watch("reading the claims"):
            found = read_claims(self._layout)
        self._claims.look([Found(claim.node, claim.hears, (claim.incarnation, claim.number)) for claim in found], now)
        self.alive = self._claims.alive(now)
        stronger = self._claims.stronger(heard, now) if views.settled else None
        return None if stronger is None else (heard, stronger)
