"""node.yaml: what one node watches, sends, keeps and may start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noroshi.store import applications, kinds, validation, yamlfile
from noroshi.store.config.bounds import SPOOL, Bounds, GiB, MiB, bounds
from noroshi.store.config.cluster import Cluster
from noroshi.store.config.journal import JournalRule, is_journal, journal_rule
from noroshi.store.config.logs import LOG_RULE, LogRule
from noroshi.store.config.monitors import defaults, monitors
from noroshi.store.config.signals import SignalRule, signals
from noroshi.store.errors import Problem
from noroshi.store.matching import NamePattern
from noroshi.store.model import Application, Procedure
from noroshi.store.validation import Field, Given, Report, Rule, record
from noroshi.store.yamlfile import Value

MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path, as Linux limits it."""

_LONGEST_SOCKET = "coordinator.sock"


@dataclass(frozen=True)
class EventFilter:
    """Which events the node sends: those of `only` (none given: all) that are not in `except_`; name patterns."""

    only: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()

    def allows(self, event: str) -> bool:
        """Whether the node sends this event."""
        wanted = not self.only or any(NamePattern(each).matches(event) for each in self.only)
        return wanted and not any(NamePattern(each).matches(event) for each in self.except_)


@dataclass(frozen=True)
class DefaultDestination:
    """What the notice on the coordinator's own node runs, in place of the system log.

    Its program is allowed by being named here, in the node's own file.
    """

    procedure: Procedure
    application: Application


@dataclass(frozen=True)
class NotifierConfig:
    """`programs` (absolute paths) and the default's are the only ones that may be started here.

    `user` None: the daemon's own.
    """

    programs: tuple[str, ...] = ()
    user: str | None = None
    default: DefaultDestination | None = None


@dataclass(frozen=True)
class NodeConfig:
    """node.yaml; the paths are absolute. `monitors` has the options, defaults filled in, of each monitor to run."""

    file: Path
    node: str
    shared: Path
    state: Path
    run: Path
    logs: tuple[LogRule, ...] = ()
    journals: tuple[JournalRule, ...] = ()
    """The entries of `logs:` that name the journal."""
    events: EventFilter = EventFilter()
    monitors: dict[str, dict[str, object]] = field(default_factory=defaults)
    notifier: NotifierConfig = NotifierConfig()
    signals: tuple[SignalRule, ...] = ()
    """What signals sent to the node daemon raise."""
    spool: Bounds = SPOOL
    node_place: tuple[int, int] = field(default=(0, 0), compare=False)
    """Line and column of the node's name in `file`."""


def load_node(path: Path) -> NodeConfig:
    """Read and check node.yaml. Raises ConfigError with all problems."""
    values = validation.check(yamlfile.read_text(path), path, _NODE)
    node, place = values.pop("node")
    rules = values.pop("logs")
    values["logs"] = tuple(rule for rule in rules if not isinstance(rule, JournalRule))
    values["journals"] = tuple(rule for rule in rules if isinstance(rule, JournalRule))
    return NodeConfig(file=path.absolute(), node=node, node_place=place, **values)


def check_pair(node: NodeConfig, cluster: Cluster) -> list[Problem]:
    """What is wrong with a node's file given the cluster's: the node must be one of the cluster."""
    if node.node in cluster.names:
        return []
    hint = validation.suggestion(node.node, cluster.names)
    message = f"node {node.node!r} is not in {node.shared / 'cluster.yaml'}"
    return [Problem(node.file, *node.node_place, message, hint)]


def _node_name(value: Value, report: Report) -> tuple[str, tuple[int, int]]:
    return kinds.name("node")(value, report), (value.line, value.column)


def _program(value: Value, report: Report) -> str:
    return str(kinds.path("program")(value, report))


def _names(what: str) -> Field:
    return Field(validation.list_of(what, kinds.text(f"a pattern in {what}")), ())


def _except(build: Any) -> Any:
    """`except` is a key of the files and a keyword of the language."""
    return lambda **values: build(except_=values.pop("except"), **values)


def _rule(value: Value, report: Report) -> LogRule | JournalRule:
    return journal_rule(value, report) if is_journal(value) else LOG_RULE(value, report)


_EVENTS = record("events", {"only": _names("only"), "except": _names("except")}, _except(EventFilter))


_DEFAULT = record(
    "notifier.default",
    {"procedure": Field(applications.PROCEDURE), "application": Field(kinds.raw)},
    DefaultDestination,
    [Rule(("procedure", "application"), applications.settle)],
)

_NOTIFIER = record(
    "notifier",
    {
        "programs": Field(validation.list_of("programs", _program), ()),
        "user": Field(kinds.name("user"), None),
        "default": Field(_DEFAULT, None),
    },
    NotifierConfig,
)


def _short_enough(given: Given) -> None:
    longest = len(bytes(given.values["run"] / _LONGEST_SOCKET))
    if longest > MAX_SOCKET_PATH:
        message = f"the path of run is too long for a socket ({longest} bytes with {_LONGEST_SOCKET})"
        given.note("run", message, f"choose a directory of at most {MAX_SOCKET_PATH - len(_LONGEST_SOCKET) - 1} bytes")


def _own_directories(given: Given) -> None:
    """State and run belong to one node; the shared directory is everybody's."""
    for name in ("state", "run"):
        if os.path.normpath(given.values[name]) == os.path.normpath(given.values["shared"]):
            given.note(name, f"{name} is the shared directory", "give each node a directory of its own")


_NODE = record(
    "node.yaml",
    {
        "node": Field(_node_name),
        "shared": Field(kinds.path("shared")),
        "state": Field(kinds.path("state")),
        "run": Field(kinds.path("run")),
        "logs": Field(validation.list_of("logs", _rule), ()),
        "events": Field(_EVENTS, EventFilter()),
        "monitors": Field(monitors, defaults()),
        "notifier": Field(_NOTIFIER, NotifierConfig()),
        "spool": Field(bounds("spool", SPOOL, 2 * MiB, 1024 * GiB), SPOOL),
        "signals": Field(signals, ()),
    },
    lambda **values: values,
    [Rule(("run",), _short_enough), Rule(("shared", "state", "run"), _own_directories)],
)
