"""A real cluster with deferred items in a spool that no coordinator can work on (spec 5): nothing waits behind them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import wait_until

from noroshi.node.client import Raiser
from noroshi.node.daemon.spool import Spool
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import Answer, LogPart, Report
from noroshi.store.clock import now_us

pytestmark = pytest.mark.slow

BEYOND = 2**63
"""An instant that is no integer of the database's."""


def put(cluster: Cluster, name: str, spool: str, *bodies: bytes) -> None:
    """As an earlier life of the node's daemon left them."""

    async def append() -> None:
        opened = await Spool.open(cluster.nodes[name].home / "state" / "spool" / spool)
        await asyncio.gather(*[opened.append(body).safe() for body in bodies])
        await opened.close()

    asyncio.run(append())


def waiting(cluster: Cluster, name: str) -> dict[str, int]:
    with Raiser(cluster.nodes[name].socket) as raiser:
        return dict(json.loads(raiser.exchange(b'{"verb": "counts"}\n'))["waiting"])


def test_what_no_packet_carries_any_more_is_told(tmp_path: Path) -> None:
    """`heartbeat.packet` was larger when it was raised."""
    with Cluster(tmp_path / "cluster", names=("a",), interval="200ms") as cluster:
        put(cluster, "a", "deferred", encode(Report(0, "app/big", "OK", "x" * 5000, now_us())))
        cluster.start()
        cluster.await_up()
        (told,) = wait_until("it is told", lambda: cluster.events("monitor/a/spool"))
        assert told.state == "ERROR"
        assert "item 1 of" in told.supplement and "heartbeat.packet" in told.supplement


def test_what_no_coordinator_can_work_on_is_set_aside_and_what_is_behind_it_moves_on(tmp_path: Path) -> None:
    now = now_us()
    events = [encode(Report(0, f"app/{n}", "OK", "", BEYOND if n == 5 else now)) for n in range(12)]
    events[8] = b"\xc1 no message"
    parts = [
        LogPart(b"stream of a file", "/var/log/x", n, n + 1, BEYOND if n == 1 else now, [f"line {n}"], [n + 1])
        for n in range(3)
    ]
    outcomes = [b"\xc1", encode(Answer("nobody's", "delivered", ""))]
    with Cluster(tmp_path / "cluster", interval="200ms") as cluster:
        for name in ("a", "b"):  # whichever leads, one of the two does not
            put(cluster, name, "deferred", *events)
        put(cluster, "a", "deferred-logs", *map(encode, parts))
        put(cluster, "a", "outcomes", *outcomes)
        cluster.start()
        cluster.await_up()
        empty = {"events": 0, "lines": 0, "outcomes": 0, "data": 0}
        for name in ("a", "b"):
            wait_until(f"nothing waits on {name}", lambda name=name: waiting(cluster, name) == empty, 40)  # type: ignore[misc]
        fit = {f"app/{n}" for n in range(12)} - {"app/5", "app/8"}
        assert {event.event for event in cluster.events("app/*")} == fit
        assert [line for line in cluster.lines("a") if line.startswith("line")] == ["line 0", "line 2"]
        kept = cluster.layout.set_aside()
        assert len(kept) == 6
        for node, count in (("a", 4), ("b", 2)):
            told = [e.supplement for e in cluster.events(f"monitor/{node}/streams") if "set aside" in e.supplement]
            assert len(told) == len(set(told)) == count
            assert {path for path in map(str, kept) for what in told if path in what} == {
                str(path) for path in kept if path.name.startswith(node)
            }
        leader = cluster.await_leader()
        cluster.kill(leader.node)
        cluster.start(leader.node)
        cluster.await_up(timeout=40)
        assert cluster.layout.set_aside() == kept, "none of them has come again"
