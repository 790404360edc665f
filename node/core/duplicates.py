"""Duplicate control: S4-1 to S4-5 of figure 4 (spec 2.6), one report against the current row of the state table.

Role: says whether a report is only counted, goes to the history alone, or updates the table, and whom it notifies.
Rules: the current row is the last report of this name that reached S4-4, whether it was defined or not and whichever
node it came from. A notification-failure event that the engine raises does not come here (spec 4.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from noroshi.node.core.reasons import Reason
from noroshi.store.model import Definition


class Observed(msgspec.Struct, frozen=True):
    """A report, or a row of the state table: what was seen, where, when (`observed_at` microseconds UTC).

    `ordered`: it came in its node's stream of immediate events, whose order is that of what happened.
    """

    state: str
    supplement: str
    node: str
    observed_at: int
    ordered: bool = False

    def before(self, other: Observed) -> bool:
        """Whether the same node saw this earlier. Its wall clock says so only where its stream's order does not."""
        by_stream = self.ordered and other.ordered
        return self.node == other.node and not by_stream and self.observed_at < other.observed_at


class Handling(StrEnum):
    """What becomes of a report."""

    COUNT = "count"
    """Stopped at S4-3: the current row and its event count one more; nothing else."""
    HISTORY = "history"
    """Stored as an event; the state table and the definitions do not see it."""
    UPDATE = "update"
    """S4-4 and S4-5: stored as an event, made the current row, and `Verdict.notify` notified."""


class Verdict(msgspec.Struct, frozen=True):
    """`notify` are the definitions to be notified, in the order given; empty unless UPDATE."""

    handling: Handling
    notify: tuple[Definition, ...]
    reason: Reason


def judge(report: Observed, current: Observed | None, matching: Sequence[Definition]) -> Verdict:
    """S4-1 to S4-5 for `report`, with every definition that matches it.

    Where the definitions disagree on duplicates, the table is updated and only those that allow them are notified.
    """
    if current is None:
        return Verdict(Handling.UPDATE, tuple(matching), Reason.NEW_NAME)
    same = (report.state, report.supplement) == (current.state, current.supplement)
    allowing = tuple(one for one in matching if one.duplicates == "allow")
    if same and not allowing:
        return Verdict(Handling.COUNT, (), Reason.SAME)
    if report.before(current):
        return Verdict(Handling.HISTORY, (), Reason.OLDER)
    if same:
        return Verdict(Handling.UPDATE, allowing, Reason.ALLOWED)
    return Verdict(Handling.UPDATE, tuple(matching), Reason.CHANGED)
