"""Periodic packets between hosts that lose their links: network namespaces on a bridge."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from exchange_program import Program, programs
from waiting import wait_until

from noroshi.store.config import Cluster, Heartbeat, NodeAddress

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

CLUSTER = Cluster(
    "demo", (NodeAddress("db1", "10.99.0.1", 7400), NodeAddress("db2", "10.99.0.2", 7400)), Heartbeat(interval=0.1)
)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """A namespace with a bridge, and the hosts' namespaces around it."""

    def __init__(self) -> None:
        self._tag = secrets.token_hex(3)
        self._switch, self._hosts, self._ports = f"nrs-{self._tag}", list[str](), 0
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")

    def boot(self, number: int) -> Host:
        """A host 10.99.0.`number`, with the same hardware address at each boot."""
        self._ports += 1
        host = Host(f"nrs-{self._tag}-{self._ports}", self._switch, f"port{self._ports}")
        ip("netns", "add", host.name)
        self._hosts.append(host.name)
        port = ("name", host.port, "netns", self._switch, "type", "veth")
        ip("link", "add", *port, "peer", "name", "eth0", "netns", host.name)
        ip("-n", self._switch, "link", "set", host.port, "master", "bridge", "up")
        ip("-n", host.name, "link", "set", "eth0", "address", f"02:00:00:00:00:{number:02x}", "up")
        ip("-n", host.name, "address", "add", f"10.99.0.{number}/24", "dev", "eth0")
        return host

    def end(self) -> None:
        for name in [*self._hosts, self._switch]:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


class Host:
    """One boot of a host; `prefix` runs a program there."""

    def __init__(self, name: str, switch: str, port: str) -> None:
        self.name, self._switch, self.port = name, switch, port
        self.prefix = ("ip", "netns", "exec", name)

    def cut(self) -> None:
        """Nothing passes any more, no goodbye of the kernel's either."""
        ip("-n", self._switch, "link", "set", self.port, "down")

    def mend(self) -> None:
        ip("-n", self._switch, "link", "set", self.port, "up")

    def vanish(self) -> None:
        """Gone with its memory of all connections."""
        ip("netns", "delete", self.name)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    with contextlib.ExitStack() as stack:
        stack.callback(made.end)
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
        wait_until("db1 hears db2", lambda: db1.states("db2") == ["UP"])
        wait_until("so does the bystander", lambda: bystander(db1) > 3)
        second.cut()
        wait_until("db1 misses db2", lambda: db1.states("db2") == ["UP", "SUSPECT", "DOWN"])
        db2.kill()
        second.vanish()
        heard = bystander(db1)
        again = started.start("db2", prefix=network.boot(2).prefix)
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP", timeout=20)
        wait_until("db2 hears db1", lambda: again.states("db1") == ["UP"], timeout=20)
        wait_until("more packets of db2", lambda: int(str(db1.last("heard from db2"))) > heard + 10)
        assert bystander(db1) == heard, "no trap here any more? then the reopening may go"


def test_a_link_that_was_cut_over_a_restart_of_the_daemon_is_used_again(tmp_path: Path, network: Network) -> None:
    first, second = network.boot(1), network.boot(2)
    with programs(tmp_path, CLUSTER) as started:
        db1, db2 = started.start("db1", prefix=first.prefix), started.start("db2", prefix=second.prefix)
        wait_until("db1 hears db2", lambda: db1.states("db2") == ["UP"])
        second.cut()
        wait_until("db1 misses db2", lambda: db1.states("db2") == ["UP", "SUSPECT", "DOWN"])
        db2.kill()
        db2 = started.start("db2", prefix=second.prefix)
        wait_until("db2 runs without a link", lambda: db2.states("db1") == ["DOWN"])
        second.mend()
        wait_until("db1 hears db2 again", lambda: db1.states("db2")[-1] == "UP", timeout=20)
        wait_until("db2 hears db1", lambda: db2.states("db1") == ["DOWN", "UP"], timeout=20)
