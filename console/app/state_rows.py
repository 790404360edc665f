"""The status screen as rows: the nodes, then the states by category, worst first (fig. 4); pure.

Many healthy rows of a group are folded into one line, so that trouble is never pushed off the screen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from noroshi.console.app.filtering import TextFilter
from noroshi.console.failure import supplement_words
from noroshi.console.holding import in_force, node_note, state_note
from noroshi.console.queries import Status
from noroshi.console.sanitise import visible
from noroshi.console.severity import Severity, severity_of, state_mark
from noroshi.console.times import Clockface
from noroshi.console.watching import gone_nodes, unwatched_since
from noroshi.store.views import NodeState, State

FOLD_ABOVE = 16
"""A group with more healthy rows than that folds them."""

LONGEST = 1000
"""Characters of a text that a row can show at most."""

CATEGORIES = ("system", "user", "maintenance")


@dataclass(frozen=True)
class Heading:
    """The title of a group and how many are in which state, worst first; `past`: those among them that nobody watches
    any more."""

    group: str
    counts: tuple[tuple[str, int], ...]
    past: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        return f"heading {self.group}"


@dataclass(frozen=True)
class Folded:
    """Healthy rows that are not listed, `past` of them were so when they were last watched."""

    group: str
    count: int
    past: int = 0

    @property
    def key(self) -> str:
        return f"folded {self.group}"


@dataclass(frozen=True)
class NodeRow:
    """One node; `note` is what stands beside it."""

    node: NodeState
    note: str = ""

    @property
    def key(self) -> str:
        return f"node {self.node.node}"

    @property
    def as_of(self) -> None:
        """Nodes are watched as long as anything is."""

    @property
    def state(self) -> str:
        return self.node.state

    @property
    def texts(self) -> tuple[str, ...]:
        note = ", ".join(filter(None, (self.note, self.node.damaged and "DAMAGED ROW")))
        return shown(self.node.state), shown(self.node.node), "", shown(note)


@dataclass(frozen=True)
class StateRow:
    """One row of the state table; `note` stands before its supplement. `as_of`: the last instant of which it tells for
    sure, where the node that saw it is gone."""

    row: State
    note: str = ""
    as_of: int | None = None

    @property
    def key(self) -> str:
        return f"state {self.row.event}"

    @property
    def state(self) -> str:
        return self.row.state

    @property
    def texts(self) -> tuple[str, ...]:
        words = supplement_words(self.row.event, self.row.supplement)
        supplement = f"[{self.note}] {words}" if self.note else words
        return shown(self.row.state), shown(self.row.event), shown(self.row.node), shown(supplement)


Row = Heading | Folded | NodeRow | StateRow
Item = NodeRow | StateRow


@dataclass(frozen=True)
class Rows:
    """All of it; `matched` of `total` items passed the filter."""

    rows: tuple[Row, ...]
    matched: int
    total: int


def shown(text: str) -> str:
    """What a row can show of a text from outside."""
    return visible(text[:LONGEST])


def build(status: Status, wanted: TextFilter, fold: bool, now: int = 0, face: Clockface | None = None) -> Rows:
    """The rows in order; with a filter nothing is folded, for what was sought is to be seen."""
    groups = list(_groups(status, now, face or Clockface()))
    rows: list[Row] = []
    matched = 0
    for group, items in groups:
        kept = [item for item in items if wanted.accepts(*item.texts)]
        matched += len(kept)
        if kept:
            past = counted(item.state for item in kept if item.as_of is not None)
            rows.append(Heading(group, counted(item.state for item in kept), past))
            rows += _folded(group, kept) if fold and not wanted.text else kept
    return Rows(tuple(rows), matched, sum(len(items) for _, items in groups))


def counted(states: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """How many are in each state, worst first."""
    return tuple(sorted(Counter(states).items(), key=lambda one: (severity_of(one[0]), one[0])))


def tally(counts: Sequence[tuple[str, int]], ago: str = "", past: Sequence[tuple[str, int]] = ()) -> str:
    """✖ 1 DOWN  ● 3 UP; while nobody watches ✖ 1 DOWN  ? 2 OK  ? 3 UP 4m ago; `past`: ● 3 OK  ? 2 OK."""
    if ago or not past:
        marks = [state_mark(state, f"{count} {shown(state)}", ago) for state, count in counts]
        words = "  ".join(mark.text.removesuffix(f" {ago} ago") for mark in marks)
        return f"{words} {ago} ago" if ago and marks and marks[-1].past else words
    watched = Counter(dict(counts)) - Counter(dict(past))
    known = [f"? {count} {shown(state)}" for state, count in past]
    return "  ".join([tally([(state, watched[state]) for state, _ in counts if watched[state]]), *known]).strip()


def troubles(rows: Sequence[Row]) -> list[int]:
    """The indices of the rows that tell of trouble."""
    return [at for at, row in enumerate(rows) if isinstance(row, Item) and severity_of(row.state).is_trouble]


def _groups(status: Status, now: int, face: Clockface) -> Iterable[tuple[str, list[Item]]]:
    silences = status.holding.silences
    standing, gone = in_force(silences, now), gone_nodes(status.nodes)
    nodes = [NodeRow(node, node_note(node, silences, now, face)) for node in status.nodes]
    yield "nodes", sorted(nodes, key=lambda item: severity_of(item.state))
    categories = {row.category for row in status.states}
    for category in (*CATEGORIES, *sorted(categories.difference(CATEGORIES))):
        items: list[Item] = [
            StateRow(row, state_note(row, standing), unwatched_since(row, gone))
            for row in status.states
            if row.category == category
        ]
        yield category, sorted(items, key=lambda item: (severity_of(item.state), item.as_of is None, item.key))


def _folded(group: str, items: list[Item]) -> list[Row]:
    healthy = [item for item in items if severity_of(item.state) is Severity.GOOD]
    if len(healthy) <= FOLD_ABOVE:
        return list(items)
    past = sum(item.as_of is not None for item in healthy)
    listed = (item for item in items if severity_of(item.state) is not Severity.GOOD)
    return [*listed, Folded(group, len(healthy), past)]
