"""A leader that has the disk but not the network, and hosts of one name: network namespaces over one directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import netns
import pytest
from cluster import Cluster
from netns import Host, Network
from waiting import wait_until

from noroshi.node.core.claims import STAND_BACK
from noroshi.node.exits import EXIT_YIELDED
from noroshi.store.claims import read_claims

pytestmark = [pytest.mark.root, pytest.mark.slow, netns.needs_root]


DOWN_TIME = 0.8


@pytest.fixture
def network() -> Iterator[Network]:
    with netns.network() as made:
        yield made


@contextmanager
def hosts(network: Network, root: Path, *names: str, **rest: object) -> Iterator[tuple[Cluster, dict[str, Host]]]:
    booted = {name: network.boot(number) for number, name in enumerate(names, 1)}
    addresses = {name: (host.address, 7400) for name, host in booted.items()}
    prefixes = {name: host.prefix for name, host in booted.items()}
    with Cluster(root / "c", names, addresses=addresses, prefixes=prefixes, **rest) as made:  # type: ignore[arg-type]
        yield made, booted


def test_a_leader_cut_off_the_network_gives_way_to_those_who_hear_more(network: Network, tmp_path: Path) -> None:
    with hosts(network, tmp_path, "a", "b", "c") as (running, booted):
        running.start()
        old = running.await_up()
        cut = old.node
        process = running.coordinator_process(cut)
        assert process is not None
        booted[cut].cut()
        running.raise_on(
            cut, "app/cut-off", "ERROR"
        )  # the leader's own node reaches its coordinator by its own address
        new = running.await_leader(not_term=old.term)
        assert new.node != cut
        wait_until("the old one has ended", lambda: not process.is_running())
        assert "claims the role and hears 1 nodes, this one 0" in running.nodes[cut].stderr
        assert f"ended with status {EXIT_YIELDED}" not in running.nodes[cut].stderr, "giving way is no failure"
        taken = f"{new.node} leads in term {new.term}"
        again = wait_until("it tries again", lambda: _said_at(running, cut, taken))
        assert again - _said_at(running, cut, "giving way") >= STAND_BACK * DOWN_TIME
        other = running.other_than(cut)
        running.raise_on(other, "app/there", "ERROR")
        wait_until("stored by the new one", lambda: running.states().get("app/there") == "ERROR")
        wait_until("the one cut off claims", lambda: [c.node for c in read_claims(running.layout)] == [cut])
        wait_until("and is not DOWN", lambda: running.states().get(f"server/{cut}") == "UP")
        wait_until(
            "its paths are",
            lambda: {running.states().get(f"path/{cut}/{name}") for name in running.names if name != cut} == {"DOWN"},
        )
        booted[cut].mend()
        running.await_up()
        wait_until("the claim is gone", lambda: not read_claims(running.layout))
        assert running.await_leader().term == new.term
        wait_until("what was raised there", lambda: [e.count for e in running.events("app/cut-off")] == [1])


def _said_at(running: Cluster, node: str, words: str) -> float:
    """When a node first said so, seconds; 0 where it has not."""
    lines = (line for line in running.nodes[node].stderr.splitlines() if words in line)
    line = next(lines, "")
    return datetime.fromisoformat(line[:23]).timestamp() if line else 0.0


def test_a_tie_leaves_the_role_where_it_is(network: Network, tmp_path: Path) -> None:
    with hosts(network, tmp_path, "a", "b") as (running, booted):
        running.start()
        leader = running.await_up()
        other = running.other_than(leader.node)
        booted[other].cut()
        running.raise_on(other, "app/kept", "ERROR")
        wait_until("a claim", lambda: [(c.node, c.hears) for c in read_claims(running.layout)] == [(other, 0)])
        wait_until("not DOWN", lambda: running.states().get(f"path/{other}/{leader.node}") == "DOWN")
        assert running.states()[f"server/{other}"] == "UP"
        assert running.await_leader().term == leader.term
        running.kill(other)
        wait_until("its claim moves no more: DOWN", lambda: running.states().get(f"server/{other}") == "DOWN")
        booted[other].mend()
        running.start(other)
        running.await_up()
        wait_until("arrived", lambda: [event.count for event in running.events("app/kept")] == [1])
        assert running.await_leader().term == leader.term


def test_a_second_host_of_one_name_is_seen_and_named(network: Network, tmp_path: Path) -> None:
    """A cloned machine: the same name, address and port, another network card and disk; the switch decides."""
    with hosts(network, tmp_path, "a", "b", "c") as (running, booted):
        running.start("a", "b")
        running.await_up(("a", "b"))
        running.start("c")
        running.await_up()
        assert running.await_leader().node != "c"
        clone = network.boot(3, card=0x33)
        twin = running.add_twin("c", clone.prefix)
        clone.cut()
        running.start(twin)
        there, away = booted["c"], clone
        said = running.nodes["a"]
        for turn in (1, 2):
            downs, ups = said.stderr.count("c: SUSPECT -> DOWN"), said.stderr.count("c: DOWN -> UP")
            there.cut()
            wait_until("gone", lambda n=downs: said.stderr.count("c: SUSPECT -> DOWN") > n)
            away.mend()
            wait_until(f"the other is heard, {turn}", lambda n=ups: said.stderr.count("c: DOWN -> UP") > n, timeout=20)
            there, away = away, there
        event = wait_until("named", lambda: running.states().get("monitor/c/identity"))
        assert event == "ERROR"
        (told,) = running.events("monitor/c/identity")
        assert told.supplement.startswith("two daemons call themselves c")
