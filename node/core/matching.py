"""S1: which definitions match an event or a log line, fast enough for thousands of definitions (spec 4.1).

Role: `match_event` and `match_line` say it definition by definition; `Matcher` says the same for one set of
definitions with an index in front and an answer remembered for each name seen.
Rules: the answer keeps the order of the definitions given. A user's pattern is never run here: the caller passes
`search`, which is bounded elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from noroshi.store.matching import NamePattern
from noroshi.store.model import Definition

Search = Callable[[str, str], bool]
"""Whether `pattern` is found in `line`: re.search with a bound. Called with a pattern that is not empty."""

REMEMBERED = 8192
"""Answers kept for event names and, apart from them, for log sources; the least recently used go first."""


def match_event(definitions: Iterable[Definition], event: str, state: str) -> tuple[Definition, ...]:
    """Those of kind event whose name pattern and state fit."""
    return tuple(
        one
        for one in definitions
        if one.kind == "event" and (not one.state or state in one.state) and NamePattern(one.event).matches(event)
    )


def match_source(definitions: Iterable[Definition], node: str, source: str) -> tuple[Definition, ...]:
    """Those of kind log whose node and source patterns fit; their line patterns are still to be tried."""
    return tuple(
        one
        for one in definitions
        if one.kind == "log" and NamePattern(one.node).matches(node) and NamePattern(one.source).matches(source)
    )


def match_line(
    definitions: Iterable[Definition], node: str, source: str, line: str, search: Search
) -> tuple[Definition, ...]:
    """Those of kind log that fit node, source and line."""
    return tuple(one for one in match_source(definitions, node, source) if not one.pattern or search(one.pattern, line))


class Matcher:
    """The same answers for one fixed set of definitions; make a new one when they change."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self._definitions = tuple(definitions)
        self._logs = tuple(one for one in self._definitions if one.kind == "log")
        self._ends: dict[str, dict[str, list[int]]] = {}
        """Places of the event definitions by the whole segments their pattern begins with, then ends with."""
        self._depth = 0
        """Segments; no such beginning or end is longer, so a name is cut no further."""
        for place, one in enumerate(self._definitions):
            if one.kind == "event":
                self._add(place, one.event)
        self.event = lru_cache(REMEMBERED)(self._event)
        """event(event, state) -> definitions, as match_event."""
        self.source = lru_cache(REMEMBERED)(self._source)
        """source(node, source) -> definitions, as match_source."""

    def line(self, node: str, source: str, line: str, search: Search) -> tuple[Definition, ...]:
        """As match_line."""
        return tuple(one for one in self.source(node, source) if not one.pattern or search(one.pattern, line))

    def _add(self, place: int, pattern: str) -> None:
        head, tail = _literal_ends(pattern)
        self._ends.setdefault(head, {}).setdefault(tail, []).append(place)
        if "*" in pattern:
            self._depth = max(self._depth, head.count("/") + 1, tail.count("/") + 1)

    def _event(self, event: str, state: str) -> tuple[Definition, ...]:
        tails = _tails(event, self._depth)
        begun = [self._ends[head] for head in _heads(event, self._depth) if head in self._ends]
        places = sorted(place for by_tail in begun for tail in tails for place in by_tail.get(tail, ()))
        return match_event((self._definitions[place] for place in places), event, state)

    def _source(self, node: str, source: str) -> tuple[Definition, ...]:
        return match_source(self._logs, node, source)


def _literal_ends(pattern: str) -> tuple[str, str]:
    """The whole segments before the first star and those after the last; a pattern without one is all head."""
    if "*" not in pattern:
        return pattern, ""
    return pattern.partition("*")[0].rpartition("/")[0], pattern.rpartition("*")[2].partition("/")[2]


def _heads(name: str, depth: int) -> set[str]:
    """Every head, of up to `depth` segments, of a pattern that matches `name`: "", "raid", "raid/db1"; and the name."""
    heads, at = {"", name}, 0
    for _ in range(depth):
        at = name.find("/", at) + 1
        if not at:
            break
        heads.add(name[: at - 1])
    return heads


def _tails(name: str, depth: int) -> set[str]:
    """Every tail likewise: "", "md0", "db1/md0"."""
    tails, at = {""}, len(name)
    for _ in range(depth):
        at = name.rfind("/", 0, at)
        if at == -1:
            break
        tails.add(name[at + 1 :])
    return tails
