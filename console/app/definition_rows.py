"""The definitions screen as rows: each definition with its destinations grouped by priority (fig. 8); pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.state_rows import shown
from noroshi.console.output import application_words
from noroshi.store.definitions import OWN_NODE
from noroshi.store.kinds import format_duration
from noroshi.store.model import Definition, Destination
from noroshi.store.tables.definitions import VersionRow

LEFT = "LEFT"
"""What is shown for a node that is not in cluster.yaml; no node declares it."""


@dataclass(frozen=True)
class Heading:
    """The title of a group and how many definitions are in it."""

    title: str
    count: int

    @property
    def key(self) -> str:
        return f"heading {self.title}"


@dataclass(frozen=True)
class DefinitionRow:
    """A definition, or what its removal left."""

    head: VersionRow

    @property
    def name(self) -> str:
        return self.head.name

    @property
    def key(self) -> str:
        return f"definition {self.name}"

    @property
    def texts(self) -> tuple[str, ...]:
        one = self.head.definition
        what = () if one is None else (shown(matched(one)), shown(options(one)))
        return shown(self.name), *what, shown(self.head.author), shown(self.head.note)


@dataclass(frozen=True)
class DestinationRow:
    """One destination; `state` is that of its node now, empty where it names none. `first` of its priority."""

    name: str
    at: int
    destination: Destination
    node: str
    state: str
    first: bool

    @property
    def key(self) -> str:
        return f"destination {self.at} of {self.name}"

    @property
    def texts(self) -> tuple[str, ...]:
        one = self.destination
        return (
            shown(self.node),
            shown(self.state),
            one.procedure,
            shown(application_words(one.application)),
            extras(one),
        )


Row = Heading | DefinitionRow | DestinationRow
Item = DefinitionRow | DestinationRow


@dataclass(frozen=True)
class Rows:
    """All of it; `matched` of `total` definitions passed the filter, `strangers` name a node that left."""

    rows: tuple[Row, ...]
    matched: int
    total: int
    strangers: int


def build(heads: Iterable[VersionRow], states: Mapping[str, str], own: str | None, wanted: TextFilter) -> Rows:
    """The rows in order: events, log patterns, removed ones; `states` of the cluster's nodes, `own` leads (or None)."""
    kept = list(heads)
    groups = {
        "events": [head for head in kept if head.definition is not None and head.definition.kind == "event"],
        "log patterns": [head for head in kept if head.definition is not None and head.definition.kind == "log"],
        "removed": [head for head in kept if head.definition is None],
    }
    rows: list[Row] = []
    matched_count = strangers = 0
    for title, members in groups.items():
        blocks = [_block(head, states, own) for head in members]
        strangers += sum(
            any(isinstance(row, DestinationRow) and row.state == LEFT for row in block) for block in blocks
        )
        fitting = [block for block in blocks if wanted.accepts(*(text for row in block for text in row.texts))]
        matched_count += len(fitting)
        if fitting:
            rows += [Heading(title, len(fitting)), *(row for block in fitting for row in block)]
    return Rows(tuple(rows), matched_count, len(kept), strangers)


def _block(head: VersionRow, states: Mapping[str, str], own: str | None) -> list[Item]:
    if head.definition is None:
        return [DefinitionRow(head)]
    block: list[Item] = [DefinitionRow(head)]
    last = 0
    for at, one in enumerate(in_order(head.definition)):
        if one.node is None:
            node, state = OWN_NODE + (f", now {own}" if own else ""), ""
        else:
            node, state = one.node, states.get(one.node, LEFT)
        block.append(DestinationRow(head.name, at, one, node, state, one.priority != last))
        last = one.priority
    return block


def in_order(one: Definition) -> list[Destination]:
    """The destinations as fig. 7 goes through them; where none is named, the one that spec 4.2 means."""
    return sorted(one.notify, key=lambda each: each.priority) or [Destination(priority=1)]


# --- words -------------------------------------------------------------------------------------------------------


def matched(one: Definition) -> str:
    """What a definition matches, in a line."""
    if one.kind == "event":
        return f"{one.event}  {' '.join(one.state) or 'any state'}"
    places = [f"{key} {value}" for key, value in (("node", one.node), ("in", one.source)) if value != "**"]
    return "  ".join([repr(one.pattern) if one.pattern else "every line", *places])


def options(one: Definition) -> str:
    """What is not as it is by default."""
    parts = ["duplicates"] if one.duplicates == "allow" else []
    parts += ["deferred"] if one.delivery == "deferred" else []
    parts += ["all of a group"] if one.enough == "all" else []
    parts += [f"timeout {format_duration(one.timeout)}"] if one.timeout != 10.0 else []
    parts += [f"{key} {format_duration(value)}" for key in ("repeat", "escalate") if (value := getattr(one, key))]
    parts += ["recovery"] if one.recovery else []
    parts += [f"flap {one.flap.changes} in {format_duration(one.flap.within)}"] if one.flap else []
    parts += [f"limit {one.limit.count} in {format_duration(one.limit.within)}"] if one.limit else []
    return ", ".join(parts)


def extras(one: Destination) -> str:
    """What is not as it is by default."""
    parts = ["wait started"] if one.wait == "started" else []
    parts += ["reply required"] if one.reply == "required" else []
    parts += [f"timeout {format_duration(one.timeout)}"] if one.timeout is not None else []
    return ", ".join(parts)
