"""Troubles: the shell of `core.following`, between the state manager, the notifications and the clock (spec 7).

Rules: kept by the wall clock, for a trouble outlives coordinators. What is due is told by the definition in force then.
A recovery is held back by no silence: it is told once, and only to those who heard that there was something.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from noroshi.node.coordinator import payload
from noroshi.node.coordinator.acknowledgements import AcknowledgementManager
from noroshi.node.coordinator.definitions import DefinitionManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.core import following
from noroshi.node.core.following import Happened, Trouble
from noroshi.node.core.subject import Cause, Plan, Subject
from noroshi.store.connection import Connection
from noroshi.store.model import Application, Definition, Destination
from noroshi.store.silences import Silence
from noroshi.store.tables import events
from noroshi.store.tables import troubles as table
from noroshi.store.tables.troubles import HeardRow, TroubleRow
from noroshi.store.values import blamed

Tell = Callable[[Connection, Turn, Definition, Subject, Cause], object]


class TroubleManager:
    """`tell` begins a notification, held back by nothing; `silenced` says what covers a subject at an instant; `doubt`
    tells of a row that cannot be right."""

    def __init__(
        self,
        term: int,
        definitions: DefinitionManager,
        tell: Tell,
        silenced: Callable[[Subject, int], Silence | None],
        doubt: Callable[[Connection, Turn, str], None],
    ) -> None:
        self._definitions, self._tell, self._silenced, self._doubt = definitions, tell, silenced, doubt
        self.acknowledgements = AcknowledgementManager(term, self._acknowledged)
        self._open: dict[str, dict[str, Trouble]] = {}
        """By event, then by definition."""
        self._numbers: dict[int, tuple[str, str]] = {}
        self._times: list[tuple[int, int]] = []
        """A heap of (when something is due, of which trouble); entries that time has made wrong are passed over."""

    def restore(self, connection: Connection) -> None:
        """Those that go on, and who has taken them on."""
        self.acknowledgements.restore(connection)
        self._open, self._numbers, self._times = {}, {}, []
        for row in table.going_on(connection):
            self._keep(_trouble(row))

    def changed(self, connection: Connection, turn: Turn, event: str, state: str) -> None:
        """S4-4: the event is in `state` now; before any definition is notified of it."""
        self.acknowledgements.changed(connection, turn, event, state)
        if event not in self._open:
            return
        matching = {one.name for one in self._definitions.matcher.event(event, state)}
        for trouble in list(self._open[event].values()):
            if trouble.definition not in matching:
                with blamed("troubles", trouble.id):
                    self._left(connection, turn, trouble)

    def told(self, connection: Connection, turn: Turn, definition: Definition, subject: Subject) -> int | None:
        """A definition is to be notified of this: the trouble it belongs to; None where nothing is followed."""
        if not following.follows(definition) or subject.kind != "event":
            return None
        event = subject.name
        trouble = self._open.get(event, {}).get(definition.name)
        if trouble is None:
            number = table.open_trouble(connection, definition.name, event, turn.at)
            self._keep(Trouble(number, definition.name, event, turn.at))
            return number
        self._save(connection, turn, following.moved(trouble, Happened.AGAIN))
        return trouble.id

    def held(self, connection: Connection, turn: Turn, definition: Definition, subject: Subject) -> None:
        """As `told`, but a limit held it back: where it is to be repeated, that is when it will be told."""
        number = self.told(connection, turn, definition, subject)
        if number is None or self.acknowledgements.holds(subject.name) or table.is_being_told(connection, number):
            return
        trouble = self._open[subject.name][definition.name]
        self._save(connection, turn, following.timed(trouble, definition, turn.at))

    def back(self, connection: Connection, turn: Turn, definition: Definition, subject: Subject) -> None:
        """It is held back, to be looked at again: a trouble that was only waiting to be told as over goes on."""
        trouble = self._open.get(subject.name, {}).get(definition.name)
        if subject.kind == "event" and trouble is not None and trouble.status == "recovering":
            self._save(connection, turn, following.moved(trouble, Happened.AGAIN))

    def settled(self, connection: Connection, turn: Turn, notification: int) -> None:
        """A notification has ended, or an attempt of it."""
        if not self._numbers:
            return
        number, notice, delivered = table.trouble_of(connection, notification)
        place = None if number is None else self._numbers.get(number)
        if place is None or table.is_being_told(connection, number or 0):
            return
        with blamed("troubles", number or 0):
            self._settled(connection, turn, self._numbered(number or 0), notice, delivered)

    def _settled(
        self, connection: Connection, turn: Turn, trouble: Trouble, notice: str, delivered: int | None
    ) -> None:
        definition = self._definitions.current(trouble.definition)
        if trouble.status == "recovering":
            self._over(connection, turn, following.moved(trouble, Happened.SETTLED))
        elif definition is not None and notice != "recovery":
            acknowledged = self.acknowledgements.holds(trouble.event)
            after = following.told(trouble, definition, notice, delivered, turn.at, acknowledged=acknowledged)  # type: ignore[arg-type]
            self._save(connection, turn, after)

    def tick(self, connection: Connection, turn: Turn) -> None:
        """What time alone brings."""
        self.acknowledgements.tick(connection, turn)
        while (first := self._first()) is not None and first[0] <= turn.at:
            heapq.heappop(self._times)
            with blamed("troubles", first[1]):
                self._due(connection, turn, self._numbered(first[1]))

    def next_at(self) -> int | None:
        """When `tick` is due, microseconds UTC."""
        first = self._first()
        times = (self.acknowledgements.next_at(), None if first is None else first[0])
        return min((at for at in times if at is not None), default=None)

    def _first(self) -> tuple[int, int] | None:
        """The nearest time that still holds."""
        while self._times:
            at, number = self._times[0]
            if number in self._numbers and self._numbered(number).next_at == at:
                return self._times[0]
            heapq.heappop(self._times)
        return None

    def silence_ended(self, connection: Connection, turn: Turn, silence: Silence) -> None:
        """What waited for its end waits no longer."""
        for trouble in self._all():
            after = following.hastened(trouble, silence.until, turn.at)
            if after != trouble:
                self._save(connection, turn, after)

    # --- what happens to one --------------------------------------------------------------------------------------

    def _left(self, connection: Connection, turn: Turn, trouble: Trouble) -> None:
        if table.is_being_told(connection, trouble.id):
            self._save(connection, turn, following.moved(trouble, Happened.LEFT_MEANWHILE))
        else:
            self._over(connection, turn, following.moved(trouble, Happened.LEFT))

    def _over(self, connection: Connection, turn: Turn, trouble: Trouble) -> None:
        """Tell those who heard, where the definition says so."""
        self._save(connection, turn, trouble)
        definition = self._definitions.current(trouble.definition)
        if definition is None or not definition.recovery:
            return
        heard = [self._destination(connection, turn, row, definition) for row in table.heard(connection, trouble.id)]
        if told := tuple(one for one in heard if one is not None):
            plan = Plan(told, "all")
            subject = _now(connection, trouble.event)
            self._tell(connection, turn, definition, subject, Cause("recovery", trouble.id, plan))

    def heard_late(self, connection: Connection, turn: Turn, delivery: str) -> None:
        """Somebody turns out to have heard of it; where it is over by now they are told so, unless it came back."""
        found = table.ended_for(connection, delivery)
        if found is None:
            return
        number, name, event, row = found
        definition = self._definitions.current(name)
        if definition is None or not definition.recovery or self._covers(connection, name, event):
            return
        if (destination := self._destination(connection, turn, row, definition)) is not None:
            plan = Plan((destination,), "all")
            self._tell(connection, turn, definition, _now(connection, event), Cause("recovery", number, plan))

    def _destination(
        self, connection: Connection, turn: Turn, row: HeardRow, definition: Definition
    ) -> Destination | None:
        """Where somebody heard of it, reached as the definition reaches it; all of one priority, so all are told.

        None where it cannot be read who that was: it keeps nobody else from being told.
        """
        try:
            application = msgspec.json.decode(row.application, type=Application)
            known = {"priority": 1, "node": row.node, "procedure": row.procedure, "application": application}
            heard = msgspec.convert(known, Destination)
        except (TypeError, msgspec.DecodeError) as error:
            what = (
                f"it cannot be read who heard of a trouble of {definition.name}, so they are not told that it is over"
            )
            self._doubt(connection, turn, f"{what} ({error})")
            return None
        for one in definition.notify:
            if one.node in (row.node, None) and (one.procedure, one.application) == (row.procedure, application):
                return msgspec.structs.replace(one, priority=1, node=row.node)
        return heard

    def _due(self, connection: Connection, turn: Turn, trouble: Trouble) -> None:
        definition, subject = self._asking(connection, trouble), _now(connection, trouble.event)
        silence = self._silenced(subject, turn.at)
        if definition is None:
            self._save(connection, turn, following.untimed(trouble))
        elif silence is not None:
            self._save(connection, turn, following.postponed(trouble, turn.at, silence.until))
        elif (due := following.due(trouble, definition, turn.at)) is not None:
            self._save(connection, turn, due.trouble)
            cause = Cause(due.notice, trouble.id, Plan(due.destinations, definition.enough))
            self._tell(connection, turn, definition, subject, cause)
        else:
            self._save(connection, turn, msgspec.structs.replace(trouble, escalate_at=None))

    def _asking(self, connection: Connection, trouble: Trouble) -> Definition | None:
        """The definition in force, where it still covers the event as it is and still asks for anything."""
        state = events.state_of(connection, trouble.event)
        matching = () if state is None else self._definitions.matcher.event(trouble.event, state.state)
        return next((one for one in matching if one.name == trouble.definition and following.follows(one)), None)

    def _covers(self, connection: Connection, definition: str, event: str) -> bool:
        """Whether the event is now in a state of that definition, told or held back."""
        state = events.state_of(connection, event)
        return state is not None and any(
            one.name == definition for one in self._definitions.matcher.event(event, state.state)
        )

    def _acknowledged(self, connection: Connection, turn: Turn, event: str, holds: bool) -> None:
        for trouble in list(self._open.get(event, {}).values()):
            definition = self._definitions.current(trouble.definition)
            if holds or definition is None:
                self._save(connection, turn, following.untimed(trouble))
            elif trouble.status == "open" and not table.is_being_told(connection, trouble.id):
                self._save(connection, turn, following.timed(trouble, definition, turn.at))

    # --- keeping ----------------------------------------------------------------------------------------------------

    def _all(self) -> list[Trouble]:
        return [trouble for by_definition in self._open.values() for trouble in by_definition.values()]

    def _numbered(self, number: int) -> Trouble:
        event, definition = self._numbers[number]
        return self._open[event][definition]

    def _keep(self, trouble: Trouble) -> None:
        self._open.setdefault(trouble.event, {})[trouble.definition] = trouble
        self._numbers[trouble.id] = trouble.event, trouble.definition
        if trouble.next_at is not None:
            heapq.heappush(self._times, (trouble.next_at, trouble.id))

    def _save(self, connection: Connection, turn: Turn, trouble: Trouble) -> None:
        table.save(connection, _row(trouble), turn.at)
        if trouble.status != "ended":
            self._keep(trouble)
            return
        del self._numbers[trouble.id]
        del self._open[trouble.event][trouble.definition]
        if not self._open[trouble.event]:
            del self._open[trouble.event]


def _now(connection: Connection, event: str) -> Subject:
    """The event as it is now."""
    state = events.state_of(connection, event)
    row = None if state is None else events.event_by_id(connection, state.event_id)
    if row is None:
        raise LookupError(f"the state of {event}, of which there is a trouble, is not there")
    return payload.of_event(row)


def _trouble(row: TroubleRow) -> Trouble:
    return msgspec.convert(row, Trouble, from_attributes=True)


def _row(trouble: Trouble) -> TroubleRow:
    return TroubleRow(**msgspec.structs.asdict(trouble))
