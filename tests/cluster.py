"""A real cluster for tests: daemons as processes, each node's files below one directory, everything read back.

Used by the system tests and the benchmarks. Every daemon leads a process group, so that `kill` takes its coordinator
too, as a power cut would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil
from ports import free_ports
from waiting import wait_until

from noroshi.node.client import RaiseError, Raiser, raise_event
from noroshi.store import views
from noroshi.store.connection import Connection
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.lock import LockRecord, is_held, read_lock
from noroshi.store.reader import SharedReader

T = TypeVar("T")

TOLD = """#!/bin/sh
# Notes each call: delivery id, event, state, supplement, line, arguments.
cat >/dev/null
printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$NOROSHI_ID" "$NOROSHI_EVENT" "$NOROSHI_STATE" "$NOROSHI_SUPPLEMENT" \\
  "$NOROSHI_LINE" "$*" >>"$(dirname "$0")/told.txt"
"""


@dataclass
class Node:
    """One node's files and daemon."""

    name: str
    home: Path
    prefix: tuple[str, ...] = ()
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.home / "node.yaml"

    @property
    def run(self) -> Path:
        """Short, for a socket's path has 108 bytes and pytest's directories are long."""
        return (self.home / "run").readlink()

    @property
    def socket(self) -> str:
        return str(self.run / "agent.sock")

    @property
    def program(self) -> Path:
        return self.home / "tell"

    @property
    def log(self) -> Path:
        return self.home / "app.log"

    @property
    def stderr(self) -> str:
        file = self.home / "stderr.txt"
        return file.read_text(errors="replace") if file.exists() else ""

    def told(self) -> list[list[str]]:
        """The program's calls: delivery, event, state, supplement, line, arguments."""
        file = self.home / "told.txt"
        return [line.split("\t") for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def running(self) -> bool:
        return self.daemon is not None and self.daemon.poll() is None

    @property
    def follows_logs(self) -> bool:
        """Whether the log monitor has looked at its files: until then what is written there is from before its time."""
        return "{path:" not in self.config.read_text() or (self.home / "state/logs/positions").exists()


def hears(node: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a node hears another, as it runs now; each as `Cluster.hearing` has it."""
    heard = {peer["node"]: (peer["state"], peer["incarnation"]) for peer in node["peers"]}
    return node["node"] == other["node"] or heard[other["node"]] == ("UP", other["incarnation"])


def follows(node: Mapping[str, Any], leader: LockRecord) -> bool:
    """Whether a node's daemon knows who leads."""
    return bool(node) and node["leader"] == {"node": leader.node, "term": leader.term}


@dataclass
class Cluster:
    """`definitions` and `extra` (node.yaml lines by node) are YAML; `{NODE}` in definitions is a node's program."""

    root: Path
    names: tuple[str, ...] = ("a", "b", "c")
    interval: str = "200ms"
    definitions: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    cluster_extra: str = ""
    addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    logs: bool = True
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shared: Path | None = None

    def __post_init__(self) -> None:
        self.layout = Layout(self.shared or self.root / "shared")
        self.layout.shared.mkdir(parents=True, exist_ok=self.shared is not None)
        self.nodes = {name: Node(name, self.root / name, self.prefixes.get(name, ())) for name in self.names}
        self.reader = SharedReader(self.layout)
        ports = dict(zip(self.names, free_ports(len(self.names)), strict=True))
        self._write_cluster({name: self.addresses.get(name, ("127.0.0.1", ports[name])) for name in self.names})
        for node in self.nodes.values():
            self._write_node(node)
        if self.definitions:
            programs = {name: str(node.program) for name, node in self.nodes.items()}
            text = self.definitions
            for name, program in programs.items():
                text = text.replace("{" + name + "}", program)
            self.layout.definitions.write_text(text)

    def _write_cluster(self, addresses: Mapping[str, tuple[str, int]]) -> None:
        self.ports = {name: port for name, (_, port) in addresses.items()}
        nodes = "".join(f"  {name}: {{address: {at}, port: {port}}}\n" for name, (at, port) in addresses.items())
        self.layout.cluster.write_text(
            f"cluster: test\nheartbeat: {{interval: {self.interval}, suspect: 2, down: 4}}\n"
            f"{self.cluster_extra}nodes:\n{nodes}"
        )

    def _write_node(self, node: Node) -> None:
        node.home.mkdir(parents=True)
        (node.home / "run").symlink_to(tempfile.mkdtemp(prefix="nrs-", dir="/tmp"))
        node.program.write_text(TOLD)
        node.program.chmod(0o700)
        node.log.touch()
        logs = f'logs: [{{path: "{node.log}"}}]\n' if self.logs else ""
        extra = self.extra.get(node.name, f'notifier: {{programs: ["{node.program}"]}}\n')
        node.config.write_text(
            f'node: {node.name}\nshared: "{self.layout.shared}"\nstate: "{node.home / "state"}"\n'
            f'run: "{node.run}"\n{logs}{extra}'
        )

    def add_twin(self, name: str, prefix: tuple[str, ...]) -> str:
        """Files of another host that has the same node name; what to call it here."""
        twin = f"{name}-twin"
        node = self.nodes[twin] = Node(name, self.root / twin, prefix)
        self._write_node(node)
        return twin

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self, *names: str) -> Cluster:
        for name in names or self.names:
            node = self.nodes[name]
            with (node.home / "stderr.txt").open("ab") as stderr:
                node.daemon = subprocess.Popen(
                    [*node.prefix, sys.executable, "-m", "noroshi.node", "node", "--config", str(node.config)],
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    start_new_session=True,
                    env={**os.environ, **self.environment.get(name, {})},
                )
        return self

    def kill(self, name: str) -> None:
        """SIGKILL to everything of the node."""
        self.signal_group(name, signal.SIGKILL)
        daemon = self.nodes[name].daemon
        assert daemon is not None
        daemon.wait()

    def stop(self, name: str) -> int:
        """A planned stop; the exit status."""
        daemon = self.nodes[name].daemon
        assert daemon is not None
        daemon.terminate()
        return daemon.wait(40)

    def signal_group(self, name: str, number: signal.Signals) -> None:
        daemon = self.nodes[name].daemon
        if daemon is not None:
            try:
                os.killpg(daemon.pid, number)
            except ProcessLookupError:
                return

    def coordinator_process(self, name: str) -> psutil.Process | None:
        """The coordinator of a node's daemon."""
        return self._child(name, "coordinator")

    def log_process(self, name: str) -> psutil.Process | None:
        """The log monitor of a node's daemon."""
        return self._child(name, "noroshi.node.logs")

    def _child(self, name: str, word: str) -> psutil.Process | None:
        daemon = self.nodes[name].daemon
        if daemon is None or daemon.poll() is not None:
            return None
        try:
            children = psutil.Process(daemon.pid).children(recursive=True)
            return next((child for child in children if word in child.cmdline()), None)
        except psutil.NoSuchProcess:
            return None

    def close(self) -> None:
        for name, node in self.nodes.items():
            if node.daemon is not None:
                self.signal_group(name, signal.SIGCONT)
                self.signal_group(name, signal.SIGTERM)
        for name, node in self.nodes.items():
            if node.daemon is not None:
                try:
                    node.daemon.wait(10)
                except subprocess.TimeoutExpired:
                    print(f"{name} did not stop:\n{node.stderr[-3000:]}")
                self.kill(name)
            shutil.rmtree(node.run, ignore_errors=True)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for name, node in self.nodes.items():
                print(f"--- {name}\n{node.stderr[-4000:]}")
        self.close()

    # --- reading --------------------------------------------------------------------------------------------------

    def query(self, function: Callable[[Connection], T]) -> T | None:
        """What a reader sees; None where there is nothing to read yet."""
        try:
            return self.reader.query(function)
        except NoroshiError:
            return None

    def states(self) -> dict[str, str]:
        rows = self.query(views.states) or ()
        return {row.event: row.state for row in rows}

    def node_states(self) -> dict[str, str]:
        return {row.node: row.state for row in self.query(views.node_states) or ()}

    def events(self, pattern: str = "**") -> list[views.Event]:
        which = views.EventFilter(event=pattern)
        return list(self.query(lambda connection: views.events(connection, which, 100_000)) or ())

    def lines(self, node: str | None = None) -> list[str]:
        rows = self.query(lambda connection: views.log_after(connection, 0, 1_000_000)) or ()
        return [row.line for row in rows if node in (None, row.node)]

    def history(self, definition: str | None = None) -> list[views.Notification]:
        which = views.HistoryFilter(definition=definition)
        return list(self.query(lambda connection: views.notifications(connection, which, 10_000)) or ())

    def leader(self) -> LockRecord | None:
        return read_lock(self.layout) if is_held(self.layout) else None

    # --- waiting --------------------------------------------------------------------------------------------------

    def await_up(self, names: Iterable[str] | None = None, timeout: float = 20) -> LockRecord:
        """All nodes UP in the database, and whole among themselves: see `missing`."""
        wanted, missing = tuple(names or self.names), list[str]()

        def whole() -> LockRecord | None:
            leader = self.leader()
            missing[:] = self.missing(wanted, leader)
            return None if missing else leader

        return wait_until(lambda: f"{', '.join(wanted)} up; missing: {'; '.join(missing)}", whole, timeout)

    def missing(self, names: tuple[str, ...], leader: LockRecord | None) -> list[str]:
        """What these nodes lack: to be UP by the database, that is as the leader hears them; to hear each other and
        follow the leader, which is no matter of the database; to have looked once at the logs they follow."""
        if leader is None:
            return ["a leader"]
        states = self.node_states()
        lacking = [f"{name} {states.get(name)}" for name in names if states.get(name) != "UP"]
        hearing = {name: self.hearing(name) for name in names} if not lacking else {}
        lacking += [f"the agent of {name}" for name, found in hearing.items() if not found]
        return lacking or [
            *(f"{name} follows {found['leader']}" for name, found in hearing.items() if not follows(found, leader)),
            *(f"{name} hears {peer}" for name in names for peer in names if not hears(hearing[name], hearing[peer])),
            *(f"a look of {name} at its logs" for name in names if not self.nodes[name].follows_logs),
        ]

    def hearing(self, name: str) -> dict[str, Any]:
        """What a node's daemon says of its peers and of who leads; nothing while it is not there."""
        try:
            with Raiser(self.nodes[name].socket, timeout=1.0) as raiser:
                return dict(json.loads(raiser.exchange(b'{"verb": "peers"}\n')))
        except RaiseError:
            return {}

    def await_leader(self, not_term: int = 0, timeout: float = 20) -> LockRecord:
        """Somebody leads, in another term than `not_term`, and its own daemon knows."""

        def leading() -> LockRecord | None:
            leader = self.leader()
            # The lock is held a moment before its record is that of who holds it.
            known = leader is not None and leader.term != not_term and follows(self.hearing(leader.node), leader)
            return leader if known else None

        return wait_until(f"a leader of another term than {not_term}", leading, timeout)

    def raise_on(self, node: str, event: str, state: str, supplement: str = "") -> str:
        return raise_event(event, state, supplement, socket=self.nodes[node].socket, timeout=20.0)

    def other_than(self, *names: str) -> str:
        return next(name for name in self.names if name not in names and self.nodes[name].running)
