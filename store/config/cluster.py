"""cluster.yaml: the nodes, their periodic packets, how the coordinator is chosen."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from noroshi.store import kinds, validation, yamlfile
from noroshi.store.config.keeping import BACKUPS, RETENTION, Backups, Retention, backups, retention
from noroshi.store.definitions import LIMIT
from noroshi.store.model import Limit
from noroshi.store.validation import Field, Given, Report, Rule, record
from noroshi.store.yamlfile import Scalar, Value

PORTS = 3
"""TCP ports a node takes, from its base port: packets, notifier, coordinator."""


@dataclass(frozen=True)
class Heartbeat:
    """The periodic packets: every `interval` seconds; SUSPECT and DOWN after so many missed; at most `packet` bytes."""

    interval: float = 1.0
    suspect: int = 2
    down: int = 4
    packet: int = 4096
    overflow: Literal["flush", "wait"] = "flush"

    @property
    def suspect_time(self) -> float:
        """Seconds of silence after which a node is SUSPECT."""
        return self.interval * self.suspect

    @property
    def down_time(self) -> float:
        """Seconds of silence after which a node counts as gone."""
        return self.interval * self.down


@dataclass(frozen=True)
class NodeAddress:
    """Where a node listens: an IPv4 address and the first of its three ports."""

    name: str
    address: str
    port: int

    @property
    def packets(self) -> str:
        """Endpoint of its periodic packets (PUB)."""
        return f"tcp://{self.address}:{self.port}"

    @property
    def notifier(self) -> str:
        """Endpoint of its notifier (ROUTER)."""
        return f"tcp://{self.address}:{self.port + 1}"

    @property
    def coordinator(self) -> str:
        """Endpoint of the coordinator (ROUTER) while it runs there."""
        return f"tcp://{self.address}:{self.port + 2}"


@dataclass(frozen=True)
class Cluster:
    """cluster.yaml; the order of the nodes is that of the file, and packets depend on it."""

    name: str
    nodes: tuple[NodeAddress, ...]
    heartbeat: Heartbeat = Heartbeat()
    coordinator: Literal["automatic", "external"] = "automatic"
    security: Literal["none", "curve"] = "none"
    keys: Path | None = None
    limit: Limit | None = None
    """No more notifications than that, all definitions together."""
    backup: Backups | None = BACKUPS
    retention: Retention = RETENTION

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.nodes)

    def node(self, name: str) -> NodeAddress:
        """Raises KeyError."""
        for each in self.nodes:
            if each.name == name:
                return each
        raise KeyError(name)


def load_cluster(path: Path) -> Cluster:
    """Read and check cluster.yaml. Raises ConfigError with all problems."""
    return parse_cluster(yamlfile.read_text(path), path)


def parse_cluster(text: str, path: Path) -> Cluster:
    """The cluster in `text`, as it was read from `path`. Raises ConfigError with all problems."""
    return validation.check(text, path, _CLUSTER)


def _address(value: Value, report: Report) -> str:
    given = kinds.text("address")(value, report)
    try:
        address = ipaddress.IPv4Address(given)
    except ValueError:
        hint = "a cluster should not depend on a name server"
        raise report.refuse(value, f"address must be an IPv4 address, here is {given!r}", hint) from None
    if address.is_unspecified or address.is_multicast or given == "255.255.255.255":
        raise report.refuse(value, f"{given} is no address of one node", "give the one the other nodes reach it at")
    return str(address)


def _down_after_suspect(given: Given) -> None:
    suspect, down = given.values["suspect"], given.values["down"]
    if down <= suspect:
        name = "down" if "down" in given.places else "suspect"
        given.note(name, f"down ({down}) must be more than suspect ({suspect})", "both count packets missed")


_HEARTBEAT = record(
    "heartbeat",
    {
        "interval": Field(kinds.duration("interval", 0.05, 600), 1.0),
        "suspect": Field(kinds.integer("suspect", 1, 1000), 2),
        "down": Field(kinds.integer("down", 2, 1000), 4),
        "packet": Field(kinds.integer("packet", 512, 65_000), 4096),
        "overflow": Field(kinds.choice("overflow", "flush", "wait"), "flush"),
    },
    Heartbeat,
    [Rule(("suspect", "down"), _down_after_suspect)],
)

_NODE_ADDRESS = record(
    "node",
    {"address": Field(_address), "port": Field(kinds.integer("port", 1, 65_536 - PORTS))},
    lambda address, port: (address, port),
)


def _node_entry(key: Scalar, value: Value, report: Report) -> tuple[str, int, Value]:
    return *_NODE_ADDRESS(value, report), value


def _nodes(value: Value, report: Report) -> tuple[NodeAddress, ...]:
    entries = _NODES(value, report)
    _note_overlaps(entries, report)
    return tuple(NodeAddress(name, address, port) for name, (address, port, _) in entries.items())


_NODES = validation.mapping_of("nodes", kinds.name("node name"), _node_entry, least=1)


def _note_overlaps(entries: dict[str, tuple[str, int, Value]], report: Report) -> None:
    """Two nodes of one address need three ports each."""
    ordered = sorted((address, port, name) for name, (address, port, _) in entries.items())
    for (address, port, name), (next_address, next_port, other) in pairwise(ordered):
        if address == next_address and next_port - port < PORTS:
            message = f"ports {next_port} to {next_port + PORTS - 1} of {other!r} overlap those of {name!r} from {port}"
            report.note(entries[other][2], message, "a node takes three ports from its first one")


def _keys_for_curve(given: Given) -> None:
    if given.values["security"] == "curve" and given.values["keys"] is None:
        given.note("security", "security: curve needs keys", "add `keys: DIRECTORY`")


_CLUSTER = record(
    "cluster.yaml",
    {
        "cluster": Field(kinds.name("cluster name")),
        "nodes": Field(_nodes),
        "heartbeat": Field(_HEARTBEAT, Heartbeat()),
        "coordinator": Field(kinds.choice("coordinator", "automatic", "external"), "automatic"),
        "security": Field(kinds.choice("security", "none", "curve"), "none"),
        "keys": Field(kinds.path("keys"), None),
        "limit": Field(LIMIT, None),
        "backup": Field(backups, BACKUPS),
        "retention": Field(retention, RETENTION),
    },
    lambda cluster, **rest: Cluster(cluster, **rest),
    [Rule(("security", "keys"), _keys_for_curve)],
)
