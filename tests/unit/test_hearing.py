"""Whom a node hears, as its local socket tells it."""

from __future__ import annotations

import json

import pytest
from test_membership import FIRST, header, hear, member

from noroshi.node.daemon.hearing import Hearing
from noroshi.node.wire.raising import BadRequest


def test_peers_as_this_node_alone_hears_them_and_whom_it_follows() -> None:
    membership, now = member(), 0.0
    hearing = Hearing(membership, lambda: now)

    def told() -> dict[str, object]:
        return dict(json.loads(hearing.peers({}).line()))

    assert told()["leader"] is None
    hear(membership, "b", 0, 3, role="leader", term=7)
    now = 2.5
    assert told() == {
        "ok": True,
        "node": "a",
        "incarnation": b"own-inc.".hex(),
        "leader": {"node": "b", "term": 7},
        "peers": [
            {"node": "b", "state": "UP", "incarnation": FIRST.hex(), "silent": 0.5},
            {"node": "c", "state": "SUSPECT", "incarnation": "", "silent": -1.0},
        ],
    }
    membership.heard(header("b", 9, role="leaving"), now)
    assert told()["leader"] is None


def test_a_request_with_more_than_that_is_refused() -> None:
    with pytest.raises(BadRequest, match="unknown field 'node'"):
        Hearing(member()).peers({"node": "b"})
