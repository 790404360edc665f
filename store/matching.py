"""Patterns over names and paths (design section 5): `*` stays within a segment, `**` crosses segments.

Role: the one matcher of event names, node names and log sources, for node and console alike.
Rules: `*` stands for any characters but `/`, none included; `**` (or a longer run of stars) for any characters at all;
everything else for itself, case and all. The whole name must match. Time grows with name times pattern at worst,
whatever the pattern: shapes on which a backtracking engine could run away are matched by a bit-parallel automaton.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\*+|[^*]+")


@dataclass(frozen=True, slots=True)
class NamePattern:
    """One pattern; compiled once a process, however often it is made anew."""

    pattern: str

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` matches."""
        return _compiled(self.pattern)(name)

    @property
    def is_literal(self) -> bool:
        """Without a star: matches its own text alone."""
        return "*" not in self.pattern


@lru_cache(maxsize=8192)
def _compiled(pattern: str) -> Callable[[str], bool]:
    tokens = ["**" if part.startswith("**") else part for part in _TOKEN.findall(pattern)]
    if tokens == ["**"]:
        return lambda name: True
    if "*" not in pattern:
        return pattern.__eq__
    if "*" in tokens[_first(tokens, "**") :]:
        return _Automaton(tokens).matches
    expression = re.compile(_expression(tokens), re.DOTALL)
    return lambda name: expression.fullmatch(name) is not None


def _first(tokens: list[str], token: str) -> int:
    return tokens.index(token) if token in tokens else len(tokens)


def _expression(tokens: list[str]) -> str:
    """A regular expression that never backtracks over more than its last star.

    Each literal is taken at its first place after the star before it, for good (an atomic group): with every `*`
    before the first `**`, a later place of it never allows more. The last literal is bound to the end instead.
    """
    parts = []
    for index, token in enumerate(tokens):
        if token in ("*", "**"):
            continue
        star = tokens[index - 1] if index else ""
        any_character = {"": "", "*": "[^/]*", "**": ".*"}[star]
        last = index == len(tokens) - 1
        parts.append(
            f"{any_character}{re.escape(token)}" if last or not star else f"(?>{any_character}?{re.escape(token)})"
        )
    tail = {"*": "[^/]*", "**": ".*"}.get(tokens[-1], "")
    return "".join(parts) + tail


class _Automaton:
    """All places in the pattern at once, one bit each: one step a character, whatever was matched before."""

    def __init__(self, tokens: list[str]) -> None:
        places: list[str] = []
        for token in tokens:
            places += [token] if token in ("*", "**") else list(token)
        self._accept = 1 << len(places)
        self._within = sum(1 << at for at, place in enumerate(places) if place == "*")
        self._across = sum(1 << at for at, place in enumerate(places) if place == "**")
        self._stars = self._within | self._across
        self._literal: dict[str, int] = {}
        for at, place in enumerate(places):
            if place not in ("*", "**"):
                self._literal[place] = self._literal.get(place, 0) | 1 << at

    def matches(self, name: str) -> bool:
        at = self._past_stars(1)
        for character in name:
            stay = at & (self._across if character == "/" else self._stars)
            at = self._past_stars((at & self._literal.get(character, 0)) << 1 | stay)
            if not at:
                return False
        return bool(at & self._accept)

    def _past_stars(self, at: int) -> int:
        """A star may stand for nothing: whoever is at one is also past it (tokens never hold two stars in a row)."""
        return at | (at & self._stars) << 1
