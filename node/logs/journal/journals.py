"""All journal rules of a node: each read by itself, in turn, so that none waits for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zmq

from noroshi.node.logs.journal.backlog import Backlog
from noroshi.node.logs.journal.reading import Journal
from noroshi.node.logs.journal.saved import places
from noroshi.node.logs.messages import JournalRule
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.selection import Selection


class Journals:
    """`select` makes the selection of a rule; what is read is registered with `poller`. Raises OSError."""

    def __init__(
        self,
        rules: Sequence[JournalRule],
        directory: Path,
        select: Callable[[JournalRule], Selection],
        poller: zmq.Poller,
        counts: Counter[str],
        reports: Reports,
    ) -> None:
        self._poller = poller
        self._polled: set[int] = set()
        kept = places(directory, rules) if rules else []
        self._journals = [
            Journal(rule, _same_journal(rules[:number], rule), place, select(rule), counts, reports)
            for number, (rule, place) in enumerate(zip(rules, kept, strict=True))
        ]

    def turn(self, now: float, now_us: int, *, leader: bool) -> bool:
        """A turn of each; whether one may have more at once."""
        more = [journal.turn(now, now_us, leader=leader) for journal in self._journals]
        return any(more)

    def watch(self, now: float, *, leader: bool) -> float:
        """Let the poller wake for what is wanted of the children; when to wake without it."""
        wanted = {j.child.fileno() for j in self._journals if j.child is not None and j.wanted(leader=leader)}
        for gone in self._polled - wanted:
            self._poller.unregister(gone)
        for new in wanted - self._polled:
            self._poller.register(new, zmq.POLLIN)
        self._polled = wanted
        return min((journal.due(now, leader=leader) for journal in self._journals), default=float("inf"))

    def sendable(self, now: float, *, deferred: bool) -> Iterator[Backlog]:
        """Those with a part that may be sent now."""
        backlogs = [journal.backlog for journal in self._journals]
        return (backlog for backlog in backlogs if backlog.deferred == deferred and backlog.may_send(now))

    def close(self) -> None:
        """End what runs and keep where each stands."""
        for journal in self._journals:
            journal.close()


def _same_journal(rules: Sequence[JournalRule], rule: JournalRule) -> list[JournalRule]:
    return [other for other in rules if other.command == rule.command]
