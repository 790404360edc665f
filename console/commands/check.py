"""`noroshi check`: every problem of this node's configuration, cluster file, keys and seed definitions, at once.

And of who may change the programs that its daemon starts.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from noroshi.console.sanitise import visible
from noroshi.store import definitions
from noroshi.store.config import Cluster, NodeConfig, check_pair, load_cluster, load_node
from noroshi.store.errors import ConfigError, NoroshiError, Problem
from noroshi.store.layout import Layout
from noroshi.store.ownership import others_who_may_change, user_of

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one object")


def run(arguments: argparse.Namespace) -> int:
    """0 where nothing is wrong, 1 otherwise; problems go to standard output, for they are what was asked for."""
    checked, problems = _check(Path(arguments.config))
    if arguments.json:
        print(json.dumps({"ok": not problems, "files": list(map(str, checked)), "problems": list(map(_row, problems))}))
    else:
        for problem in problems:
            print(visible(str(problem)))
        for file in checked:
            wrong = sum(problem.file == file for problem in problems)
            print(visible(f"{file}: {wrong or 'no'} problem{'' if wrong == 1 else 's'}"))
    return 1 if problems else 0


def _check(config: Path) -> tuple[list[Path], list[Problem]]:
    problems: list[Problem] = []
    checked = [config]
    node: NodeConfig | None = _collect(problems, lambda: load_node(config))
    if node is None:
        return checked, problems
    problems += _programs(node)
    layout = Layout(node.shared)
    checked.append(layout.cluster)
    cluster: Cluster | None = _collect(problems, lambda: load_cluster(layout.cluster))
    if cluster is not None:
        problems += check_pair(node, cluster) + _keys(node, cluster)
    if layout.definitions.exists():
        checked.append(layout.definitions)
        names = None if cluster is None else cluster.names
        _collect(problems, lambda: definitions.load(layout.definitions, names))
    return checked, problems


def _programs(node: NodeConfig) -> list[Problem]:
    """Whether others may change what the daemon starts, or the file that says what it may start."""
    own, name = _daemons_user(node), node.notifier.user
    user = own if name is None else user_of(name)
    if user is None:
        return [Problem(node.file, 0, 0, f"no user {name}: nothing can be started", f"useradd --system {name}")]
    daemons = "it runs as the daemon's user"
    found = [
        (node.file, own, "it says what may be started"),
        *((program, user, f"it runs as {name}" if name else daemons) for program in _told_by(node)),
        *((program, own, daemons) for program in _asked_by(node)),
    ]
    return [problem for file, of, why in found for problem in _open_to_others(node, file, of, why)]


def _daemons_user(node: NodeConfig) -> int:
    """Whose the state directory is, which the daemon made; before its first start, who asks."""
    try:
        return node.state.stat().st_uid
    except OSError:
        return os.geteuid()


def _open_to_others(node: NodeConfig, file: Path, user: int, why: str) -> Iterable[Problem]:
    try:
        who = others_who_may_change(file, user)
    except OSError as error:
        unseen = f"{file}: {why}, and who may change it cannot be seen: {error.filename}: {error.strerror}"
        yield Problem(node.file, 0, 0, unseen, "run this check as root, who may look everywhere")
        return
    if who:
        hint = "give it and its directories to root, and take the right to write from others: chown root, chmod o-w"
        yield Problem(node.file, 0, 0, f"{file}: {why}, and {who}", hint)


def _told_by(node: NodeConfig) -> Iterable[Path]:
    """What the notifier may start."""
    default = node.notifier.default
    own = default.application if default is not None and default.procedure == "process" else None
    return map(Path, (*node.notifier.programs, *(own[:1] if isinstance(own, list) else ())))


def _asked_by(node: NodeConfig) -> Iterable[Path]:
    """What the monitors start, where it is named by its path."""
    said = (options.get(key) for options in node.monitors.values() for key in ("run", "command"))
    return (Path(words[0]) for words in said if isinstance(words, tuple) and words)


def _keys(node: NodeConfig, cluster: Cluster) -> list[Problem]:
    """With `security: curve`: this node's own keys, as its daemon would find them."""
    from noroshi.node.wire.keyring import keyring_of

    try:
        keyring_of(node, cluster)
    except NoroshiError as error:
        return [Problem(Layout(node.shared).cluster, 0, 0, f"{error.what} {error.on}: {error.why}", error.hint)]
    return []


def _collect(problems: list[Problem], load: Callable[[], T]) -> T | None:
    try:
        return load()
    except ConfigError as error:
        problems += error.problems
        return None


def _row(problem: Problem) -> dict[str, object]:
    return {
        "file": str(problem.file),
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    }
