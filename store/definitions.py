"""definitions.yaml: from text to definitions and back (design section 5, fig. 8 of the publication).

Role: the seed, the import and the export of definitions, and what one differs in from another, for people.
Rules: `parse` finds every problem at once. `export` writes one line a destination, in the order of names, leaves
defaults out, and gives what `parse` reads back equal; exporting that again gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from noroshi.store import applications, kinds, validation
from noroshi.store.kinds import format_duration
from noroshi.store.model import Definition, Destination, Flap, Limit
from noroshi.store.validation import Field, Given, Kind, Report, Rule, record
from noroshi.store.yamlfile import Value, flow, read_text

MAX_PRIORITY = 1_000_000
TIMEOUT = (0.001, 3600.0)
"""Seconds, least and most, of a definition's or a destination's time limit."""

AFTERWARDS = (1.0, 30 * 86400.0)
"""Seconds, least and most, until it is told again or to the next group."""

OWN_NODE = "the coordinator's own node"

_AFTERWARDS = ("repeat", "escalate", "recovery")

_BLANK = Definition(name="", kind="event")
_NOWHERE = Destination(priority=1)


def parse(text: str, file: Path, nodes: Collection[str] | None) -> list[Definition]:
    """The definitions in `text`, events first, in the order of the file; `file` names them in messages.

    `nodes` are the names of the cluster's; None: nodes are not checked. An empty file has none. Raises ConfigError.
    """
    return validation.check(text, file, _file(nodes))


def load(file: Path, nodes: Collection[str] | None) -> list[Definition]:
    """As `parse`, from the file itself. Raises ConfigError, also where the file cannot be read."""
    return parse(read_text(file), file, nodes)


def ordered(definitions: Iterable[Definition]) -> list[Definition]:
    """As `export` writes them: events, then logs, each by name."""
    return sorted(definitions, key=lambda each: (each.kind, each.name))


def export(definitions: Iterable[Definition]) -> str:
    """The YAML text of `definitions`, without their versions."""
    given = ordered(definitions)
    sections = [
        [f"{key}:", *(line for each in given if each.kind == kind for line in _lines(each))]
        for key, kind in (("events", "event"), ("logs", "log"))
    ]
    lines = [line for section in sections if len(section) > 1 for line in section]
    return "\n".join(lines or ["events: []"]) + "\n"


def describe_change(old: Definition | None, new: Definition | None) -> str:
    """What an import changes, a line each: `+` added, `-` removed, `~` a field with what it was and will be."""
    if old is None or new is None:
        one = new or old
        return "" if one is None else f"{'+' if new else '-'} {_summary(one)}"
    return "\n".join(f"~ {flow(new.name)} {line}" for line in _differences(old, new))


# --- reading -----------------------------------------------------------------------------------------------------


def _file(nodes: Collection[str] | None) -> Kind[list[Definition]]:
    name = _unused_name()
    notify = validation.list_of("notify", _destination(nodes))
    events = validation.list_of("events", _definition("an event definition", name, notify, _EVENT))
    logs = validation.list_of("logs", _definition("a log definition", name, notify, _log(nodes)))
    whole = record(
        "definitions.yaml",
        {"events": Field(events, ()), "logs": Field(logs, ())},
        lambda events, logs: [*events, *logs],
    )

    def kind(value: Value, report: Report) -> list[Definition]:
        return [] if validation.is_nothing(value) else whole(value, report)

    return kind


def _unused_name() -> Kind[str]:
    seen: dict[str, int] = {}
    base = kinds.name("name", longest=128)

    def kind(value: Value, report: Report) -> str:
        found = base(value, report)
        if found in seen:
            raise report.refuse(
                value, f"a second definition {found!r}, the first is in line {seen[found]}", "rename one"
            )
        seen[found] = value.line
        return found

    return kind


def _known_node(nodes: Collection[str] | None, base: Kind[str]) -> Kind[str]:
    def kind(value: Value, report: Report) -> str:
        found = base(value, report)
        if nodes is not None and "*" not in found and found not in nodes:
            raise report.refuse(value, f"unknown node {found!r}", validation.suggestion(found, nodes))
        return found

    return kind


_MATCH_TEXT = kinds.text("a name pattern")
_TIMEOUT = kinds.duration("timeout", *TIMEOUT)
_WITHIN = Field(kinds.duration("within", 1.0, 86400.0))
_FLAP = record("flap", {"changes": Field(kinds.integer("changes", 2, 1000)), "within": _WITHIN}, Flap)
LIMIT = record("limit", {"count": Field(kinds.integer("count", 1, 100_000)), "within": _WITHIN}, Limit)

_EVENT = record(
    "match",
    {
        "event": Field(_MATCH_TEXT),
        "state": Field(validation.one_or_many("state", kinds.text("state")), ()),
    },
    lambda **values: {"kind": "event", **values},
)


def _log(nodes: Collection[str] | None) -> Kind[dict[str, Any]]:
    return record(
        "match",
        {
            "node": Field(_known_node(nodes, _MATCH_TEXT), _BLANK.node),
            "source": Field(_MATCH_TEXT, _BLANK.source),
            "pattern": Field(kinds.pattern("pattern", empty=True)),
        },
        lambda **values: {"kind": "log", **values},
    )


def _definition(
    what: str, name: Kind[str], notify: Kind[tuple[Destination, ...]], match: Kind[dict[str, Any]]
) -> Kind[Definition]:
    fields = {
        "name": Field(name),
        "match": Field(match),
        "delivery": Field(kinds.choice("delivery", "immediate", "deferred"), _BLANK.delivery),
        "enough": Field(kinds.choice("enough", "any", "all"), _BLANK.enough),
        "timeout": Field(_TIMEOUT, _BLANK.timeout),
        "limit": Field(LIMIT, None),
        "notify": Field(notify, ()),
    }
    laws: list[Rule] = []
    if match is _EVENT:
        # Duplicate control is not applied to lines (spec 3.2).
        fields["duplicates"] = Field(kinds.choice("duplicates", "suppress", "allow"), _BLANK.duplicates)
        # A line has no state that could end.
        fields["repeat"] = Field(kinds.duration("repeat", *AFTERWARDS), None)
        fields["escalate"] = Field(kinds.duration("escalate", *AFTERWARDS), None)
        fields["recovery"] = Field(kinds.boolean("recovery"), _BLANK.recovery)
        fields["flap"] = Field(_FLAP, None)
        laws = [Rule(("match", key), partial(_needs_states, key)) for key in _AFTERWARDS]
    return record(what, fields, lambda match, **values: Definition(**match, **values), laws)


def _needs_states(key: str, given: Given) -> None:
    if given.values[key] and not given.values["match"].get("state"):
        hint = "add `state:` to match, with the states that are trouble; any other is its end"
        given.note(key, f"{key} needs states that can end", hint)


def _destination(nodes: Collection[str] | None) -> Kind[Destination]:
    return record(
        "a destination",
        {
            "priority": Field(kinds.integer("priority", 1, MAX_PRIORITY)),
            "node": Field(_known_node(nodes, kinds.name("node")), None),
            "procedure": Field(applications.PROCEDURE, _NOWHERE.procedure),
            "application": Field(kinds.raw, None),
            "wait": Field(kinds.choice("wait", "exited", "started"), _NOWHERE.wait),
            "reply": Field(kinds.choice("reply", "none", "required"), _NOWHERE.reply),
            "timeout": Field(_TIMEOUT, None),
        },
        Destination,
        [
            Rule(("procedure", "application"), _application),
            Rule(("procedure", "wait"), lambda given: _only_for(given, "wait", "process")),
            Rule(("procedure", "reply"), lambda given: _only_for(given, "reply", "message", "socket")),
        ],
    )


def _application(given: Given) -> None:
    procedure, has_application = given.values["procedure"], "application" in given.places
    if procedure == "default":
        if has_application:
            known = ", ".join(applications.PROCEDURES)
            given.note("application", "an application needs a procedure", f"add `procedure:` with one of {known}")
    elif not has_application:
        given.note("procedure", f"procedure {procedure} needs an application")
    else:
        applications.settle(given)


def _only_for(given: Given, name: str, *procedures: str) -> None:
    procedure = given.values["procedure"]
    if name in given.places and procedure not in procedures:
        where = "here is none" if procedure == "default" else f"here is {procedure}"
        given.note(
            name, f"{name} means something for procedure {' or '.join(procedures)} only, {where}", "leave it out"
        )


# --- writing -----------------------------------------------------------------------------------------------------


def _lines(definition: Definition) -> Iterator[str]:
    yield f"  - name: {flow(definition.name)}"
    for key, shown in _shown(definition):
        yield f"    {key}: {shown}"
    if definition.notify:
        yield "    notify:"
        for destination in definition.notify:
            yield f"      - {_destination_text(destination)}"


def _shown(definition: Definition) -> Iterator[tuple[str, str]]:
    """The fields that are not defaults, as the file has them; name and destinations apart."""
    yield "match", flow(_match(definition))
    for key in ("duplicates", "delivery", "enough"):
        value = getattr(definition, key)
        if value != getattr(_BLANK, key):
            yield key, flow(value)
    if definition.timeout != _BLANK.timeout:
        yield "timeout", format_duration(definition.timeout)
    yield from ((key, shown) for key, shown in _afterwards(definition) if shown not in ("never", "false"))


def _afterwards(definition: Definition) -> Iterator[tuple[str, str]]:
    for key in ("repeat", "escalate"):
        value = getattr(definition, key)
        yield key, "never" if value is None else format_duration(value)
    yield "recovery", flow(definition.recovery)
    flap, limit = definition.flap, definition.limit
    yield "flap", f"{{changes: {flap.changes}, within: {format_duration(flap.within)}}}" if flap else "never"
    yield "limit", f"{{count: {limit.count}, within: {format_duration(limit.within)}}}" if limit else "never"


def _match(definition: Definition) -> dict[str, object]:
    if definition.kind == "event":
        return {"event": definition.event} | ({"state": list(definition.state)} if definition.state else {})
    places = {key: getattr(definition, key) for key in ("node", "source")}
    return {k: v for k, v in places.items() if v != getattr(_BLANK, k)} | {"pattern": definition.pattern}


def _destination_text(destination: Destination) -> str:
    """One line of fig. 8, defaults left out."""
    parts = [f"priority: {destination.priority}"]
    for key in ("node", "procedure", "application", "wait", "reply"):
        value = getattr(destination, key)
        if value != getattr(_NOWHERE, key):
            parts.append(f"{key}: {_application_text(value) if key == 'application' else flow(value)}")
    if destination.timeout is not None:
        parts.append(f"timeout: {format_duration(destination.timeout)}")
    return "{" + ", ".join(parts) + "}"


def _application_text(application: object) -> str:
    if not isinstance(application, dict):
        return flow(application)
    kind = f", type: {application['type']}" if "type" in application else ""
    return f"{{key: 0x{application['key']:08x}{kind}}}"


# --- differences -------------------------------------------------------------------------------------------------


def _summary(definition: Definition) -> str:
    told = "; ".join(f"{priority}: {', '.join(nodes)}" for priority, nodes in sorted(_groups(definition).items()))
    return f"{flow(definition.name)} {definition.kind} {flow(_match(definition))} -> {told or OWN_NODE}"


def _groups(definition: Definition) -> dict[int, list[str]]:
    """The nodes of each priority."""
    groups: dict[int, list[str]] = {}
    for each in definition.notify:
        groups.setdefault(each.priority, []).append(OWN_NODE if each.node is None else each.node)
    return groups


def _differences(old: Definition, new: Definition) -> Iterator[str]:
    before, after = dict(_fields(old)), dict(_fields(new))
    for key in sorted(before.keys() | after.keys(), key=[*before, *after].index):
        if before.get(key) != after.get(key):
            yield f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
    gone, come = map(_destination_text, old.notify), map(_destination_text, new.notify)
    yield from _moves(list(gone), list(come))


def _fields(definition: Definition) -> Iterator[tuple[str, str]]:
    """Every field a person compares, defaults too."""
    yield "kind", definition.kind
    yield from ((key, flow(value)) for key, value in _match(definition).items())
    yield from ((key, flow(getattr(definition, key))) for key in ("duplicates", "delivery", "enough"))
    yield "timeout", format_duration(definition.timeout)
    yield from _afterwards(definition)


def _moves(before: list[str], after: list[str]) -> Iterator[str]:
    if before != after and sorted(before) == sorted(after):
        yield "notify: the same destinations in another order"
    yield from (f"notify - {each}" for each in (Counter(before) - Counter(after)).elements())
    yield from (f"notify + {each}" for each in (Counter(after) - Counter(before)).elements())
