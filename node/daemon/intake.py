"""Where every event of this node enters: the socket, the drop directory, the monitors, the daemon itself.

Rules: the node's rules (`events: {only, except}`) leave out or let in by name [spec 2.5]; an immediate event goes to
one spool, a deferred one to the other; one too big for an empty packet is refused [spec 5]. A token heard before is
answered with what became of it then, so a raiser that got no answer may ask again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from noroshi.node.core import raising
from noroshi.node.daemon.groups import Ticket
from noroshi.node.daemon.spool import Spool
from noroshi.node.wire.raising import BadRequest, Raise
from noroshi.store.clock import now_us

_TOKENS_MOST = 10_000


@dataclass
class Counts:
    """Since the daemon's start."""

    taken: int = 0
    ignored: int = 0
    repeated: int = 0


class Intake:
    """`wanted`: config.EventFilter.allows. `deferred_most`: bytes of the largest item an empty packet carries."""

    def __init__(self, events: Spool, deferred: Spool, *, wanted: Callable[[str], bool], deferred_most: int) -> None:
        self.counts = Counts()
        self._events, self._deferred, self._wanted, self._deferred_most = events, deferred, wanted, deferred_most
        self._tokens: OrderedDict[str, Ticket] = OrderedDict()
        for spool in (events, deferred):
            self._recall(spool)

    def take(self, said: Raise, observed_at: int | None = None) -> Ticket | None:
        """Append an event; None where the node's rules leave it out. `observed_at`: microseconds UTC, else now.

        Raises BadRequest, SpoolFailed.
        """
        if not self._wanted(said.event):
            self.counts.ignored += 1
            return None
        if said.token and (before := self._tokens.get(said.token)) and before.group.error is None:
            self.counts.repeated += 1
            return before
        now = now_us()
        ticket = self._append(said, now if observed_at is None else min(max(observed_at, 0), now))
        self.counts.taken += 1
        if said.token:
            self._remember(said.token, ticket)
        return ticket

    def take_left(self, said: Raise, observed_at: int) -> Ticket | None:
        """As `take`, for what nobody waits for any more: a deferred event too big for a packet goes at once."""
        try:
            return self.take(said, observed_at)
        except BadRequest:
            return self.take(replace(said, deferred=False), observed_at)

    def _append(self, said: Raise, observed_at: int) -> Ticket:
        body = raising.body(said, observed_at)
        if not said.deferred:
            return self._events.append(body, recalled=bool(said.token))
        if len(body) > self._deferred_most:
            why = f"too big to be deferred: {len(body)} bytes, a packet carries {self._deferred_most}"
            raise BadRequest(why, "shorten the supplement, or raise it without deferred")
        return self._deferred.append(body, recalled=bool(said.token))

    def _recall(self, spool: Spool) -> None:
        for item, ticket in spool.recovered():
            with suppress(ValueError):  # one that another version wrote; it is told where it is sent
                if token := raising.observed(item.body).token:
                    self._remember(token, ticket)

    def _remember(self, token: str, ticket: Ticket) -> None:
        self._tokens[token] = ticket
        if len(self._tokens) > _TOKENS_MOST:
            self._tokens.popitem(last=False)
