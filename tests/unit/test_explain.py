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
from msgspec import structs

from noroshi.node.core.actions import AttemptSkipped, AttemptStarted, Opened
from noroshi.node.core.duplicates import Observed, judge
from noroshi.node.core.matching import match_event, match_line
from noroshi.node.core.reasons import Reason
from noroshi.node.core.subject import Answered, NodeChanged, Notify, Subject
from noroshi.node.wire.operating import Acknowledge
from noroshi.store import explain as explaining
from noroshi.store import views
from noroshi.store.clock import to_iso
from noroshi.store.explain import EventAsked, Facts, LineAsked, explain
from noroshi.store.model import Definition, Destination, Limit
from noroshi.store.silences import Silence
from noroshi.store.tables.nodes import set_node_state

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


def test_a_group_that_is_down_has_no_turn_and_what_follows_it_takes_its() -> None:
    notify = (Destination(1, "db1"), Destination(1, "db2"), Destination(2, "db1"), Destination(2, "db3"))
    one = Definition(name="one", kind="event", event="x", notify=(*notify, Destination(3, "db3")))
    down = facts((one,), {"db1": "DOWN", "db2": "STOPPED", "db3": "SUSPECT"}, None)
    (said,) = explain(EventAsked("x", "ERROR", "", "db1"), down)
    turns = [(1, "never: every node of it is down"), (2, "now"), (3, "when priority 2 has failed")]
    assert [(group.priority, group.turn) for group in said.groups] == turns


def test_reasons_are_those_that_the_history_has() -> None:
    assert {"DOWN": Reason.NODE_DOWN.value, "STOPPED": Reason.NODE_STOPPED.value} == explaining.GONE
    assert Reason.SAME.value == explaining.SAME


def test_silences_and_nodes_that_left_are_said() -> None:
    one = Definition(name="a", kind="event", event="**", notify=(Destination(1, "gone"),), version=2)
    silence = Silence(4, "app/*", "", "ann", "upgrade", 0, 10)
    (told,) = explain(
        EventAsked("app/x", "ERROR", "", "db1"), Facts((one,), None, {}, frozenset(NODES), (silence,), None, {})
    )
    until = "1970-01-01T00:00:00.000010Z"
    assert (told.told, told.reason) == (False, f"silenced: silence 4 of ann: upgrade, until {until}")
    assert told.notes == ("told when the silence ends, if it is still so",)
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
    assert done == said == "the definition's limit is reached: 2 within 10s"
    assert as_said_and_done(there, "few/d", "BAD")[0] == said
    there.wait(11)
    there.wait(0)
    assert as_said_and_done(there, "few/e", "BAD") == ("", "")


def bounded(desk: Coordinating, count: int) -> None:
    """Under a limit of the cluster's own, with nothing told before."""
    desk.cluster = replace(desk.cluster, limit=Limit(count, 10.0))
    desk.take_over("db1")


def test_one_too_many_for_the_cluster_is_said(there: Coordinating) -> None:
    bounded(there, 1)
    there.define(STORM)
    assert as_said_and_done(there, "few/a", "BAD") == ("", "")
    said, done = as_said_and_done(there, "app/link", "BAD")
    assert done == said == "the overall limit is reached: 1 within 10s"


def test_the_last_place_under_the_overall_limit_is_given_once(there: Coordinating) -> None:
    """Each that is told of one event takes a place from those behind it."""
    bounded(there, 3)
    there.define("events: [{name: a, match: {event: x}}, {name: b, match: {event: x}}]")
    for state in ("ONE", "TWO"):
        said = {name: one.reason for name, one in explained(there, "x", state).items()}
        before = len(history(there))
        there.event("x", state)
        done = {row.definition: row.reason for row in history(there)[before:] if row.status == "held"}
        assert said == {"a": "", "b": "", **done}
    assert list(done) == ["b"]


def test_a_failure_takes_no_place_and_needs_none(there: Coordinating) -> None:
    """Neither in what is said, nor after a take-over, which reads from the history what was told."""
    bounded(there, 2)
    there.define("events: [{name: a, match: {event: x}, limit: {count: 2, within: 10s}}]")
    there.event("x", "ONE")
    there.answer(there.deliveries[-1][1].delivery, "failed")
    there.event("notification-failure", "ERROR", "by hand")
    assert explained(there, "x", "TWO")["a"].told
    there.take_over("db2")
    there.event("x", "TWO")
    assert [row.status for row in history(there) if row.definition == "a"] == ["failed", "pending"]
    assert not explained(there, "x", "THREE")["a"].told
    assert explained(there, "notification-failure", "ERROR")[""].told
    there.event("notification-failure", "ERROR", "by hand again")
    assert [row.event for row in history(there) if row.status == "held"] == []


def history(desk: Coordinating) -> tuple[views.Notification, ...]:
    return tuple(desk.query(lambda c: views.notifications(c, views.HistoryFilter(), 10_000)))


def test_one_change_too_many_is_flapping(there: Coordinating) -> None:
    for state in ("DOWN", "UP", "DOWN"):
        assert as_said_and_done(there, "app/link", state) == ("", "")
    said, done = as_said_and_done(there, "app/link", "UP")
    assert done == said == "flapping: 4 changes of app/link within 60s"
    assert as_said_and_done(there, "few/a", "BAD") == ("", "")


FOLLOWED = """
events:
  - name: followed
    match: {event: "app/*", state: [ERROR, FATAL]}
    repeat: 5m
    escalate: 10m
    recovery: true
    notify:
      - {priority: 1, node: db2, procedure: process, application: [/bin/page, ann]}
      - {priority: 2, node: db3, procedure: process, application: [/bin/page, bob]}
  - {name: once, match: {event: "app/*", state: [ERROR]}, notify: [{priority: 1, node: db2}]}
"""


def explained(desk: Coordinating, event: str, state: str) -> dict[str, explaining.Explained]:
    now = BEGIN + round(desk.seconds * 1_000_000)
    found = desk.query(lambda c: views.facts(c, event, desk.cluster.names, desk.node, now, desk.cluster.limit))
    return {one.definition: one for one in explain(EventAsked(event, state, "", "db4"), found)}


def test_what_an_acknowledgement_holds_back_is_said_and_when_it_ends(there: Coordinating) -> None:
    there.define(FOLLOWED)
    there.event("app/x", "ERROR")
    assert explained(there, "app/x", "FATAL")["followed"].notes == ()
    there.ask(Acknowledge("app/x", 0, "ann", "on it", 3600.0))
    same = explained(there, "app/x", "ERROR")
    until = to_iso(BEGIN + round((there.seconds + 3600) * 1_000_000))
    assert same["followed"].notes == (
        f"repeats and escalations held back: ERROR acknowledged by ann, until {until}: on it",
    )
    assert same["once"].notes == (), "it holds back nothing of what this does"
    other = explained(there, "app/x", "FATAL")["followed"]
    assert (other.told, other.notes) == (True, ("ends the acknowledgement of ERROR by ann: on it",))
    there.wait(3601)
    assert explained(there, "app/x", "FATAL")["followed"].notes == ()


def test_who_will_hear_that_it_is_over_is_foreseen(there: Coordinating) -> None:
    there.define(FOLLOWED)
    assert explained(there, "app/x", "OK") == {}
    there.event("app/x", "ERROR")
    (delivery,) = [one.delivery for _, one in there.deliveries if one.application == ["/bin/page", "ann"]]
    there.answer(delivery, "delivered")
    said = explained(there, "app/x", "OK")["followed"]
    assert (said.told, said.reason, said.enough) == (True, "recovery", "all")
    assert [(one.node, one.application) for one in said.groups[0].destinations] == [("db2", ["/bin/page", "ann"])]
    there.event("app/x", "OK")
    recovery = there.query(lambda c: views.notifications(c, views.HistoryFilter(), 1000))[-1]
    assert (recovery.notice, [one.node for one in recovery.attempts]) == ("recovery", ["db2"])
    assert explained(there, "app/x", "OK") == {}


def test_who_is_skipped_is_by_what_the_nodes_were_last_declared_to_be(there: Coordinating) -> None:
    there.define(FOLLOWED)
    there.query(lambda c: set_node_state(c, "db2", "STOPPED", BEGIN))
    first, second = explained(there, "app/x", "ERROR")["followed"].groups
    assert [(one.node, one.tried, one.reason) for one in first.destinations] == [("db2", False, "node is stopped")]
    assert second.turn == "now"


def test_a_hold_that_stands_says_until_when(there: Coordinating) -> None:
    for name in ("few/a", "few/b", "few/c"):
        there.event(name, "BAD")
    over = BEGIN + round((there.seconds + 10) * 1_000_000)
    there.wait(3)
    held = explained(there, "few/d", "BAD")["few"]
    assert held.notes == (f"until {to_iso(over)}; then one summary tells how much it was",)


def test_an_edit_is_foreseen_by_its_own_limits_not_by_those_in_force(there: Coordinating) -> None:
    for name in ("few/a", "few/b", "few/c"):
        there.event(name, "BAD")
    now = BEGIN + round(there.seconds * 1_000_000)
    few = Definition(name="few", kind="event", event="few/*", notify=(Destination(1, "db2"),))

    def said(one: Definition) -> str:
        found = there.query(lambda c: views.facts(c, "few/d", there.cluster.names, there.node, now, None, (one,)))
        (verdict,) = explain(EventAsked("few/d", "BAD", "", "db4"), found)
        return verdict.reason

    assert said(few) == "", "without a limit nothing is held back"
    assert said(structs.replace(few, limit=Limit(3, 10.0))).startswith(
        "the definition's limit is reached: 3 within 10s"
    )
    assert said(structs.replace(few, limit=Limit(1, 3600.0))) == "the definition's limit is reached: 1 within 3600s"
