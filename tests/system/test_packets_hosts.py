"""Periodic packets between hosts that lose their links: network namespaces on a bridge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import netns
import pytest
from exchange_program import Program, programs
from netns import Network
from waiting import wait_until

from noroshi.store.config import Cluster, Heartbeat, NodeAddress

pytestmark = [pytest.mark.root, netns.needs_root]

CLUSTER = Cluster(
    "demo", (NodeAddress("db1", "10.99.0.1", 7400), NodeAddress("db2", "10.99.0.2", 7400)), Heartbeat(interval=0.2)
)


@pytest.fixture
def network() -> Iterator[Network]:
    with netns.network() as made:
        yield made


def bystander(program: Program) -> int:
    """How many packets its plain subscriptions have got."""
    return int(str(program.last("bystander") or 0))


def test_a_host_that_vanished_without_a_fin_and_came_back_is_heard_again(tmp_path: Path, network: Network) -> None:
    """The bystander's plain subscription shows the trap: it stays deaf, though the packets are there."""
    first, second = network.boot(1), network.boot(2)
    with programs(tmp_path, CLUSTER) as started:
        db1 = started.start("db1", "--bystander", prefix=first.prefix)
        db2 = started.start("db2", prefix=second.prefix)
        wait_until("db1 hears db2", lambda: db1.states("db2")[-1:] == ["UP"])
        wait_until("so does the bystander", lambda: bystander(db1) > 3)
        second.cut()
        wait_until("db1 misses db2", lambda: db1.states("db2")[-3:] == ["UP", "SUSPECT", "DOWN"])
        db2.kill()
        second.vanish()
        heard = bystander(db1)
        again = started.start("db2", prefix=network.boot(2).prefix)
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP")
        wait_until("db2 hears db1", lambda: again.states("db1")[-1:] == ["UP"])
        wait_until("more packets of db2", lambda: int(str(db1.last("heard from db2"))) > heard + 10)
        assert bystander(db1) == heard, "no trap here any more? then the reopening may go"


def test_a_link_that_was_cut_over_a_restart_of_the_daemon_is_used_again(tmp_path: Path, network: Network) -> None:
    first, second = network.boot(1), network.boot(2)
    with programs(tmp_path, CLUSTER) as started:
        db1, db2 = started.start("db1", prefix=first.prefix), started.start("db2", prefix=second.prefix)
        wait_until("db1 hears db2", lambda: db1.states("db2")[-1:] == ["UP"])
        second.cut()
        wait_until("db1 misses db2", lambda: db1.states("db2")[-3:] == ["UP", "SUSPECT", "DOWN"])
        db2.kill()
        db2 = started.start("db2", prefix=second.prefix)
        wait_until("db2 runs without a link", lambda: db2.states("db1") == ["DOWN"])
        second.mend()
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP")
        wait_until("db2 hears db1", lambda: db2.states("db1")[:2] == ["DOWN", "UP"])
