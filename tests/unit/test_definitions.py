"""definitions.yaml: what it may say, every mistake named, and the round trip of export and parse."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from yaml_cases import DEFINITION_MISTAKES, DEFINITIONS, event, socket, to

from noroshi.store.definitions import describe_change, export, load, ordered, parse
from noroshi.store.errors import ConfigError, Problem
from noroshi.store.model import Definition, Destination, Flap, Limit, from_json, to_json

FILE = Path("definitions.yaml")


def test_a_file_with_everything() -> None:
    assert parse(DEFINITIONS, FILE, ["ops1", "db3"]) == [
        Definition(
            name="disk-trouble",
            kind="event",
            event="raid/**",
            state=("DEGRADED", "ERROR"),
            duplicates="allow",
            delivery="deferred",
            enough="all",
            timeout=5.0,
            repeat=600.0,
            escalate=900.0,
            recovery=True,
            flap=Flap(6, 300.0),
            limit=Limit(20, 60.0),
            notify=(
                Destination(1, "ops1", "process", ["/usr/bin/page", "--team", "storage"], wait="started"),
                Destination(2, "db3", "message", {"key": 0x4E4F524F, "type": 7}, reply="required"),
                Destination(3, None, "socket", "tcp://127.0.0.1:9000", timeout=0.5),
                Destination(3),
            ),
        ),
        Definition(name="any-change", kind="event", event="server/*", state=("DOWN",)),
        Definition(name="out-of-memory", kind="log", node="*", source="/var/log/**", pattern="Out of memory"),
        Definition(name="every-line", kind="log"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "events: []", "events: []\nlogs: []"])
def test_a_file_may_define_nothing(text: str) -> None:
    assert parse(text, FILE, None) == []


def test_a_key_may_be_written_as_text(tmp_path: Path) -> None:
    file = tmp_path / "definitions.yaml"
    file.write_text(event('notify: [{priority: 1, procedure: message, application: {key: "0xFF"}}]'))
    assert load(file, None)[0].notify[0].application == {"key": 255}
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "none", None)


# --- mistakes ----------------------------------------------------------------------------------------------------


def problems_of(text: str, nodes: list[str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE, nodes)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "place", "says", "hint"),
    DEFINITION_MISTAKES,
)
def test_mistakes(text: str, place: tuple[int, int], says: str, hint: str) -> None:
    problem = problems_of(text)[0]
    assert (problem.line, problem.column) == place
    assert says in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "address", ["tcp://db1.example:1", "udp://[::1]:65535", "unix:///run/a b.sock", "unix:///" + "x" * 106]
)
def test_addresses_of_sockets(address: str) -> None:
    assert parse(socket(address), FILE, None)[0].notify[0].application == address


def test_a_node_outside_the_cluster_is_refused_wherever_it_is_named() -> None:
    text = to("{priority: 1, node: db2}") + 'logs: [{name: b, match: {node: db8, pattern: ""}}]\n'
    problems = problems_of(text, ["db1", "web1"])
    assert [(each.line, each.message, each.hint) for each in problems] == [
        (5, "unknown node 'db2'", "did you mean 'db1'?"),
        (6, "unknown node 'db8'", "did you mean 'db1'?"),
    ]
    assert parse(text, FILE, ["db2", "db8"])
    assert parse(text, FILE, None)
    assert parse(text.replace("db8", '"db*"'), FILE, ["db2"])


def test_a_name_stands_once_over_events_and_logs() -> None:
    text = event("") + "  - name: a\n    match: {event: y}\n" + 'logs: [{name: a, match: {pattern: ""}}]\n'
    problems = problems_of(text)
    assert [each.line for each in problems] == [5, 7]
    assert all("a second definition 'a', the first is in line 2" in each.message for each in problems)


def test_all_mistakes_are_told_at_once() -> None:
    text = """\
events:
  - name: a
    match: {event: x, stat: UP}
    timeout: soon
    notify:
      - {priority: 0, procedure: socket, application: 7, timeout: 0s}
      - {priority: 1, node: nowhere, procedure: fax}
  - name: a
logs:
  - {name: b, match: {pattern: "("}, colour: red}
"""
    problems = problems_of(text, ["db1"])
    assert [each.line for each in problems] == [3, 4, 6, 6, 6, 7, 7, 8, 8, 10, 10]


# --- round trip --------------------------------------------------------------------------------------------------


def test_export_leaves_defaults_out_and_has_the_shape_of_the_documentation() -> None:
    assert (
        export(parse(DEFINITIONS, FILE, None))
        == """\
events:
  - name: any-change
    match: {event: "server/*", state: [DOWN]}
  - name: disk-trouble
    match: {event: "raid/**", state: [DEGRADED, ERROR]}
    duplicates: allow
    delivery: deferred
    enough: all
    timeout: 5s
    repeat: 10m
    escalate: 15m
    recovery: true
    flap: {changes: 6, within: 5m}
    limit: {count: 20, within: 1m}
    notify:
      - {priority: 1, node: ops1, procedure: process, application: [/usr/bin/page, --team, storage], wait: started}
      - {priority: 2, node: db3, procedure: message, application: {key: 0x4e4f524f, type: 7}, reply: required}
      - {priority: 3, procedure: socket, application: "tcp://127.0.0.1:9000", timeout: 500ms}
      - {priority: 3}
logs:
  - name: every-line
    match: {pattern: ""}
  - name: out-of-memory
    match: {node: "*", source: "/var/log/**", pattern: "Out of memory"}
"""
    )
    assert parse(export([]), FILE, None) == []


_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"])
_TEXTS = st.text(_CHARACTERS, min_size=1, max_size=12) | st.sampled_from(
    ["on", "no", "~", "1:30", "007", "a: b", "#", "*"]
)
_NAMES = st.text(st.characters(categories=["L", "Nd"], include_characters="_.-"), min_size=1, max_size=8).filter(
    lambda name: name[0] not in ".-"
)
_TIMEOUTS = st.integers(1, 3_600_000).map(lambda milliseconds: milliseconds / 1000)
_AFTERWARDS = st.integers(1, 30 * 86400).map(float)
_WITHIN = st.integers(1000, 86_400_000).map(lambda milliseconds: milliseconds / 1000)
_ARGUMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_PATTERNS = st.sampled_from(["", "Out of memory", r"^\[\d+\]\s", "a|b", "\t", "é", 'say "x"', "\\\\", "(?i)fail", "on"])


def _destinations(nodes: st.SearchStrategy[str]) -> st.SearchStrategy[Destination]:
    common = {
        "priority": st.integers(1, 1_000_000),
        "node": st.none() | nodes,
        "timeout": st.none() | _TIMEOUTS,
    }
    reply = st.sampled_from(["none", "required"])
    process = st.builds(
        Destination,
        **common,
        procedure=st.just("process"),
        application=st.builds(lambda first, rest: [f"/{first}", *rest], _ARGUMENTS, st.lists(_ARGUMENTS, max_size=3)),
        wait=st.sampled_from(["exited", "started"]),
    )
    keys = st.fixed_dictionaries({"key": st.integers(1, 2**32 - 1)}, optional={"type": st.integers(1, 2**31 - 1)})
    message = st.builds(Destination, **common, procedure=st.just("message"), application=keys, reply=reply)
    addresses = st.sampled_from(["tcp://h:1", "udp://[::1]:9000", "unix:///run/狼煙 .sock"])
    socket = st.builds(Destination, **common, procedure=st.just("socket"), application=addresses, reply=reply)
    return st.one_of(process, message, socket, st.builds(Destination, **common))


def _with_states(one: Definition) -> Definition:
    """What follows a trouble needs states."""
    return one if one.state else replace(one, repeat=None, escalate=None, recovery=False)


def _definitions() -> st.SearchStrategy[list[Definition]]:
    common = {
        "name": _NAMES,
        "delivery": st.sampled_from(["immediate", "deferred"]),
        "enough": st.sampled_from(["any", "all"]),
        "timeout": st.just(10.0) | _TIMEOUTS,
        "limit": st.none() | st.builds(Limit, st.integers(1, 100_000), _WITHIN),
        "notify": st.lists(_destinations(_NAMES), max_size=3).map(tuple),
    }
    events = st.builds(
        Definition,
        **common,
        kind=st.just("event"),
        event=_TEXTS,
        state=st.lists(_TEXTS, max_size=3, unique=True).map(tuple),
        duplicates=st.sampled_from(["suppress", "allow"]),
        repeat=st.none() | _AFTERWARDS,
        escalate=st.none() | _AFTERWARDS,
        recovery=st.booleans(),
        flap=st.none() | st.builds(Flap, st.integers(2, 1000), _WITHIN),
    ).map(_with_states)
    logs = st.builds(Definition, **common, kind=st.just("log"), node=_TEXTS, source=_TEXTS, pattern=_PATTERNS)
    return st.lists(events | logs, max_size=4, unique_by=lambda each: each.name)


@settings(deadline=None)
@given(_definitions())
def test_what_is_exported_is_read_back_equal_and_exports_to_the_same_bytes(definitions: list[Definition]) -> None:
    text = export(definitions)
    again = parse(text, FILE, None)
    assert again == ordered(definitions)
    assert export(again) == text
    assert export(reversed(definitions)) == text
    assert [from_json(to_json(each)) for each in again] == again


@settings(deadline=None)
@given(st.text(alphabet="{}[]:,-&*!\"'# \nabeventslogsnamemtchtimeou0159", max_size=120))
def test_any_text_gives_definitions_or_problems(text: str) -> None:
    try:
        parse(f"events:\n  - {text}", FILE, ["a"])
    except ConfigError as error:
        assert error.problems


# --- changes -----------------------------------------------------------------------------------------------------


def test_changes_are_told_for_people() -> None:
    old, new = (
        parse(DEFINITIONS, FILE, None)[0],
        parse(DEFINITIONS.replace("timeout: 5s", "timeout: 1m"), FILE, None)[0],
    )
    summary = 'disk-trouble event {event: "raid/**", state: [DEGRADED, ERROR]} -> '
    told = "1: ops1; 2: db3; 3: the coordinator's own node, the coordinator's own node"
    assert describe_change(None, old) == f"+ {summary}{told}"
    assert describe_change(old, None) == f"- {summary}{told}"
    assert describe_change(old, new) == "~ disk-trouble timeout: 5s -> 1m"
    assert describe_change(old, old) == ""
    assert describe_change(None, None) == ""


def test_a_change_of_destinations_names_those_that_go_and_come() -> None:
    base = Definition(name="a", kind="event", event="x", notify=(Destination(1, "db1"), Destination(2, "db2")))
    other = Definition(name="a", kind="event", event="x", notify=(Destination(1, "db1"), Destination(2, "db3")))
    assert describe_change(base, other).splitlines() == [
        "~ a notify - {priority: 2, node: db2}",
        "~ a notify + {priority: 2, node: db3}",
    ]
    swapped = Definition(name="a", kind="event", event="x", notify=base.notify[::-1])
    assert describe_change(base, swapped) == "~ a notify: the same destinations in another order"
    twice = Definition(name="a", kind="event", event="x", notify=(*base.notify, base.notify[0]))
    assert describe_change(base, twice) == "~ a notify + {priority: 1, node: db1}"
    line = Definition(name="a", kind="log", pattern="x")
    assert describe_change(Definition(name="a", kind="event", event="x"), line).splitlines() == [
        "~ a kind: event -> log",
        "~ a event: x -> absent",
        "~ a pattern: absent -> x",
    ]


@settings(deadline=None)
@given(_definitions(), _definitions())
def test_a_change_is_told_exactly_where_there_is_one(some: list[Definition], others: list[Definition]) -> None:
    for old in some:
        for new in others:
            told = describe_change(old, new)
            fields = [each for each in Definition.__struct_fields__ if each not in ("name", "version")]
            assert bool(told) is any(getattr(old, each) != getattr(new, each) for each in fields)
            assert told.replace("\n", "").isprintable()
