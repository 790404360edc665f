"""The newest notifications of a selection, step by step back, so that no reading walks through a long history at once.

A time is turned into a number by halving (`notification_id_at`): numbers are in the order of beginning, and no index
is kept, which every notification would pay for. Coordinators' clocks may disagree, so that is done a day further out,
and the time itself is compared as well: nothing is left out while clocks are within a day of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apsw

from noroshi.store.views.history import HistoryFilter, Notification, notifications_within
from noroshi.store.views.history_search import history_bounds, notification_id_at
from noroshi.store.views.pages import Bounds, stretch

DISORDER = 86_400 * 1_000_000
"""Microseconds by which the clocks of two coordinators may differ."""

SPAN = 20_000
"""Notifications looked at in one step: some 15 ms from memory where none is selected."""


@dataclass(frozen=True)
class PastStep:
    """What was found, oldest first; go on from `position`, None: the beginning was reached."""

    rows: tuple[Notification, ...]
    position: int | None


def notifications_before(
    connection: apsw.Connection, which: HistoryFilter, position: int | None, limit: int, span: int = SPAN
) -> PastStep:
    """One step back from `position` (itself excluded; None: from the newest), at most `limit` found."""
    ahead = stretch(_reach(connection, which), position, span, backward=True)
    if ahead.high < ahead.low:
        return PastStep((), None)
    rows = notifications_within(connection, which, Bounds(ahead.low, ahead.high), limit)
    return PastStep(rows, None if ahead.is_last(ahead.low) else ahead.low)


def notifications(connection: apsw.Connection, which: HistoryFilter, limit: int) -> tuple[Notification, ...]:
    """The newest `limit` notifications that `which` selects, oldest first, each with its attempts in order."""
    return newest(lambda position, left: notifications_before(connection, which, position, left), limit)


def newest(step: Callable[[int | None, int], PastStep], limit: int) -> tuple[Notification, ...]:
    """Step after step, each from the position before and for what is still wanted, until there are `limit`."""
    found: list[tuple[Notification, ...]] = []
    left, position = limit, None
    while left > 0:
        reached = step(position, left)
        found.append(reached.rows)
        left, position = left - len(reached.rows), reached.position
        if position is None:
            break
    return tuple(row for rows in reversed(found) for row in rows)


def _reach(connection: apsw.Connection, which: HistoryFilter) -> Bounds:
    """The numbers among which all that was begun between `since` and `until` lies."""
    bounds = history_bounds(connection)
    first, last = bounds.first, bounds.last
    if which.since is not None:
        found = notification_id_at(connection, which.since - DISORDER)
        if found is None:
            return Bounds(1, 0)
        first = found
    if which.until is not None:
        after = notification_id_at(connection, which.until + DISORDER + 1)
        last = last if after is None else after - 1
    return Bounds(first, last)
