"""Reads what the files of a roster have, block by block, and says which of them have something to send.

Rules: each source gets one block in its turn, so that none waits for another; what waits to be sent is bounded over
all. Without a leader only what is deferred is read: the files are the spool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from noroshi.node.logs.follower import Follower, Replaced, shown
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.roster import Roster

BUDGET = 8 * 1024 * 1024
"""Bytes of lines that may wait to be sent, over all files."""


class Reader:
    """`counts` is shared with the monitor; `deferred`: whether any rule is."""

    def __init__(self, roster: Roster, deferred: bool, counts: Counter[str], reports: Reports) -> None:
        self._roster, self._deferred, self._counts, self._reports = roster, deferred, counts, reports

    def read(self, now: float, now_us: int, *, leader: bool) -> bool:
        """Read one block of each source that has something; False where nothing was read."""
        if not leader and not self._deferred:
            return False
        active, read = self._roster.active, False
        room = BUDGET - sum(prepared.weight for follower in active for prepared in follower.pending)
        for follower in list(self._roster.chains.readers(active, now)):
            if room > 0 and follower.room and now >= follower.not_before and (leader or follower.deferred):
                before = self._counts["bytes"]
                read = self._read(follower, now, now_us) or read
                room -= self._counts["bytes"] - before
        return read

    def sendable(self, now: float, *, deferred: bool) -> Iterator[Follower]:
        """Those with a part that may be sent now."""
        active = self._roster.active
        return (follower for follower in active if follower.deferred == deferred and follower.may_send(now))

    def _read(self, follower: Follower, now: float, now_us: int) -> bool:
        if not self._open(follower, now):
            return False
        try:
            whole, closed = self._roster.chains.completes(follower, now), follower.record_due(now)
            follower.read(now_us, whole=whole, closed=closed)
        except Replaced:
            self._roster.suspect(follower)
            return False
        except OSError as error:
            self._roster.unreadable(follower, error, now)
            return False
        self._roster.moved = True
        self._roster.unsaved = self._roster.unsaved or not follower.durable
        for event in follower.selection.ran_out:
            self._reports.ran_out(shown(follower.source), event)
        follower.selection.ran_out.clear()
        return True

    def _open(self, follower: Follower, now: float) -> bool:
        if not self._roster.open(follower, now):
            self._roster.suspect(follower)
            return False
        return follower.descriptor is not None
