"""Hosts of their own on one machine: network namespaces on a bridge, whose kernel counts every frame. Needs root.

Nothing but what the programs there send is on the network: no IPv6, neighbours are entered by hand, and each segment
that arrives is acknowledged by a frame of its own, and a frame takes a whole message of up to 8 KiB: so that messages
can be told from frames, of which there are two to each.
"""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

MTU = "9000"


def ip(*arguments: str) -> None:
    """Raises CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Traffic:
    """What left an interface: frames, and bytes with their Ethernet headers."""

    frames: int
    bytes: int

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.frames + other.frames, self.bytes + other.bytes)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.frames - other.frames, self.bytes - other.bytes)


class Network:
    """`with Network(3) as network:` has hosts 10.98.0.1, .2 and .3, one link each."""

    def __init__(self, hosts: int) -> None:
        self.addresses = [f"10.98.0.{number}" for number in range(1, hosts + 1)]
        tag = secrets.token_hex(3)
        self._switch = f"nrs-{tag}"
        self._hosts = [f"nrs-{tag}-{number}" for number in range(1, hosts + 1)]

    def prefix(self, number: int) -> tuple[str, ...]:
        """Runs a program on host `number`, the first is 0; the process stays the same one."""
        return ("ip", "netns", "exec", self._hosts[number])

    def __enter__(self) -> Network:
        try:
            ip("netns", "add", self._switch)
            ip("-n", self._switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
            ip("-n", self._switch, "link", "set", "bridge", "up")
            for number in range(len(self._hosts)):
                self._connect(number)
            for number in range(len(self._hosts)):
                self._introduce(number)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _connect(self, number: int) -> None:
        host, port = self._hosts[number], f"port{number}"
        ip("netns", "add", host)
        for namespace in (host, self._switch):
            no_ipv6 = "net.ipv6.conf.all.disable_ipv6=1"
            subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw", no_ipv6], check=True)
        ip("link", "add", "name", port, "netns", self._switch, "type", "veth", "peer", "name", "eth0", "netns", host)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "mtu", MTU, "up")
        ip("-n", host, "link", "set", "lo", "up")
        ip("-n", host, "link", "set", "eth0", "address", _hardware(number), "gso_max_segs", "1", "mtu", MTU, "up")
        ip("-n", host, "address", "add", f"{self.addresses[number]}/24", "dev", "eth0")
        route = ("10.98.0.0/24", "dev", "eth0", "proto", "kernel", "scope", "link", "src", self.addresses[number])
        ip("-n", host, "route", "replace", *route, "quickack", "1")

    def _introduce(self, number: int) -> None:
        for other, address in enumerate(self.addresses):
            if other != number:
                entry = (address, "lladdr", _hardware(other), "dev", "eth0", "nud", "permanent")
                ip("-n", self._hosts[number], "neighbour", "replace", *entry)

    def _end(self) -> None:
        for name in [*self._hosts, self._switch]:
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def sent(pid: int) -> Traffic:
    """What has left eth0 of the host that a process runs on, as that host's kernel counts it."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "eth0":
            columns = figures.split()
            return Traffic(frames=int(columns[9]), bytes=int(columns[8]))
    raise LookupError(f"process {pid} sees no eth0")


def _hardware(number: int) -> str:
    return f"02:00:00:00:98:{number + 1:02x}"
