"""Before leading: tries the lock, and where it is held by a leader that nobody here hears, claims the role.

Rules: with `coordinator: automatic` the candidate goes on until it leads, or its daemon hears a leader, or the link
ends. With `external` it tries once: who leads is the cluster manager's to say. A leader that gave way tries again only
after `stand_back` seconds, and claims meanwhile: so it is known to run.
"""

from __future__ import annotations

import logging
import select
import time
from contextlib import suppress

from noroshi.node.coordinator.link import Link
from noroshi.node.coordinator.watchdog import Watchdog, limit_for
from noroshi.node.core.claims import hears
from noroshi.node.wire.messages import Beat, Busy, Views
from noroshi.store.claims import ClaimFile
from noroshi.store.config import Cluster
from noroshi.store.damage import work
from noroshi.store.errors import Damaged, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.writer import Identity, Writer, lead

log = logging.getLogger(__name__)


class Candidate:
    """`win` once. Raises LinkClosed, DiskFailed, DiskFull."""

    def __init__(
        self, layout: Layout, cluster: Cluster, identity: Identity, link: Link, watchdog: Watchdog, stand_back: float
    ) -> None:
        self._layout, self._cluster, self._identity = layout, cluster, identity
        self._link, self._watchdog = link, watchdog
        self._claim = ClaimFile(layout, identity.node, identity.incarnation)
        self._not_before = time.monotonic() + stand_back
        self._hears = 0
        self._leader_term = 0
        self._taken = ""
        self._damage = False

    def win(self) -> Writer | None:
        """The role; None where another leads, and is heard or (external) is not ours to question."""
        try:
            while True:
                writer = self._try()
                if writer is not None or self._cluster.coordinator == "external":
                    return writer
                self._listen(self._cluster.heartbeat.interval)
                if self._leader_term:
                    log.info("a leader of term %d is heard: no candidate any more", self._leader_term)
                    return None
                with self._watchdog.watch("claiming the role"):
                    self._claim.renew(self._hears)
        finally:
            self._claim.withdraw()

    def _try(self) -> Writer | None:
        if time.monotonic() < self._not_before:
            return None
        with self._watchdog.watch("looking at the shared directory"):
            limit = limit_for(_size(self._layout))
        self._link.send(Busy(limit))
        try:
            with self._watchdog.watch("taking over", limit):
                return lead(self._layout, self._identity)
        except Damaged as error:
            if self._damage:
                raise
            self._damage = True
            log.error("%s", error)
            return self._try()  # which begins anew
        except RoleTaken as error:
            if str(error) != self._taken:
                self._taken = str(error)
                log.info("%s", error)
            return None

    def _listen(self, seconds: float) -> None:
        """Answer the daemon and learn what it hears, for a period."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._link], [], [], left)[0]:
                return
            for message in self._link.receive():
                match message:
                    case Beat():
                        self._link.send(message)
                    case Views():
                        self._hears = hears(message, self._identity.node, self._cluster.names)
                        self._leader_term = message.leader_term


def _size(layout: Layout) -> int:
    """Bytes a take-over has to read or copy; the take-over itself meets what is wrong with them."""
    size = 0
    with suppress(OSError):
        size += layout.wal.stat().st_size
    with suppress(OSError):
        size += work(layout)
    return size
