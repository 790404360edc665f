"""What keeps notifications back now: silences, maintenance, and what began by itself; and what each has held back."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import apsw

from noroshi.store.silences import Silence
from noroshi.store.sound import forgiving, made
from noroshi.store.tables import holds
from noroshi.store.tables.holds import HoldRow
from noroshi.store.views.operating import (
    Acknowledged,
    Covered,
    acknowledgements,
    covered,
    covered_sources,
    damaged_silences,
    silences,
)

KINDS = frozenset({"flap", "limit", "overall"})

COUNTED = 10_000
"""Notifications of one holder that are counted, the newest: some 30 ms from memory."""


@dataclass(frozen=True)
class Holding:
    """`silences`, those of nodes (maintenance) too, that stand or are to begin; `holds` for flapping and limits.

    `damaged`: silences and holds by whose rows nothing goes, until the next leader ends them; what is wrong with each.
    """

    silences: tuple[Silence, ...] = ()
    holds: tuple[HoldRow, ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Held:
    """What one holder held back, as (definition, event or source, how many), most first. `more`: and older ones."""

    rows: tuple[tuple[str, str, int], ...]
    more: bool

    @property
    def total(self) -> int:
        return sum(count for _, _, count in self.rows)


@dataclass(frozen=True)
class WholeSilence:
    """A silence with the states and the sources (NODE:PATH) it covers now, and what it has held back."""

    silence: Silence
    states: tuple[Covered, ...]
    sources: tuple[str, ...]
    held: Held


@dataclass(frozen=True)
class WholeHolding:
    """All of it, with the acknowledgements that stand: those hold back repeats and escalations."""

    silences: tuple[WholeSilence, ...]
    holds: tuple[tuple[HoldRow, Held], ...]
    acknowledged: tuple[Acknowledged, ...]
    damaged: tuple[tuple[str, str], ...] = ()


def holding(connection: apsw.Connection, now: int) -> Holding:
    """At `now`, microseconds UTC."""
    standing = _standing(connection)
    damaged = [(f"silence {one.id}", one.damaged) for one in damaged_silences(connection)]
    damaged += [(f"hold {row.id}", row.damaged) for row in standing if row.damaged]
    return Holding(silences(connection, now), _sound(standing), tuple(damaged))


def standing_holds(connection: apsw.Connection) -> tuple[HoldRow, ...]:
    """Those that have not ended, oldest first; no damaged row."""
    return _sound(_standing(connection))


def _sound(found: tuple[HoldRow, ...]) -> tuple[HoldRow, ...]:
    return tuple(row for row in found if not row.damaged)


def _standing(connection: apsw.Connection) -> tuple[HoldRow, ...]:
    return tuple(_judged(made(HoldRow, astuple(row)[:-1])) for row in holds.standing(forgiving(connection)))


def _judged(row: HoldRow) -> HoldRow:
    return row if row.damaged or row.kind in KINDS else replace(row, damaged=f"kind is {row.kind!r}")


def whole_holding(connection: apsw.Connection, now: int) -> WholeHolding:
    """At `now`, microseconds UTC."""
    found = holding(connection, now)
    return WholeHolding(
        tuple(_whole(connection, one) for one in found.silences),
        tuple((row, held_back(connection, row.holder)) for row in found.holds),
        acknowledgements(connection, ended=False),
        found.damaged,
    )


def held_back(connection: apsw.Connection, holder: str, most: int = COUNTED) -> Held:
    """What stands in the history as held by `holder`; of more than `most` the newest."""
    rows = holds.held(forgiving(connection), holder, most + 1)
    total = sum(count for _, _, count in rows)
    return Held(tuple(sorted(rows, key=lambda row: (-row[2], row[1], row[0]))), total > most)


def _whole(connection: apsw.Connection, one: Silence) -> WholeSilence:
    held = held_back(connection, one.holder)
    return WholeSilence(one, covered(connection, one), covered_sources(connection, one), held)
