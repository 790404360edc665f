"""'Who would be told now' says what duplicate control, S1 and the engine then do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coordinating import BEGIN, Coordinating
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import Desk

from noroshi.node.core.actions import AttemptSkipped, AttemptStarted, Opened
from noroshi.node.core.duplicates import Observed, judge
from noroshi.node.core.matching import match_event, match_line
from noroshi.node.core.reasons import Reason
from noroshi.node.core.subject import Answered, NodeChanged, Notify, Subject
from noroshi.store import explain as explaining
from noroshi.store import views
from noroshi.store.explain import EventAsked, Facts, LineAsked, explain
from noroshi.store.model import Definition, Destination, Limit
from noroshi.store.silences import Silence

NODES = ("db1", "db2", "db3")
STATES = st.sampled_from(["UP", "SUSPECT", "DOWN", "STOPPED"])

definitions = st.lists(
    st.builds(
        Definition,
        name=st.sampled_from(["a", "b", "c"]),
        kind=st.sampled_from(["event", "event", "log"]),
        event=st.sampled_from(["app/x", "app/*", "raid/**"]),
        state=st.sampled_from([(), ("ERROR",), ("ERROR", "OK")]),
        node=st.sampled_from(["**", "db1"]),
        pattern=st.sampled_from(["", "fail"]),
        duplicates=st.sampled_from(["suppress", "allow"]),
        notify=st.lists(
            st.builds(
                Destination,
                priority=st.integers(1, 3),
                node=st.sampled_from([*NODES, None]),
                procedure=st.just("process"),
                application=st.just(["/bin/page"]),
            ),
            max_size=4,
        ).map(tuple),
        version=st.just(1),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
).map(tuple)


def facts(definitions: tuple[Definition, ...], nodes: dict[str, str], current: tuple[str, str] | None) -> Facts:
    return Facts(definitions, current, nodes, frozenset(NODES), (), "db1", {})


def groups_by_the_engine(definition: Definition, nodes: dict[str, str]) -> list[tuple[str, bool]]:
    """(node, sent) of each destination in the order of fig. 7, every delivery failing."""
    desk = Desk("db1")
    for node, state in nodes.items():
        desk.give(NodeChanged(node, state))
    actions = desk.give(Notify(definition, Subject("event", "app/x ERROR", b"{}", event_id=1)))
    seen: list[tuple[str, bool]] = []
    while actions:
        first, *rest = actions
        if isinstance(first, Opened) and first.notification != 1:
            break
        if isinstance(first, AttemptStarted | AttemptSkipped) and first.notification == 1:
            seen.append((first.node, isinstance(first, AttemptStarted)))
        if isinstance(first, AttemptStarted):
            rest += desk.give(Answered(first.delivery, "failed"))
        actions = rest
    return seen


@settings(deadline=None)
@given(
    definitions,
    st.fixed_dictionaries(dict.fromkeys(NODES, STATES)),
    st.sampled_from([None, ("ERROR", ""), ("OK", ""), ("ERROR", "x")]),
    st.sampled_from(["ERROR", "OK", "OTHER"]),
)
def test_it_says_what_the_coordinator_does(
    definitions: tuple[Definition, ...], nodes: dict[str, str], current: tuple[str, str] | None, state: str
) -> None:
    said = explain(EventAsked("app/x", state, "", "db2"), facts(definitions, nodes, current))
    matching = match_event(definitions, "app/x", state)
    assert [one.definition for one in said] == [one.name for one in matching]
    now = None if current is None else Observed(*current, "db3", 0)
    verdict = judge(Observed(state, "", "db2", 1), now, matching)
    assert [one.definition for one in said if one.told] == [one.name for one in verdict.notify]
    for one, definition in zip(said, matching, strict=True):
        told = [(each.node, each.tried) for group in one.groups for each in group.destinations]
        assert told == groups_by_the_engine(definition, nodes)
        turns = [group.turn.split()[0] for group in one.groups if any(each.tried for each in group.destinations)]
        assert turns[:1] in ([], ["now"])
        assert set(turns[1:]) <= {"when"}


@settings(deadline=None)
@given(definitions, st.sampled_from(NODES), st.sampled_from(["it failed", "all is well"]))
def test_lines_likewise(definitions: tuple[Definition, ...], node: str, line: str) -> None:
    said = explain(LineAsked(line, "/var/log/x", node), facts(definitions, {}, None))
    matching = match_line(definitions, node, "/var/log/x", line, lambda pattern, text: pattern in text)
    assert [(one.definition, one.told) for one in said] == [(one.name, True) for one in matching]


def test_reasons_are_those_that_the_history_has() -> None:
    assert {"DOWN": Reason.NODE_DOWN.value, "STOPPED": Reason.NODE_STOPPED.value} == explaining.GONE
    assert Reason.SAME.value == explaining.SAME


def test_silences_and_nodes_that_left_are_said() -> None:
    one = Definition(name="a", kind="event", event="**", notify=(Destination(1, "gone"),), version=2)
    silence = Silence(4, "app/*", "", "ann", "upgrade", 0, 10)
    (told,) = explain(
        EventAsked("app/x", "ERROR", "", "db1"), Facts((one,), None, {}, frozenset(NODES), (silence,), None, {})
    )
    assert (told.told, told.reason) == (False, "silenced: silence 4 of ann: upgrade")
    assert "not in cluster.yaml" in told.groups[0].destinations[0].reason


def test_a_notification_failure_that_nobody_defined_is_told_on_the_coordinators_node() -> None:
    (told,) = explain(EventAsked("notification-failure", "ERROR", "", "db1"), facts((), {}, None))
    assert (told.definition, told.told) == ("", True)
    assert [(each.node, each.procedure) for each in told.groups[0].destinations] == [("db1", "default")]


STORM = """
events:
  - {name: few, match: {event: "few/*"}, limit: {count: 2, within: 10s}, notify: [{priority: 1, node: db2}]}
  - {name: link, match: {event: app/link}, flap: {changes: 4, within: 60s}, notify: [{priority: 1, node: db2}]}
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Coordinating]:
    desk = Coordinating(tmp_path / "shared")
    desk.define(STORM)
    yield desk
    desk.close()


def as_said_and_done(desk: Coordinating, event: str, state: str) -> tuple[str, str]:
    """What `explain` says keeps it back, then what the coordinator stores with it."""
    now = BEGIN + round(desk.seconds * 1_000_000)
    cluster = desk.cluster
    found = desk.query(lambda c: views.facts(c, event, cluster.names, desk.node, now, cluster.limit))
    (said,) = explain(EventAsked(event, state, "", "db4"), found)
    desk.event(event, state)
    *_, row = desk.query(lambda c: views.notifications(c, views.HistoryFilter(), 1000))
    return said.reason, row.reason if row.status == "held" else ""


def test_one_too_many_for_a_limit_is_said_before_it_is_held(there: Coordinating) -> None:
    assert as_said_and_done(there, "few/a", "BAD") == ("", "")
    assert as_said_and_done(there, "few/b", "BAD") == ("", "")
    said, done = as_said_and_done(there, "few/c", "BAD")
    assert done.startswith(said) and said == "the definition's limit is reached"
    assert as_said_and_done(there, "few/d", "BAD")[0] == said
    there.wait(11)
    there.wait(0)
    assert as_said_and_done(there, "few/e", "BAD") == ("", "")


def test_one_too_many_for_the_cluster_is_said(tmp_path: Path) -> None:
    desk = Coordinating(tmp_path / "shared")
    desk.cluster = replace(desk.cluster, limit=Limit(1, 10.0))
    desk.take_over("db1")
    desk.define(STORM)
    assert as_said_and_done(desk, "few/a", "BAD") == ("", "")
    said, done = as_said_and_done(desk, "app/link", "BAD")
    assert done.startswith(said) and said == "the overall limit is reached"
    desk.close()


def test_one_change_too_many_is_flapping(there: Coordinating) -> None:
    for state in ("DOWN", "UP", "DOWN"):
        assert as_said_and_done(there, "app/link", state) == ("", "")
    said, done = as_said_and_done(there, "app/link", "UP")
    assert said.startswith("flapping") and done.startswith("flapping")
    assert as_said_and_done(there, "few/a", "BAD") == ("", "")
