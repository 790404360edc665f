"""S1: which definitions match an event or a log line, fast enough for thousands of definitions (spec 4.1).

Role: `match_event` and `match_line` say it definition by definition; `Matcher` says the same for one set of
definitions with an index in front and an answer remembered for each name seen.
Rules: the answer keeps the order of the definitions given. A user's pattern is never run here: the caller passes
`search`, which is bounded elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
        self._by_head: dict[str, list[int]] = {}
        """Places of the event definitions, by the whole segments their pattern begins with."""
        for place, one in enumerate(self._definitions):
            if one.kind == "event":
                self._by_head.setdefault(_literal_head(one.event), []).append(place)
        self._logs = tuple(one for one in self._definitions if one.kind == "log")
        self.event = lru_cache(REMEMBERED)(self._event)
        """event(event, state) -> definitions, as match_event."""
        self.source = lru_cache(REMEMBERED)(self._source)
        """source(node, source) -> definitions, as match_source."""

    def line(self, node: str, source: str, line: str, search: Search) -> tuple[Definition, ...]:
        """As match_line."""
        return tuple(one for one in self.source(node, source) if not one.pattern or search(one.pattern, line))

    def _event(self, event: str, state: str) -> tuple[Definition, ...]:
        places = sorted(place for head in _heads(event) for place in self._by_head.get(head, ()))
        return match_event((self._definitions[place] for place in places), event, state)

    def _source(self, node: str, source: str) -> tuple[Definition, ...]:
        return match_source(self._logs, node, source)


def _literal_head(pattern: str) -> str:
    """The whole segments before the first star; all of a pattern without one."""
    before, star, _ = pattern.partition("*")
    return before.rpartition("/")[0] if star else pattern


def _heads(name: str) -> Iterator[str]:
    """Every head a pattern that matches `name` can have: "", "raid", "raid/db1", "raid/db1/md0"."""
    at = name.find("/")
    yield ""
    while at != -1:
        if at:
            yield name[:at]
        at = name.find("/", at + 1)
    if name:
        yield name
