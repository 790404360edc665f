"""`noroshi keygen`: this node's keys for `security: curve`, the secret one on its own disk, the public one for all.

Keys may be made on every node while `security: none` still stands; then set `security: curve` and restart the daemons.
With --replace the old keys are of no use any more: the daemons of all nodes must be restarted to know the new one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from noroshi.console.sanitise import visible
from noroshi.store import keys
from noroshi.store.config import Cluster, NodeConfig, check_pair, load_cluster, load_node
from noroshi.store.errors import ConfigError, NoroshiError
from noroshi.store.layout import Layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--replace."""
    parser.add_argument("--replace", action="store_true", help="make new ones though there are some")


def run(arguments: argparse.Namespace) -> int:
    """0 once both files are on the disk; what remains to be done is printed."""
    from noroshi.node.wire.keyring import new_pair

    node = load_node(Path(arguments.config))
    file = Layout(node.shared).cluster
    cluster = load_cluster(file)
    if problems := check_pair(node, cluster):
        raise ConfigError(problems)
    if cluster.keys is None:
        raise NoroshiError("no place for the public keys", on=str(file), hint="add `keys: keys` there: a directory")
    _refuse_to_replace(node, cluster.keys, arguments.replace)
    try:
        keys.write_keys(node, cluster.keys, *new_pair())
    except OSError as error:
        hint = "run this as the daemon's user or as root"
        raise NoroshiError("cannot write", on=str(error.filename), why=error.strerror or "", hint=hint) from error
    print(f"secret key: {visible(str(keys.secret_file(node)))} (keep it on this node)")
    print(f"public key: {visible(str(keys.public_file(cluster.keys, node.node)))}")
    print(_what_remains(cluster, cluster.keys))
    return 0


def _refuse_to_replace(node: NodeConfig, directory: Path, replace: bool) -> None:
    there = [file for file in (keys.secret_file(node), keys.public_file(directory, node.node)) if file.exists()]
    if there and not replace:
        hint = "--replace makes new ones; every daemon must then be restarted"
        raise NoroshiError("this node has keys already", on=str(there[0]), hint=hint)


def _what_remains(cluster: Cluster, directory: Path) -> str:
    known = keys.read_public(directory, cluster.names)
    if missing := [name for name in cluster.names if name not in known]:
        return f"still without keys: {', '.join(missing)}; run `noroshi keygen` there"
    if cluster.security == "none":
        return "every node has keys: set `security: curve` in cluster.yaml, then restart all daemons"
    return "every node has keys: restart the daemons that run"
