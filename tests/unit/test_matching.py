"""Patterns over names: what stars mean, checked against a plain reading of the rule, and that none runs away."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noroshi.store.matching import NamePattern


def by_the_rule(pattern: str, name: str) -> bool:
    """`*`: any characters but `/`; two or more stars: any characters; else the character itself."""

    @cache
    def rest(p: int, n: int) -> bool:
        if p == len(pattern):
            return n == len(name)
        if pattern[p] != "*":
            return n < len(name) and pattern[p] == name[n] and rest(p + 1, n + 1)
        after = p
        while after < len(pattern) and pattern[after] == "*":
            after += 1
        crosses = after - p > 1
        if rest(after, n):
            return True
        return n < len(name) and (crosses or name[n] != "/") and rest(p, n + 1)

    return rest(0, 0)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("server/db1", "server/db1", True),
        ("server/db1", "server/db11", False),
        ("server/db1", "Server/db1", False),
        ("server/*", "server/db1", True),
        ("server/*", "server/db1/x", False),
        ("server/*", "server", False),
        ("raid/**", "raid/db1/md0", True),
        ("raid/**", "raid", False),
        ("raid/*/md0", "raid/db1/md0", True),
        ("raid/*/md0", "raid/db1/x/md0", False),
        ("**/md0", "raid/db1/md0", True),
        ("**/md0", "md0", False),
        ("*", "db1", True),
        ("*", "a/b", False),
        ("**", "a/b/c", True),
        ("**", "", True),
        ("*", "", True),
        ("/var/log/**", "/var/log/app/a.log", True),
        ("/var/log/*.log", "/var/log/a.log", True),
        ("/var/log/*.log", "/var/log/app/a.log", False),
        ("/var/**/*.log", "/var/log/app/a.log", True),
        ("/var/**/*.log", "/var/log/app/a.txt", False),
        ("a.b[c]+(d)?", "a.b[c]+(d)?", True),
        ("a.b", "axb", False),
        ("path/*/db2", "path/db1/db2", True),
        ("*light*", "a light fault", True),
        ("日本/*", "日本/狼煙", True),
        ("a*", "a\nb", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_stars_mean_what_the_rule_says(pattern: str, name: str, matches: bool) -> None:
    assert NamePattern(pattern).matches(name) is matches
    assert by_the_rule(pattern, name) is matches


_FEW = st.text(alphabet="ab/*", max_size=10)


@settings(deadline=None)
@given(_FEW, st.text(alphabet="ab/", max_size=14))
@example("**a*b**", "a/ab/")
@example("*a*/**b*a", "aa/xb/ba")
@example("***", "a/b")
def test_every_pattern_agrees_with_the_rule(pattern: str, name: str) -> None:
    assert NamePattern(pattern).matches(name) is by_the_rule(pattern, name)


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_pattern_with_no_star_matches_itself_alone(pattern: str, name: str) -> None:
    if "*" not in pattern:
        assert NamePattern(pattern).is_literal
        assert NamePattern(pattern).matches(pattern)
        assert NamePattern(pattern).matches(name) is (pattern == name)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["*", "**", "a", "ab", "/", "**/", "/*"]), max_size=200).map("".join))
def test_no_pattern_runs_away(pattern: str) -> None:
    began = time.process_time()
    NamePattern(pattern).matches("a" * 4000)
    NamePattern(pattern).matches("ab/" * 1300)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("unit", ["*a", "**a", "**a*", "*a**", "**/*", "*/", "*aab", "**aab*"])
def test_patterns_on_which_backtracking_would_not_end(unit: str) -> None:
    pattern = NamePattern(unit * 100 + "b")
    began = time.process_time()
    assert not pattern.matches("a" * 4000)
    assert not pattern.matches("a/" * 2000)
    assert time.process_time() - began < 1


def test_a_pattern_is_compiled_once() -> None:
    names = [f"server/db{number}" for number in range(1000)]
    began = time.process_time()
    for name in names * 10:
        NamePattern("server/*").matches(name)
    assert time.process_time() - began < 1
