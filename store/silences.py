"""Silences as values: what a silence, or the maintenance of a node, keeps from being notified (spec 7).

Role: the one decision, shared by the coordinator, by `explain` and by the preview of a new silence.
Rules: a silence's pattern is one over names: of the event, or of the source of a log line. Maintenance of a node
covers what is about the node and what the node saw. What the coordinator itself declares (nodes, paths, its own role)
counts only as about the nodes named: else maintenance of the node that leads would silence the cluster. A notification
failure is never silenced: it is how everybody learns that telling did not work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from noroshi.store.matching import NamePattern
from noroshi.store.model import FAILURE_EVENT, category_of

DECLARED = frozenset({"server", "path", "coordinator"})
"""Heads of the names whose reporter says nothing of what they are about."""


@dataclass(frozen=True)
class Silence:
    """Exactly one of `pattern` and `node` is not empty; instants in microseconds UTC; `damaged` as in sound.py."""

    id: int
    pattern: str
    node: str
    author: str
    comment: str
    begun_at: int
    until: int
    damaged: str = ""

    @property
    def holder(self) -> str:
        """What stands in notifications.held_by."""
        return f"silence {self.id}"

    def covers_event(self, event: str, seen_by: str) -> bool:
        """Whether this event, seen by that node, is not to be notified."""
        if event == FAILURE_EVENT:
            return False
        if self.pattern:
            return NamePattern(self.pattern).matches(event)
        head = event.partition("/")[0]
        return self.node in nodes_of(event) or (self.node == seen_by and head not in DECLARED)

    def covers_line(self, source: str, node: str) -> bool:
        """Whether lines of this source of that node are not to be notified."""
        return NamePattern(self.pattern).matches(source) if self.pattern else self.node == node

    def __str__(self) -> str:
        what = f"silence {self.id} of {self.author}" if self.pattern else f"maintenance of {self.node}, {self.author}"
        return f"{what}: {self.comment}" if self.comment else what


def nodes_of(event: str) -> tuple[str, ...]:
    """The nodes that a built-in name is about: `server/NODE`, `path/FROM/TO`, `raid/NODE/...`; none for users' own."""
    head, *rest = event.split("/")
    if not rest or category_of(event) == "user":
        return ()
    return tuple(rest[:2]) if head == "path" else (rest[0],)


def covering_event(silences: Iterable[Silence], event: str, seen_by: str) -> Silence | None:
    """The silence that covers an event, the one that lasts longest; None: it is notified."""
    return _longest(one for one in silences if one.covers_event(event, seen_by))


def covering_line(silences: Iterable[Silence], source: str, node: str) -> Silence | None:
    """The silence that covers a line, likewise."""
    return _longest(one for one in silences if one.covers_line(source, node))


def _longest(found: Iterable[Silence]) -> Silence | None:
    return max(found, key=lambda one: (one.until, one.id), default=None)
