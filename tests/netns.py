"""Hosts as network namespaces on a bridge, for tests of what the network does. Needs root."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


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

    def boot(self, number: int, *, card: int | None = None) -> Host:
        """A host 10.99.0.`number`, with the same hardware address at each boot, or that of `card`."""
        self._ports += 1
        host = Host(f"nrs-{self._tag}-{self._ports}", self._switch, f"port{self._ports}", f"10.99.0.{number}")
        ip("netns", "add", host.name)
        self._hosts.append(host.name)
        port = ("name", host.port, "netns", self._switch, "type", "veth")
        ip("link", "add", *port, "peer", "name", "eth0", "netns", host.name)
        ip("-n", self._switch, "link", "set", host.port, "master", "bridge", "up")
        ip("-n", host.name, "link", "set", "eth0", "address", f"02:00:00:00:00:{card or number:02x}", "up")
        ip("-n", host.name, "link", "set", "lo", "up")
        ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        return host

    def end(self) -> None:
        for name in [*self._hosts, self._switch]:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


class Host:
    """One boot of a host; `prefix` runs a program there."""

    def __init__(self, name: str, switch: str, port: str, address: str) -> None:
        self.name, self._switch, self.port, self.address = name, switch, port, address
        self.prefix = ("ip", "netns", "exec", name)

    def cut(self) -> None:
        """Nothing passes any more, no goodbye of the kernel's either."""
        ip("-n", self._switch, "link", "set", self.port, "down")

    def mend(self) -> None:
        ip("-n", self._switch, "link", "set", self.port, "up")

    def vanish(self) -> None:
        """Gone with its memory of all connections."""
        ip("netns", "delete", self.name)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network that is gone at the end, whatever happens."""
    with contextlib.ExitStack() as stack:
        made = Network()
        stack.callback(made.end)
        yield made
