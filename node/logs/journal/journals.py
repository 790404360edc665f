"""All journal rules of a node: each read by itself, in turn, so that none waits for another.

Rules: a rule whose place on the disk cannot be had is not read, for it would be read twice; it is told, tried again,
and stops no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import zmq

from noroshi.node.logs.journal.backlog import Backlog
from noroshi.node.logs.journal.reading import Journal
from noroshi.node.logs.journal.saved import files, load
from noroshi.node.logs.messages import JournalRule
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.selection import Selection

RETRY = 2.0
"""Seconds until a place that could not be had is tried again."""


class Journals:
    """`select` makes the selection of a rule; what is read is registered with `poller`."""

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
        self._rules, self._directory, self._select = rules, directory, select
        self._counts, self._reports = counts, reports
        self._opened: dict[int, Journal] = {}
        self._open_due = 0.0

    @property
    def _journals(self) -> Iterable[Journal]:
        return self._opened.values()

    def turn(self, now: float, now_us: int, *, leader: bool) -> bool:
        """A turn of each; whether one may have more at once."""
        if self._unopened and now >= self._open_due:
            self._open(now)
        more = [journal.turn(now, now_us, leader=leader) for journal in self._journals]
        return any(more)

    @property
    def _unopened(self) -> bool:
        return len(self._opened) < len(self._rules)

    def _open(self, now: float) -> None:
        self._open_due = now + RETRY
        try:
            paths = files(self._directory, self._rules)
        except OSError as error:
            self._reports.journal_unkept(error)
            return
        for number, path in enumerate(paths):
            if number not in self._opened:
                self._open_one(number, path)
        if not self._unopened:
            self._reports.journal_kept()

    def _open_one(self, number: int, path: Path) -> None:
        rule = self._rules[number]
        try:
            place = load(path)
        except OSError as error:
            self._reports.journal_unkept(error)
            return
        earlier = _same_journal(self._rules[:number], rule)
        self._opened[number] = Journal(rule, earlier, place, self._select(rule), self._counts, self._reports)

    def watch(self, now: float, *, leader: bool) -> float:
        """Let the poller wake for what is wanted of the children; when to wake without it."""
        wanted = {j.child.fileno() for j in self._journals if j.child is not None and j.wanted(leader=leader)}
        for gone in self._polled - wanted:
            self._poller.unregister(gone)
        for new in wanted - self._polled:
            self._poller.register(new, zmq.POLLIN)
        self._polled = wanted
        due = min((journal.due(now, leader=leader) for journal in self._journals), default=float("inf"))
        return min(due, self._open_due) if self._unopened else due

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
