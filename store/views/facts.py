"""The facts behind 'who would be told now', in one reading (`store.explain` draws the conclusions)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import apsw
import msgspec

from noroshi.store.clock import to_iso
from noroshi.store.damping import Window
from noroshi.store.explain import Facts, Keeping, Room, TakenOn
from noroshi.store.matching import NamePattern
from noroshi.store.model import Definition, Destination, Flap, Limit, Procedure
from noroshi.store.sound import as_text, forgiving
from noroshi.store.tables import definitions, holds, troubles
from noroshi.store.tables.events import state_of
from noroshi.store.tables.holds import HoldRow
from noroshi.store.tables.troubles import HeardRow
from noroshi.store.views.holding import standing_holds
from noroshi.store.views.operating import silences
from noroshi.store.views.states import node_states

Key = tuple[str, str]
"""Definition or empty for all of them, event or empty for any."""


def facts(
    connection: apsw.Connection,
    event: str | None,
    members: Iterable[str],
    own: str | None,
    now: int,
    overall: Limit | None = None,
    instead: tuple[Definition, ...] | None = None,
) -> Facts:
    """What `explain` needs of the database at `now`, microseconds UTC.

    `event` None for a line, `overall` the cluster's own limit, `instead` definitions to be taken for those in force.
    """
    row = None if event is None else state_of(forgiving(connection), event)
    current = tuple(definitions.current(forgiving(connection))) if instead is None else instead
    concerned = [one for one in current if _may_concern(one, event)]
    return Facts(
        definitions=current,
        current=None if row is None else (str(row.state), str(row.supplement)),
        nodes={node.node: node.state for node in node_states(connection)},
        members=frozenset(members),
        silences=tuple(one for one in silences(connection, now) if one.begun_at <= now),
        own=own,
        held=_held(connection, event, concerned, now, overall),
        room=None if overall is None else _room(connection, overall, now),
        acknowledged=None if event is None else _acknowledged(connection, event, now),
        heard={} if event is None else _heard(connection, event),
        telling=frozenset() if event is None else _telling(connection, event),
    )


def _may_concern(one: Definition, event: str | None) -> bool:
    return one.kind == "log" if event is None else one.kind == "event" and NamePattern(one.event).matches(event)


def _held(
    connection: apsw.Connection, event: str | None, concerned: Iterable[Definition], now: int, overall: Limit | None
) -> dict[Key, Keeping]:
    """What stands, and what the next one would be one too many for, as `Facts.held`."""
    standing = {
        (row.kind, row.definition, row.event): row
        for row in standing_holds(connection)
        if row.until is None or row.until > now
    }
    held: dict[Key, Keeping] = {}
    for one in concerned:
        if event is not None and one.flap is not None:
            row = standing.get(("flap", one.name, event))
            if row is not None or _would_flap(connection, event, one.flap, now):
                held[one.name, event] = _flapping(event, one.flap)
        row = standing.get(("limit", one.name, ""))
        if one.limit is not None and (row is not None or _is_reached(connection, one.name, one.limit, now)):
            held[one.name, ""] = _limited("the definition's limit is reached", one.limit, row, now)
    row = standing.get(("overall", "", ""))
    if overall is not None and (row is not None or _is_reached(connection, "", overall, now)):
        held["", ""] = _limited("the overall limit is reached", overall, row, now)
    return held


def _would_flap(connection: apsw.Connection, event: str, flap: Flap, now: int) -> bool:
    past = [*holds.changes_of(forgiving(connection), event, flap.changes - 1), now]
    return Window(flap.changes, flap.within, past).is_full(now)


def _is_reached(connection: apsw.Connection, definition: str, limit: Limit, now: int) -> bool:
    return Window(limit.count, limit.within, holds.begun(forgiving(connection), definition, limit.count)).is_full(now)


def _room(connection: apsw.Connection, overall: Limit, now: int) -> Room:
    """How many more may be told now before the cluster's own limit is reached."""
    begun = holds.begun(forgiving(connection), "", overall.count)
    lately = sum(now - at < round(overall.within * 1_000_000) for at in begun)
    return Room(overall.count - lately, _limited("the overall limit is reached", overall, None, now))


def _flapping(event: str, flap: Flap) -> Keeping:
    why = f"flapping: {flap.changes} changes of {event} within {flap.within:g}s"
    return Keeping(why, "until it is calm; then a summary is told, and the event once more if it is still so")


def _limited(what: str, limit: Limit, row: HoldRow | None, now: int) -> Keeping:
    over = now + round(limit.within * 1_000_000) if row is None or row.until is None else row.until
    why = f"{what}: {limit.count} within {limit.within:g}s"
    return Keeping(why, f"until {to_iso(over)}; then one summary tells how much it was")


def _acknowledged(connection: apsw.Connection, event: str, now: int) -> TakenOn | None:
    rows = (row for row in troubles.acknowledgements(forgiving(connection)) if row.event == event)
    standing = (row for row in rows if row.until is None or (isinstance(row.until, int) and row.until > now))
    return next((TakenOn(row.state, row.author, row.comment, row.until) for row in standing), None)


def _heard(connection: apsw.Connection, event: str) -> dict[str, tuple[Destination, ...]]:
    """By definition, who heard of the trouble with this event that goes on."""
    return {
        row.definition: tuple(_destination(one) for one in troubles.heard(forgiving(connection), row.id))
        for row in troubles.going_on(forgiving(connection))
        if row.event == event
    }


def _telling(connection: apsw.Connection, event: str) -> frozenset[str]:
    """The definitions by which somebody is being told of the trouble with this event, or an answer is out."""
    rows = (row for row in troubles.going_on(forgiving(connection)) if row.event == event)
    return frozenset(str(row.definition) for row in rows if troubles.is_being_told(connection, row.id))


def _destination(one: HeardRow) -> Destination:
    """Of a damaged row the texts as they stand, for people to read."""
    node, procedure, application = map(as_text, (one.node, one.procedure, one.application))
    where = {"priority": 1, "node": node, "procedure": procedure}
    try:
        return msgspec.convert({**where, "application": msgspec.json.decode(application)}, Destination)
    except msgspec.DecodeError:
        return Destination(1, node, cast("Procedure", procedure), application)
