"""One turn of the coordinator's loop: what the decisions produced and only the commit may release.

Write order (as raft's Ready): the rows of a turn commit first; then its replies, deliveries and positions go out. A
crash in between loses the messages and keeps the rows: senders ask again, deliveries are sent again with their ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from noroshi.node.wire.messages import Carry, Deliver, Reply, Withdraw

Route = list[bytes]
"""The routing frames of a request, given back with its reply."""


@dataclass
class Turn:
    """`now` monotonic seconds, `at` microseconds UTC: the one time of everything decided in this turn."""

    now: float
    at: int
    replies: list[tuple[Route, Reply]] = field(default_factory=list)
    deliveries: list[tuple[str, Deliver]] = field(default_factory=list)
    carried: list[Carry | Withdraw] = field(default_factory=list)
    """For the daemon's packets, in this order."""
    positions: dict[bytes, int] = field(default_factory=dict)
