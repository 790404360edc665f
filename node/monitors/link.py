"""Network interfaces: the link, and the addresses.

Source: operstate and carrier in /sys/class/net (Documentation/networking/operstates.rst). An interface that has no link
when it is first seen is taken for unused, unless it has an address, belongs to a bond, or is named in the node file.
Addresses come and go with a cluster manager, so only the loss of the last one counts, and of those that the node file
says must be here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping

import psutil

from noroshi.node.monitors import reading
from noroshi.node.monitors.interfaces import SYSFS, watched
from noroshi.node.monitors.observation import ERROR, FINE, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options

Addresses = Callable[[], Mapping[str, Collection[str]]]
"""IP addresses by interface, link-local ones left out."""

_IFF_UP = 0x1
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_LINK_LOCAL = ("fe80:", "169.254.")


def addresses() -> dict[str, set[str]]:
    """Of this machine."""
    return {
        interface: {
            each.address for each in known if each.family in _FAMILIES and not each.address.startswith(_LINK_LOCAL)
        }
        for interface, known in psutil.net_if_addrs().items()
    }


class LinkMonitor(Monitor):
    """link/NODE/INTERFACE, and link/NODE/ADDRESS for each address that must be here."""

    def __init__(self, node: str, options: Options, known: Addresses = addresses) -> None:
        self.interval = options.interval
        self._prefix = f"link/{node}/"
        self._directory = options.root / SYSFS
        self._wanted, self._required = options.texts("interfaces"), options.texts("addresses")
        self._addresses = known
        self._used = set(self._wanted)
        self._had_address: set[str] = set()

    def recall(self, names: Collection[str]) -> None:
        """What had lost its link is not unused, though it has none when it is first seen again."""
        self._used |= {name.removeprefix(self._prefix) for name in names}

    def observe(self, now: float) -> list[Observation]:
        present = self._addresses()
        found: dict[str, Condition] = {}
        for name in watched(self._directory, self._wanted):
            condition = self._condition(name, present.get(name, ()))
            if condition is not None:
                found[name] = condition
        everywhere = {address for known in present.values() for address in known}
        found |= {each: FINE if each in everywhere else (ERROR, "on no interface") for each in self._required}
        return [Observation(self._prefix + name, *condition) for name, condition in found.items()]

    def _condition(self, name: str, has: Collection[str]) -> Condition | None:
        """None for an interface that is not used."""
        wrong = self._link(name)
        if not wrong or has or (self._directory / name / "master").exists():
            self._used.add(name)
        if has:
            self._had_address.add(name)
        if name not in self._used:
            return None
        if not wrong and not has and name in self._had_address:
            wrong = "has no address any more"
        return (ERROR, wrong) if wrong else FINE

    def _link(self, name: str) -> str:
        """What is wrong with it, or nothing."""
        interface = self._directory / name
        if not (reading.number(interface / "flags") or 0) & _IFF_UP:
            return "turned off"
        state = reading.text(interface / "operstate")
        if state in ("up", "unknown") and reading.number(interface / "carrier") != 0:
            return ""
        return "no link" if state in ("down", "lowerlayerdown", "up", "unknown") else f"no link: {state}"
