"""Between S1 and fig. 7: whether what is defined is told now, held back, or told for another reason (spec 7).

Role: the state and the log manager ask here for every definition that matches; tests, and what a silence held back,
begin here too.
Rules: what is held back is recorded as a notification of its own, with what kept it and why. A notification failure
is held back by nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import msgspec

from noroshi.node.coordinator import payload
from noroshi.node.coordinator.damping import DampingManager, summary
from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.notifications import NotificationManager
from noroshi.node.coordinator.silences import SilenceManager, why
from noroshi.node.coordinator.troubles import TroubleManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.notification import in_order
from noroshi.node.core.subject import CHANGE, Cause, Plan, Subject
from noroshi.node.wire.messages import Refused
from noroshi.node.wire.operating import Begun, RunTest
from noroshi.store.connection import Connection
from noroshi.store.model import Definition, Destination, Limit, category_of
from noroshi.store.silences import Silence
from noroshi.store.tables import events, nodes
from noroshi.store.tables.events import EventRow
from noroshi.store.tables.holds import HoldRow

HELD_STATE = "HELD"
"""The state of a summary's event."""
TEST_STATE = "TEST"
"""The state of a test's event; nothing else begins so, and no test is ever the state of anything."""


class NoticeManager:
    """`silences` is restored by the desk before anything is told; `doubt` tells of a row that cannot be right."""

    def __init__(
        self,
        own_node: str,
        definitions: DefinitionManager,
        notifications: NotificationManager,
        members: frozenset[str],
        term: int,
        limit: Limit | None,
        doubt: Callable[[Connection, Turn, str], None],
    ) -> None:
        self._own_node, self._definitions, self._notifications, self._term = own_node, definitions, notifications, term
        self.silences = SilenceManager(members, term, self._resume, self._silence_ended)
        self.troubles = TroubleManager(term, definitions, notifications.notify, self.silences.covering, doubt)
        self.damping = DampingManager(definitions, limit, self._calm)
        notifications.settled = self.troubles.settled
        notifications.heard_late = self.troubles.heard_late
        self._due: float | None = None

    def restore(self, connection: Connection) -> None:
        self.silences.restore(connection)
        self.troubles.restore(connection)
        self.damping.restore(connection)

    def changed(self, connection: Connection, turn: Turn, event: str, state: str | None) -> None:
        """The history has one more of this event, and S4-4 made it `state` (None: it did not), before S4-5."""
        self.damping.changed(connection, turn, event)
        if state is not None:
            self.troubles.changed(connection, turn, event, state)

    def notify(
        self,
        connection: Connection,
        turn: Turn,
        definition: Definition | None,
        subject: Subject,
        cause: Cause = CHANGE,
    ) -> None:
        """S1 said yes: tell it, or keep it back."""
        if definition is None or subject.kind == "failure-event":
            self._notifications.notify(connection, turn, definition, subject, cause)
        elif (silence := self.silences.covering(subject, turn.at)) is not None:
            self._notifications.hold(connection, turn, definition, subject, silence.holder, why(silence))
            self.troubles.back(connection, turn, definition, subject)
        elif (held := self.damping.admit(connection, turn, definition, subject)) is not None:
            reason = self.damping.reason(held, definition)
            self._notifications.hold(connection, turn, definition, subject, held.holder, reason)
            after = self.troubles.back if held.kind == "flap" else self.troubles.held
            after(connection, turn, definition, subject)
        else:
            trouble = self.troubles.told(connection, turn, definition, subject)
            if trouble is not None:
                cause = msgspec.structs.replace(cause, trouble=trouble)
            self._notifications.notify(connection, turn, definition, subject, cause)

    def tick(self, connection: Connection, turn: Turn) -> None:
        """What time alone brings."""
        self.silences.tick(connection, turn)
        self.damping.tick(connection, turn)
        self.troubles.tick(connection, turn)
        times = (self.silences.next_at(), self.damping.next_at(connection), self.troubles.next_at())
        due = [at for at in times if at is not None]
        self._due = turn.now + (min(due) - turn.at) / 1_000_000 if due else None

    def next_deadline(self) -> float | None:
        """When `tick` is due, monotonic seconds."""
        return self._due

    def test(self, connection: Connection, turn: Turn, asked: RunTest) -> Begun | Refused:
        """One notification for each group, each to all of its destinations; no silence holds it back."""
        definition = self._definitions.current(asked.name)
        if definition is None:
            return Refused("unknown", f"no definition {asked.name}", "`noroshi definitions export` shows them")
        subject = self._test_subject(connection, turn, definition, asked.author)
        groups: dict[int, list[Destination]] = {}
        for one in in_order(definition):
            groups.setdefault(one.priority, []).append(one)
        begun = [
            self._notifications.notify(
                connection, turn, definition, subject, Cause("test", plan=Plan(tuple(group), "all"))
            )
            for group in groups.values()
        ]
        return Begun(self._term, begun)

    def _test_subject(self, connection: Connection, turn: Turn, definition: Definition, author: str) -> Subject:
        supplement = f"a test by {author}: nothing has happened"
        return payload.of_test(
            self._own_event(connection, turn, f"test/{definition.name}", TEST_STATE, supplement), definition
        )

    def _calm(self, connection: Connection, turn: Turn, row: HoldRow, held: list[tuple[str, str, int]]) -> None:
        """A hold has ended: one summary for each definition of what it held back, and what flapped as it is now."""
        for name, group in groupby(held, key=lambda each: each[0]):
            definition = self._definitions.current(name)
            event = self._own_event(connection, turn, f"held-back/{name}", HELD_STATE, summary(row, list(group)))
            if definition is not None:
                self._notifications.notify(connection, turn, definition, payload.of_event(event), Cause("summary"))
        if row.kind == "flap":
            self._resume(connection, turn, row.event, {row.definition} if held else set())

    def _own_event(self, connection: Connection, turn: Turn, event: str, state: str, supplement: str) -> EventRow:
        """An event of the coordinator's for the history alone: it is the state of nothing."""
        event_id = events.add_event(
            connection,
            event=event,
            category=category_of(event),
            state=state,
            supplement=supplement,
            node=nodes.node_id(connection, self._own_node),
            observed_at=turn.at,
            stored_at=turn.at,
        )
        row = events.event_by_id(connection, event_id)
        if row is None:
            raise LookupError(f"event {event_id} was stored in this transaction and is not there")
        return row

    def _silence_ended(self, connection: Connection, turn: Turn, silence: Silence) -> None:
        self.troubles.silence_ended(connection, turn, silence)

    def _resume(self, connection: Connection, turn: Turn, event: str, held: set[str]) -> None:
        """What held this event back is over: tell what is still so, by those definitions that would have told it."""
        state = events.state_of(connection, event)
        row = None if state is None else events.event_by_id(connection, state.event_id)
        if row is None:
            return
        for definition in self._definitions.matcher.event(event, row.state):
            if definition.name in held:
                self.notify(connection, turn, definition, payload.of_event(row), Cause("resumed"))
