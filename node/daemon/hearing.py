"""Whom this node hears, for whoever asks on its local socket: what nothing but the node itself can tell.

The state table says what the leader made of all views. Whether this node hears its peers, and follows the leader, is
seen here, without the network or the shared disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from noroshi.node.core.membership import Membership
from noroshi.node.daemon.deferring.data import fields_of
from noroshi.node.daemon.lines import Said


class Hearing:
    """Of the daemon `membership.own`."""

    def __init__(self, membership: Membership, clock: Callable[[], float] = time.monotonic) -> None:
        self._membership, self._clock = membership, clock

    def peers(self, request: dict[str, object]) -> Said:
        """`{"verb": "peers"}`: this node and its incarnation (hex), whom it follows (null: nobody), and of each peer
        the state as this node alone sees it, the incarnation heard (empty: none yet) and the seconds since its last
        packet (negative: none yet). Raises BadRequest."""
        fields_of(request, ())
        now, membership = self._clock(), self._membership
        leader = membership.leader(now)
        told = {
            "ok": True,
            "node": membership.own,
            "incarnation": membership.incarnation.hex(),
            "leader": None if leader is None else {"node": leader.node, "term": leader.term},
            "peers": [
                {
                    "node": peer.node,
                    "state": peer.state,
                    "incarnation": peer.incarnation.hex(),
                    "silent": round(peer.silent, 3),
                }
                for peer in membership.hearing(now)
            ],
        }
        return Said(msgspec.json.encode(told) + b"\n")
