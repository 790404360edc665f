"""Duplicate control as a decision table (spec 2.6), and the definitions that match."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.duplicates import Handling, Observed, Verdict, judge
from noroshi.node.core.matching import Matcher, match_event, match_line, match_source
from noroshi.node.core.reasons import Reason
from noroshi.store.model import Definition

SUPPRESS = Definition(name="suppress", kind="event")
ALLOW = Definition(name="allow", kind="event", duplicates="allow")
BOTH = (SUPPRESS, ALLOW)

DOWN = Observed("DOWN", "", "db1", 100)


@pytest.mark.parametrize(
    ("case", "report", "current", "matching", "expected"),
    [
        ("first of its name", DOWN, None, BOTH, (Handling.UPDATE, BOTH, Reason.NEW_NAME)),
        ("first of its name, undefined", DOWN, None, (), (Handling.UPDATE, (), Reason.NEW_NAME)),
        ("same", DOWN, DOWN, (SUPPRESS,), (Handling.COUNT, (), Reason.SAME)),
        ("same, undefined", DOWN, DOWN, (), (Handling.COUNT, (), Reason.SAME)),
        ("same from elsewhere", Observed("DOWN", "", "db2", 50), DOWN, (SUPPRESS,), (Handling.COUNT, (), Reason.SAME)),
        ("same, allowed", DOWN, DOWN, (ALLOW,), (Handling.UPDATE, (ALLOW,), Reason.ALLOWED)),
        ("same, they disagree", DOWN, DOWN, BOTH, (Handling.UPDATE, (ALLOW,), Reason.ALLOWED)),
        ("other state", Observed("UP", "", "db1", 101), DOWN, BOTH, (Handling.UPDATE, BOTH, Reason.CHANGED)),
        ("other supplement", Observed("DOWN", "x", "db1", 101), DOWN, BOTH, (Handling.UPDATE, BOTH, Reason.CHANGED)),
        ("same instant", Observed("UP", "", "db1", 100), DOWN, BOTH, (Handling.UPDATE, BOTH, Reason.CHANGED)),
        ("older, same node", Observed("UP", "", "db1", 99), DOWN, BOTH, (Handling.HISTORY, (), Reason.OLDER)),
        ("older, other node", Observed("UP", "", "db2", 99), DOWN, BOTH, (Handling.UPDATE, BOTH, Reason.CHANGED)),
        ("older and same", Observed("DOWN", "", "db1", 99), DOWN, (SUPPRESS,), (Handling.COUNT, (), Reason.SAME)),
        ("older, same, allowed", Observed("DOWN", "", "db1", 99), DOWN, BOTH, (Handling.HISTORY, (), Reason.OLDER)),
    ],
)
def test_decision_table(
    case: str,
    report: Observed,
    current: Observed | None,
    matching: tuple[Definition, ...],
    expected: tuple[Handling, tuple[Definition, ...], Reason],
) -> None:
    assert judge(report, current, matching) == Verdict(*expected), case


def test_down_up_down_is_three_changes() -> None:
    current, changes = None, 0
    for at, state in enumerate(["DOWN", "DOWN", "UP", "UP", "DOWN"]):
        report = Observed(state, "", "db1", at)
        if judge(report, current, (SUPPRESS,)).handling is Handling.UPDATE:
            current, changes = report, changes + 1
    assert changes == 3


def event(name: str, pattern: str, *states: str) -> Definition:
    return Definition(name=name, kind="event", event=pattern, state=states)


EVENTS = (
    event("all", "**"),
    event("arrays", "raid/**"),
    event("arrays-bad", "raid/**", "DEGRADED", "ERROR"),
    event("md0", "raid/*/md0"),
    event("exact", "raid/db1/md0", "DEGRADED"),
    event("half-segment", "ra*/db1/**"),
    event("other", "app/orders"),
    Definition(name="line", kind="log"),
)


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        ("raid/db1/md0", "DEGRADED", ["all", "arrays", "arrays-bad", "md0", "exact", "half-segment"]),
        ("raid/db1/md0", "OK", ["all", "arrays", "md0", "half-segment"]),
        ("raid/db2/md1", "ERROR", ["all", "arrays", "arrays-bad"]),
        ("app/orders", "late", ["all", "other"]),
        ("app/orders/x", "late", ["all"]),
    ],
)
def test_events_match_in_the_order_of_the_definitions(name: str, state: str, expected: list[str]) -> None:
    assert [one.name for one in match_event(EVENTS, name, state)] == expected
    assert [one.name for one in Matcher(EVENTS).event(name, state)] == expected


segments = st.lists(st.sampled_from(["a", "b", "", "*", "**", "a*", "*b", "a**b"]), min_size=1, max_size=4)
patterns = segments.map("/".join)
names = st.lists(st.sampled_from(["a", "b", "", "ab", "aab"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(patterns, max_size=8), st.lists(names, min_size=1, max_size=4))
def test_the_index_answers_as_the_plain_loop(some: list[str], reported: list[str]) -> None:
    definitions = [event(f"{place}", pattern) for place, pattern in enumerate(some)]
    matcher = Matcher(definitions)
    for name in reported:
        assert matcher.event(name, "ERROR") == match_event(definitions, name, "ERROR")


LINES = (
    Definition(name="memory", kind="log", source="/var/log/**", pattern="Out of memory"),
    Definition(name="web", kind="log", node="web*", source="/var/log/*.log"),
    Definition(name="event", kind="event"),
)


@pytest.mark.parametrize(
    ("node", "source", "line", "expected"),
    [
        ("db1", "/var/log/kern.log", "Out of memory: killed", ["memory"]),
        ("web1", "/var/log/kern.log", "Out of memory: killed", ["memory", "web"]),
        ("web1", "/var/log/kern.log", "fine", ["web"]),
        ("web1", "/var/log/apache/error", "fine", []),
        ("db1", "/srv/x.log", "Out of memory", []),
    ],
)
def test_lines_match_by_node_source_and_pattern(node: str, source: str, line: str, expected: list[str]) -> None:
    def search(pattern: str, text: str) -> bool:
        return re.search(pattern, text) is not None

    assert [one.name for one in match_line(LINES, node, source, line, search)] == expected
    assert [one.name for one in Matcher(LINES).line(node, source, line, search)] == expected


def test_a_line_pattern_is_run_only_where_node_and_source_fit() -> None:
    run: list[str] = []

    def search(pattern: str, _line: str) -> bool:
        run.append(pattern)
        return False

    matcher = Matcher(LINES)
    matcher.line("db1", "/srv/x.log", "Out of memory", search)
    matcher.line("web1", "/var/log/a.log", "x", search)
    assert run == ["Out of memory"], "an empty pattern fits every line and is never run"
    assert [one.name for one in match_source(LINES, "web1", "/var/log/a.log")] == ["memory", "web"]


def test_a_name_of_very_many_segments_costs_no_more_than_its_length() -> None:
    matcher = Matcher(EVENTS)
    name = "raid/" * 100_000
    assert matcher.event(name, "OK") == match_event(EVENTS, name, "OK")
