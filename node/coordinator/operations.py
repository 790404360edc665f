"""What operators ask for, to the manager that does it."""

from __future__ import annotations

from collections.abc import Callable

from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.notices import NoticeManager
from noroshi.node.coordinator.states import StateManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.duplicates import Handling
from noroshi.node.wire.messages import Changed, ImportDefinitions, Refused, Reply
from noroshi.node.wire.operating import (
    Acknowledge,
    AddSilence,
    EndSilence,
    Operation,
    RemoveDefinitions,
    Repaired,
    RollBack,
    RunTest,
)
from noroshi.store.connection import Connection
from noroshi.store.tables import events

DefinitionsChanged = Callable[[Connection, Turn], None]


class Operations:
    """One method, a line for each request; `changed` is told when the definitions may have."""

    def __init__(
        self,
        term: int,
        definitions: DefinitionManager,
        states: StateManager,
        notices: NoticeManager,
        changed: DefinitionsChanged,
    ) -> None:
        self._term, self._definitions, self._states = term, definitions, states
        self._notices, self._changed = notices, changed

    def work(self, connection: Connection, turn: Turn, node: str, asked: Operation) -> Reply:
        """Do it, asked on `node`; the reply waits for the commit."""
        match asked:
            case RunTest():
                return self._notices.test(connection, turn, asked)
            case RollBack():
                return self._and_look(connection, turn, self._definitions.roll_back(connection, turn, asked))
            case RemoveDefinitions():
                return self._and_look(connection, turn, self._definitions.remove(connection, turn, asked))
            case Acknowledge():
                return self._notices.troubles.acknowledgements.work(connection, turn, asked)
            case Repaired():
                return self._repaired(connection, turn, node, asked)
            case AddSilence():
                return self._notices.silences.add(connection, turn, asked)
            case EndSilence():
                return self._notices.silences.end(connection, turn, asked)

    def import_definitions(self, connection: Connection, turn: Turn, asked: ImportDefinitions) -> Reply:
        """Likewise, from a file or an editor."""
        return self._and_look(connection, turn, self._definitions.work(connection, turn, asked))

    def _repaired(self, connection: Connection, turn: Turn, node: str, asked: Repaired) -> Reply:
        """As any report of that node, with who said so; only of what there is."""
        if events.state_of(connection, asked.event) is None:
            return Refused("unknown", f"no event {asked.event}", "`noroshi status` shows the names")
        said = (asked.event, asked.state, asked.comment)
        handling = self._states.accept(connection, turn, node, *said, author=asked.author)
        if handling is Handling.COUNT:
            return Changed(self._term, [f"{asked.event} was {asked.state} already"])
        return Changed(self._term, [f"{asked.event} {asked.state}, by {asked.author}"])

    def _and_look(self, connection: Connection, turn: Turn, reply: Reply) -> Reply:
        self._changed(connection, turn)
        return reply
