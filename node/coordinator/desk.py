"""The desk: which manager works on which message, and what happens between them.

Role: everything decided in a turn is decided below here, inside one transaction. A desk belongs to one consistent
state of the database: after a rollback it is thrown away and a new one is restored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from noroshi.node.coordinator.deferred import DeferredItems
from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.events import EventStreams
from noroshi.node.coordinator.intake import Asked
from noroshi.node.coordinator.lines import LogManager
from noroshi.node.coordinator.nodes import NodeJudge
from noroshi.node.coordinator.notices import NoticeManager
from noroshi.node.coordinator.notifications import NotificationManager
from noroshi.node.coordinator.operations import Operations
from noroshi.node.coordinator.search import BoundedSearch
from noroshi.node.coordinator.states import StateManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.subject import NodeState
from noroshi.node.wire.messages import (
    Acknowledged,
    Answer,
    EventBatch,
    Heard,
    Hold,
    ImportDefinitions,
    Left,
    LineBatch,
    LogBatch,
    Ping,
    Reply,
    Views,
    Withdraw,
)
from noroshi.store.config import Cluster
from noroshi.store.connection import Connection
from noroshi.store.damage import story
from noroshi.store.layout import Layout
from noroshi.store.tables import events, meta
from noroshi.store.values import mend_values

log = logging.getLogger(__name__)

LOOK_AT = "look at the shared disk and the memory of this node"
"""What to do where rows are damaged."""
NAMED = 10
"""Of things that are many, how many are named."""
TOLD = "begun_told"
"""The key in `meta` of the last story of a lost database that was told."""


@dataclass(frozen=True)
class Noticed:
    """Something the coordinator saw of its own doing, to be an event; OK only where it was not."""

    event: str
    state: str
    supplement: str


Item = Asked | Answer | Heard | Left | Views | Noticed


@dataclass(frozen=True)
class Term:
    """Whose desk it is. `item_most`: bytes of the largest item in a packet of its daemon's."""

    node: str
    term: int
    endpoint: str
    cluster: Cluster
    layout: Layout
    item_most: int = 0


class Desk:
    """`search` runs the definitions' patterns; `reopened(node)` is told of a node that came back from the dead."""

    def __init__(self, term: Term, search: BoundedSearch, reopened: Callable[[str], None]) -> None:
        self._term, self._reopened = term, reopened
        slack = 2 * term.cluster.heartbeat.interval
        self.definitions = DefinitionManager(term.layout, term.cluster.names, term.term)
        self.states = StateManager(term.node, self.definitions, self._notify, self._changed)
        self.streams = EventStreams(self.states)
        self.notifications = NotificationManager(
            term.node, term.cluster.name, term.term, slack, self.states.store_failure, term.item_most
        )
        self.notices = NoticeManager(
            term.node,
            self.definitions,
            self.notifications,
            frozenset(term.cluster.names),
            term.term,
            term.cluster.limit,
            self._doubt,
        )
        self.operations = Operations(term.term, self.definitions, self.states, self.notices, self._look_at_definitions)
        self.lines = LogManager(self.definitions, self._notify, search, self.streams.gap, self._slow_pattern)
        self.deferred = DeferredItems(term.layout, self.streams, self.lines, self.notifications.answer)
        self.nodes = NodeJudge(term.cluster, term.node, self._node_changed, self._seen)

    def restore(self, connection: Connection, turn: Turn) -> None:
        """Take over what the database holds; a term's first desk also mends it before, and says that it leads."""
        begins = meta.get(connection, "term") != str(self._term.term)
        mended = mend_values(connection, turn.at) if begins else []
        self.definitions.restore(connection)
        self.nodes.restore(connection, turn)
        self.notices.restore(connection)
        self.lines.restore(connection, turn)
        self.notifications.restore(connection, turn, self.nodes.states())
        self.streams.restored = self.lines.restored = story(connection) is not None
        if begins:
            self._begin_term(connection, turn, mended)

    def _begin_term(self, connection: Connection, turn: Turn, mended: list[str]) -> None:
        own = self._term
        meta.put(connection, "term", str(own.term))
        wrong = self.definitions.seed(connection, turn.at)
        if mended:
            self._doubt(connection, turn, f"values that cannot be right were mended in {', '.join(mended)}")
        if left := self.notifications.left_alone:
            numbers = ", ".join(str(number) for number in left[:NAMED]) + (" ..." if len(left) > NAMED else "")
            self._doubt(connection, turn, f"notifications that cannot be resumed are left as they are: {numbers}")
        self._tell_story(connection, turn)
        self._seen(connection, turn, "coordinator", "OK", f"{own.node} leads, term {own.term}")
        if wrong is not None:
            self._seen(connection, turn, f"monitor/{own.node}/definitions", "ERROR", wrong)
        self._look_at_definitions(connection, turn)

    def _tell_story(self, connection: Connection, turn: Turn) -> None:
        """That the database was lost and begun again, once."""
        begun = story(connection)
        if begun is not None and meta.get(connection, TOLD) != str(begun.at):
            meta.put(connection, TOLD, str(begun.at))
            self._seen(connection, turn, "coordinator/database", "ERROR", str(begun))

    def _look_at_definitions(self, connection: Connection, turn: Turn) -> None:
        """A definition that nothing can go by, or not all: it is told, and when it is mended (spec 7)."""
        wrong = {}
        for name, nodes in self.definitions.strangers().items():
            wrong[f"definition/{name}"] = "WARNING", f"not in cluster.yaml: {', '.join(nodes)}"
        for name, why in self.definitions.unreadable(connection).items():
            what = f"set aside, its newest version cannot be read: {why}; import it again or roll it back"
            wrong[f"definition/{name}"] = "ERROR", what
        for event, (state, what) in wrong.items():
            self._seen(connection, turn, event, state, what)
        for row in events.states_like(connection, "definition/"):
            if row.state in ("WARNING", "ERROR") and row.event not in wrong:
                self._seen(connection, turn, row.event, "OK", "")

    def work(self, connection: Connection, turn: Turn, item: Item) -> None:
        """One message; its reply, if it has one, waits in the turn for the commit."""
        match item:
            case Asked():
                turn.replies.append((item.route, self._reply(connection, turn, item)))
            case Answer():
                self.notifications.answer(connection, turn, item)
            case Heard():
                turn.positions[item.batch.stream] = self.deferred.accept(connection, turn, item.node, item.batch)
            case Left():
                self.notifications.left(connection, turn, item.deliveries)
            case Views():
                self.nodes.observe(connection, turn, item)
            case Noticed():
                self._noticed(connection, turn, item)

    def finish(self, connection: Connection, turn: Turn) -> None:
        """The end of a turn: what time alone brings, and what was only counted."""
        self.lines.tick(connection, turn)
        self.notices.tick(connection, turn)
        self.notifications.tick(connection, turn)
        self.states.flush(connection)

    @property
    def outstanding(self) -> int:
        """Deliveries sent and not ended."""
        return self.notifications.outstanding

    def next_deadline(self) -> float | None:
        """When a turn is due though nothing arrives, monotonic seconds."""
        due = (self.lines.next_deadline(), self.notices.next_deadline(), self.notifications.next_deadline())
        return min((one for one in due if one is not None), default=None)

    def _reply(self, connection: Connection, turn: Turn, asked: Asked) -> Reply:
        node, body = asked.request.node, asked.request.body
        match body:
            case EventBatch():
                position = self.streams.accept(connection, turn, node, body, "events")
                return Acknowledged(self._term.term, {body.stream: position})
            case LogBatch():
                return Acknowledged(self._term.term, self.lines.accept(connection, turn, node, body))
            case LineBatch():
                position = self.deferred.accept(connection, turn, node, body)
                return Acknowledged(self._term.term, {body.stream: position})
            case ImportDefinitions():
                return self.operations.import_definitions(connection, turn, body)
            case Ping() | Hold():
                return Acknowledged(self._term.term)
        return self.operations.work(connection, turn, node, body)

    def _notify(self, connection: Connection, turn: Turn, *arguments: object) -> None:
        self.notices.notify(connection, turn, *arguments)  # type: ignore[arg-type]

    def _changed(self, connection: Connection, turn: Turn, event: str, state: str | None) -> None:
        self.notices.changed(connection, turn, event, state)

    def _slow_pattern(self, connection: Connection, turn: Turn, pattern: str, aside: bool) -> None:
        state, what = ("ERROR", "set aside until the next coordinator") if aside else ("WARNING", "ran out of time")
        what = f"pattern {pattern!r} {what}: simplify it"
        self._seen(connection, turn, f"monitor/{self._term.node}/definitions", state, what)

    def _noticed(self, connection: Connection, turn: Turn, item: Noticed) -> None:
        present = events.state_of(connection, item.event)
        if item.state != "OK" or (present is not None and present.state != "OK"):
            self._seen(connection, turn, item.event, item.state, item.supplement)

    def _seen(self, connection: Connection, turn: Turn, event: str, state: str, supplement: str) -> None:
        """An event of the coordinator's own."""
        self.states.accept(connection, turn, self._term.node, event, state, supplement)

    def _doubt(self, connection: Connection, turn: Turn, what: str) -> None:
        """A row of the database that cannot be as it was written."""
        log.error("in the database %s", what)
        self._seen(connection, turn, "coordinator/database", "WARNING", f"{what}: {LOOK_AT}")

    def _node_changed(self, connection: Connection, turn: Turn, node: str, state: NodeState) -> None:
        if state == "UP":
            self._reopened(node)
        self.notifications.node_changed(connection, turn, node, state)
        if state in ("DOWN", "STOPPED"):
            turn.carried.append(Withdraw(node))
