"""Reads what the files of a roster have, block by block, and says which of them have something to send.

Rules: each source gets one block in its turn, so that none waits for another; what waits to be sent is bounded over
all. Without a leader only what is deferred is read: the files are the spool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from noroshi.node.logs.follower import Follower, Replaced, shown
from noroshi.node.logs.outgoing import Outgoing
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
        room = BUDGET - sum(follower.out.weight for follower in active)
        for follower in list(self._roster.chains.readers(active, now)):
            if room > 0 and _may_read(follower.out, now, leader=leader):
                before = self._counts["bytes"]
                read = self._read(follower, now, now_us) or read
                room -= self._counts["bytes"] - before
        return read

    def sendable(self, now: float, *, deferred: bool) -> Iterator[Outgoing]:
        """Those with a part that may be sent now."""
        streams = (follower.out for follower in self._roster.active)
        return (stream for stream in streams if stream.deferred == deferred and stream.may_send(now))

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
        self._roster.unsaved = self._roster.unsaved or not follower.out.durable
        for event in follower.selection.ran_out:
            self._reports.ran_out(shown(follower.source), event)
        follower.selection.ran_out.clear()
        self._reports.misread(shown(follower.source), follower.misread)
        return True

    def _open(self, follower: Follower, now: float) -> bool:
        if not self._roster.open(follower, now):
            self._roster.suspect(follower)
            return False
        return follower.descriptor is not None


def _may_read(out: Outgoing, now: float, *, leader: bool) -> bool:
    return out.room and now >= out.not_before and (leader or out.deferred)
