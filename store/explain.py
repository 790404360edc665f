"""'Who would be told now': what S1 to S4 of fig. 7, duplicate control and the silences would do with one event or line.

Role: pure; the command and the console read the facts from the database and show the answer, coordinator or not.
Rules: it predicts and is tested against the engine and duplicate control themselves. What only time or an answer can
tell (a time limit, a failure) is not predicted: the groups behind the first live one say that they follow it. What is
held back says by what, why, and what comes of it; whoever heard of something is foreseen to hear that it is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

from noroshi.store.clock import to_iso
from noroshi.store.matching import NamePattern
from noroshi.store.model import FAILURE_EVENT, Application, Definition, Destination
from noroshi.store.silences import Silence, covering_event, covering_line

GONE = {"DOWN": "node is down", "STOPPED": "node is stopped"}
"""States of nodes that are skipped, and what is stored with the attempt then (spec 4.3)."""

SAME = "same state and supplement as the current one"
RECOVERY = "recovery"
AFTER_ANSWERS = "when the answers that are out have come"
NOT_ALLOWING = "same as the current one, and another definition alone allows duplicates"


@dataclass(frozen=True)
class EventAsked:
    """An event as some node would report it now."""

    event: str
    state: str
    supplement: str
    node: str


@dataclass(frozen=True)
class LineAsked:
    """A line as it would be selected on some node."""

    line: str
    source: str
    node: str


@dataclass(frozen=True)
class Keeping:
    """What holds something back for flapping or by a limit: why, as it is stored, and what comes then."""

    why: str
    then: str


@dataclass(frozen=True)
class Room:
    """How many definitions more may be told now under the cluster's own limit, and what then keeps back the rest."""

    left: int
    then: Keeping


@dataclass(frozen=True)
class TakenOn:
    """Who has acknowledged the event in which state; `until` None: while that lasts."""

    state: str
    author: str
    comment: str
    until: int | None


@dataclass(frozen=True)
class Facts:
    """What the database holds. `current` is (state, supplement) of the event's row; `own` the leader's node or None;
    `held` what is held back for flapping or by a limit, or would be from now on, as (definition or empty, event or
    empty): by what; `room` under the cluster's own limit, None where it has none. `acknowledged`: who has taken the
    event on; `heard`: by definition, who heard of the trouble; `telling`: the definitions that tell of it now."""

    definitions: tuple[Definition, ...]
    current: tuple[str, str] | None
    nodes: Mapping[str, str]
    members: frozenset[str]
    silences: tuple[Silence, ...]
    own: str | None
    held: Mapping[tuple[str, str], Keeping]
    acknowledged: TakenOn | None = None
    heard: Mapping[str, tuple[Destination, ...]] = field(default_factory=dict)
    telling: frozenset[str] = frozenset()
    room: Room | None = None


@dataclass(frozen=True)
class Told:
    """One destination: whether it would be tried with its group, or is skipped, and why."""

    node: str
    procedure: str
    application: Application
    tried: bool
    reason: str


@dataclass(frozen=True)
class Group:
    """Destinations of one priority. turn: now, or after what (the group before failed, who is being told of the trouble
    has answered); never: all are down."""

    priority: int
    turn: str
    destinations: tuple[Told, ...]


@dataclass(frozen=True)
class Explained:
    """One definition that matches; `told` is false where something keeps it from being notified: `reason` says what.

    `notes`: what else is so: how long it is held back, what an acknowledgement does. A definition that matches no more,
    but tells those who heard that it is over, is told for the reason RECOVERY.
    """

    definition: str
    version: int
    told: bool
    reason: str
    enough: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()


def explain(asked: EventAsked | LineAsked, facts: Facts) -> tuple[Explained, ...]:
    """Each definition that matches (none where nothing is defined, S1), then those that tell that it is over."""
    if isinstance(asked, LineAsked):
        matching = [one for one in facts.definitions if _matches_line(one, asked)]
    else:
        matching = [one for one in facts.definitions if _matches_event(one, asked)]
    if not matching and _is_failure(asked):
        matching = [Definition(name="", kind="event", event=FAILURE_EVENT)]
    allowing = any(one.duplicates == "allow" for one in matching)
    found = list(_explained_in_turn(matching, asked, facts, allowing))
    if isinstance(asked, EventAsked):
        found += _recoveries(asked, facts, {one.name for one in matching})
    return tuple(found)


def _explained_in_turn(
    matching: Iterable[Definition], asked: EventAsked | LineAsked, facts: Facts, allowing: bool
) -> Iterable[Explained]:
    """Each that is told takes a place under the cluster's own limit from those behind it."""
    room = None if _is_failure(asked) else facts.room
    for one in matching:
        said = _explained(one, asked, facts, allowing)
        if room is not None and said.told:
            if room.left <= 0:
                said = replace(said, told=False, reason=room.then.why, notes=(room.then.then, *said.notes))
            room = replace(room, left=room.left - 1)
        yield said


def _is_failure(asked: EventAsked | LineAsked) -> bool:
    """Whether it is a notification failure, which is held back by nothing."""
    return isinstance(asked, EventAsked) and asked.event == FAILURE_EVENT


def _matches_event(one: Definition, asked: EventAsked) -> bool:
    fits = one.kind == "event" and NamePattern(one.event).matches(asked.event)
    return fits and (not one.state or asked.state in one.state)


def _matches_line(one: Definition, asked: LineAsked) -> bool:
    fits = (
        one.kind == "log"
        and NamePattern(one.node).matches(asked.node)
        and NamePattern(one.source).matches(asked.source)
    )
    return fits and (not one.pattern or re.search(one.pattern, asked.line) is not None)


def _explained(one: Definition, asked: EventAsked | LineAsked, facts: Facts, allowing: bool) -> Explained:
    why, then = _kept_back(one, asked, facts, allowing)
    notes = [then] if then else []
    if isinstance(asked, EventAsked) and facts.acknowledged is not None:
        notes += _of_acknowledgement(one, asked.state, facts.acknowledged)
    return Explained(one.name, one.version, not why, why, one.enough, tuple(_groups(one, facts)), tuple(notes))


def _of_acknowledgement(one: Definition, state: str, by: TakenOn) -> list[str]:
    """What it does to this definition: it never keeps a change from being told."""
    until = "while that lasts" if by.until is None else f"until {to_iso(by.until)}"
    why = f": {by.comment}" if by.comment else ""
    if state != by.state:
        return [f"ends the acknowledgement of {by.state} by {by.author}{why}"]
    kept = [word for word, there in (("repeats", one.repeat), ("escalations", one.escalate)) if there is not None]
    if not kept:
        return []
    return [f"{' and '.join(kept)} held back: {by.state} acknowledged by {by.author}, {until}{why}"]


def _recoveries(asked: EventAsked, facts: Facts, matching: set[str]) -> Iterable[Explained]:
    """Those who heard of it by a definition that covers it no more; a silence holds none of this back."""
    for one in facts.definitions:
        heard = facts.heard.get(one.name, ())
        if one.recovery and heard and one.name not in matching:
            told = tuple(_told(each, facts) for each in heard)
            turn = AFTER_ANSWERS if one.name in facts.telling else "now"
            yield Explained(one.name, one.version, True, RECOVERY, "all", (Group(1, turn, told),))


def _kept_back(one: Definition, asked: EventAsked | LineAsked, facts: Facts, allowing: bool) -> tuple[str, str]:
    """Why this definition would not be notified (empty: it would), and what comes then."""
    if isinstance(asked, LineAsked):
        silence, name = covering_line(facts.silences, asked.source, asked.node), ""
    else:
        if facts.current == (asked.state, asked.supplement) and one.duplicates != "allow":
            return (NOT_ALLOWING if allowing else SAME), ""
        silence, name = covering_event(facts.silences, asked.event, asked.node), asked.event
    if silence is not None:
        then = "" if isinstance(asked, LineAsked) else "told when the silence ends, if it is still so"
        return f"silenced: {silence}, until {to_iso(silence.until)}", then
    if _is_failure(asked):
        return "", ""
    keys = ((one.name, name), (one.name, ""), ("", ""))
    found = next((facts.held[key] for key in keys if key in facts.held), Keeping("", ""))
    return found.why, found.then


def _groups(one: Definition, facts: Facts) -> Iterable[Group]:
    before: int | None = None
    order = sorted(one.notify, key=lambda each: each.priority) or [Destination(priority=1)]
    for priority, members in groupby(order, key=lambda each: each.priority):
        told = tuple(_told(each, facts) for each in members)
        if not any(each.tried for each in told):
            yield Group(priority, "never: every node of it is down", told)
        else:
            yield Group(priority, "now" if before is None else f"when priority {before} has failed", told)
            before = priority


def _told(one: Destination, facts: Facts) -> Told:
    node = one.node or facts.own
    if node is None:
        return Told("", one.procedure, one.application, True, "the node of whoever leads then")
    own = "" if one.node else "the coordinator's own node"
    gone = GONE.get(facts.nodes.get(node, "UP"), "")
    if not gone and node not in facts.members:
        gone, tried = "node is not in cluster.yaml: no answer would come", True
    else:
        tried = not gone
    return Told(node, one.procedure, one.application, tried, gone or own)
