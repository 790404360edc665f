"""The files of the demo cluster: its directories, its YAML, the program that is notified.

Everything lies below one temporary directory, for this user alone; nothing outside it is touched.
"""

from __future__ import annotations

import json
import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

NODES = ("db1", "db2", "db3")
PORTS_A_NODE = 3

_PAGE = """#!/bin/sh
# Called by the notifier: the event as JSON on standard input, and in NOROSHI_*.
# One line a call, so that who was told, of what and by which delivery can be read back.
cat >/dev/null
printf '%s\\t%s\\t%s\\t%s\\n' "$NOROSHI_ID" "$NOROSHI_EVENT" "$NOROSHI_STATE" "$*" >>"$(dirname "$0")/told.txt"
"""

_FAIL = """#!/bin/sh
# A program that cannot do its work.
cat >/dev/null
echo "no line to the pager" >&2
exit 7
"""


@dataclass(frozen=True)
class NodeFiles:
    """Where one demo node keeps its things."""

    name: str
    home: Path

    @property
    def config(self) -> Path:
        return self.home / "node.yaml"

    @property
    def agent(self) -> Path:
        return self.home / "run" / "agent.sock"

    @property
    def log(self) -> Path:
        return self.home / "app.log"

    @property
    def page(self) -> Path:
        return self.home / "page"

    @property
    def fail(self) -> Path:
        return self.home / "fail"

    @property
    def messages(self) -> Path:
        """What the daemon says on standard error."""
        return self.home / "daemon.log"

    def told(self) -> list[tuple[str, str, str, str]]:
        """What the node's program was called with: delivery id, event, state, arguments."""
        try:
            lines = (self.home / "told.txt").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(parts[0], parts[1], parts[2], parts[3]) for line in lines if len(parts := line.split("\t")) == 4]


@dataclass(frozen=True)
class DemoFiles:
    """The whole demo below `root`."""

    root: Path
    nodes: tuple[NodeFiles, ...]

    @property
    def shared(self) -> Path:
        return self.root / "shared"

    def node(self, name: str) -> NodeFiles:
        return next(node for node in self.nodes if node.name == name)


def write(root: Path, interval: str = "200ms") -> DemoFiles:
    """Lay everything out below `root`, with free ports; `interval` is the heartbeat's."""
    files = DemoFiles(root, tuple(NodeFiles(name, root / name) for name in NODES))
    files.shared.mkdir(mode=0o700)
    for node in files.nodes:
        _write_node(files, node)
    (files.shared / "cluster.yaml").write_text(_cluster(interval, free_ports(len(NODES))))
    (files.shared / "definitions.yaml").write_text(_definitions(files))
    return files


def _write_node(files: DemoFiles, node: NodeFiles) -> None:
    node.home.mkdir(mode=0o700)
    for program, text in ((node.page, _PAGE), (node.fail, _FAIL)):
        program.write_text(text)
        program.chmod(0o700)
    node.log.touch()
    node.config.write_text(
        f"""node: {node.name}
shared: {_quoted(files.shared)}
state: {_quoted(node.home / "state")}
run: {_quoted(node.home / "run")}
logs:
  - {{path: {_quoted(node.log)}, select: ["error", "fail"], except: ["harmless"]}}
notifier:
  programs: [{_quoted(node.page)}, {_quoted(node.fail)}]
  default: {{procedure: process, application: [{_quoted(node.page)}, default]}}
"""
    )


def _cluster(interval: str, ports: list[int]) -> str:
    nodes = "".join(
        f"  {name}: {{address: 127.0.0.1, port: {port}}}\n" for name, port in zip(NODES, ports, strict=True)
    )
    return f"""cluster: demo
heartbeat: {{interval: {interval}, suspect: 2, down: 4}}
nodes:
{nodes}"""


def _definitions(files: DemoFiles) -> str:
    def page(name: str, *words: str) -> str:
        return ", ".join(map(_quoted, (files.node(name).page, *words)))

    in_turn = "".join(
        f"      - {{priority: {number}, node: {name}, procedure: process, application: [{page(name, 'in-turn')}]}}\n"
        for number, name in enumerate(NODES, 1)
    )
    return f"""events:
  - name: orders
    match: {{event: "app/orders", state: ERROR}}
    notify:
      - {{priority: 1, node: db2, procedure: process, application: [{page("db2", "first")}]}}
      - {{priority: 2, node: db3, procedure: process, application: [{page("db3", "second")}]}}
  - name: in-turn
    match: {{event: "app/billing/*"}}
    notify:
{in_turn}  - name: hopeless
    match: {{event: "app/hopeless"}}
    timeout: 5s
    notify:
      - {{priority: 1, node: db1, procedure: process, application: [{_quoted(files.node("db1").fail)}]}}
      - {{priority: 2, node: db2, procedure: process, application: [/nonexistent/program]}}
logs:
  - name: out-of-memory
    match: {{source: "**", pattern: "Out of memory"}}
    notify:
      - {{priority: 1, node: db3, procedure: process, application: [{page("db3", "memory")}]}}
"""


def _quoted(value: object) -> str:
    return json.dumps(str(value))


FIRST_PORT, LAST_PORT = 10_000, 32_700
"""Below the ports that Linux gives to outgoing connections: one of those may be taken between a look and the bind."""


def free_ports(count: int) -> list[int]:
    """First ports of `count` runs of three neighbours that are free on loopback now."""
    found: list[int] = []
    candidate = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
    while len(found) < count:
        if all_free(candidate):
            found.append(candidate)
        candidate += PORTS_A_NODE
        if candidate + PORTS_A_NODE > LAST_PORT:
            candidate = FIRST_PORT
    return found


def all_free(first: int) -> bool:
    """Whether nothing listens on the three ports from `first` on."""
    with ExitStack() as stack:
        for port in range(first, first + PORTS_A_NODE):
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
