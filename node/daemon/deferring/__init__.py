"""Low-load communication on a node (spec 5, fig. 9): what is not urgent waits here and rides in the periodic packets.

Role: joins the spools, the notifier, the coordinator's link and the users' data to the packets, both ways.
  events, lines, outcomes   from durable spools (`outbox`), for the coordinator; lines too big for a packet `at_once`
  deliveries                from this node's coordinator to the nodes (`carrier`), and from any node's to the notifier
                            here (`deliveries`), whose outcomes are spooled
  users' data               put in and taken out at the local socket (`data`)
Rules: what is in a spool stays there until the coordinator has committed it; acknowledgements ride in packets too, so
that the whole exchange adds no message. What is for nobody here is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from noroshi.node.core.batches import read
from noroshi.node.core.packet import TO_COORDINATOR, Kind, Run
from noroshi.node.daemon.agent import Verb
from noroshi.node.daemon.deferring.at_once import Ask, AtOnce, asker
from noroshi.node.daemon.deferring.carrier import Carrier
from noroshi.node.daemon.deferring.data import Data, fields_of
from noroshi.node.daemon.deferring.deliveries import Deliveries
from noroshi.node.daemon.deferring.lines import Lines
from noroshi.node.daemon.deferring.outbox import Outbox, Packets
from noroshi.node.daemon.lines import Said
from noroshi.node.daemon.spool import Spool
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.wire.messages import Carry, Heard, Left, ToCoordinator, Withdraw

__all__ = ["Deferring", "Spools", "asker"]


@dataclass(frozen=True)
class Spools:
    """Deferred events, deferred lines of logs, outcomes of deferred deliveries."""

    events: Spool
    lines: Spool
    outcomes: Spool


class Deferring:
    """`tell` hands a message to this node's coordinator, where there is one; `ask` sends a request to any node's."""

    def __init__(
        self,
        nodes: tuple[str, ...],
        packets: Packets,
        spools: Spools,
        notifier: Notifier,
        tell: Callable[[ToCoordinator], None],
        ask: Ask,
    ) -> None:
        self._tell, self._packets, self._spools = tell, packets, spools
        self._events = Outbox(spools.events, packets, Kind.EVENT)
        self._outcomes = Outbox(spools.outcomes, packets, Kind.OUTCOME)
        self.at_once = AtOnce(spools.lines, ask, self.acknowledged)
        self.lines = Lines(spools.lines, packets, self.at_once)
        self.deliveries = Deliveries(notifier, self._outcomes, packets)
        self.data = Data(nodes, packets)
        self._carrier = Carrier(nodes, packets, lambda deliveries: tell(Left(deliveries)))

    @property
    def verbs(self) -> dict[str, Verb]:
        """For the local socket."""
        return {"put": self.data.put, "take": self.data.take, "counts": self._counts}

    def _counts(self, request: dict[str, object]) -> Said:
        """`{"verb": "counts"}`: packets sent, those of them sent early because the buffer filled one, and heard; what
        waits; what could not ride, was dropped, came too late. Since the daemon's start. Raises BadRequest."""
        fields_of(request, ())
        packets, spools = self._packets, self._spools
        told = {
            "ok": True,
            "packets": {"sent": packets.sent, "early": packets.packer.early, "heard": packets.heard},
            "waiting": {
                "events": spools.events.pending,
                "lines": spools.lines.pending,
                "outcomes": spools.outcomes.pending,
                "data": self.data.waiting,
            },
            "sent_at_once": self.at_once.requests,
            "data_dropped": self.data.dropped,
            "deliveries_refused": {"unreadable": self.deliveries.bad, "stale": self.deliveries.stale},
        }
        return Said(msgspec.json.encode(told) + b"\n")

    # --- of the packets -------------------------------------------------------------------------------------------

    def heard(self, node: str, runs: list[Run]) -> None:
        """What a packet of `node` held for this node, or for the coordinator on it."""
        for run in runs:
            if run.to == TO_COORDINATOR:
                self._heard_for_coordinator(node, run)
            elif run.kind is Kind.NOTIFICATION:
                self.deliveries.take(run)
            elif run.kind is Kind.DATA:
                self.data.heard(node, run)

    def _heard_for_coordinator(self, node: str, run: Run) -> None:
        if run.kind not in (Kind.EVENT, Kind.LOG, Kind.OUTCOME):
            return
        for batch in read(run):
            self._tell(Heard(node, batch))

    def left(self, carried: tuple[Run, ...]) -> None:
        """These went out in a packet of this node's."""
        self._carrier.left(carried)

    def acknowledged(self, positions: Mapping[bytes, int]) -> None:
        """Receivers have taken so much of these streams of this node's."""
        for box in (self._events, self._outcomes, self.lines, self._carrier, self.data):
            box.acknowledged(positions)

    # --- of the coordinator here ----------------------------------------------------------------------------------

    def carry(self, message: Carry | Withdraw) -> None:
        """A delivery for this node's packets; or no more for that node."""
        if isinstance(message, Carry):
            self._carrier.carry(message.node, message.message)
        else:
            self._carrier.withdraw(message.node)

    def led(self) -> None:
        """The coordinator here has ended: the next one repeats what has not been answered."""
        self._carrier.end()
