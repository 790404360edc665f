"""`noroshi backup [FILE]`: one consistent file of the whole database, while it is written or with nobody leading."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import suppress
from pathlib import Path

from noroshi.store import backup
from noroshi.store.config import NodeConfig, load_cluster, load_node
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held, read_lock

HOLD = 30.0
"""Seconds for which the coordinator is asked, again and again, to keep the database file as it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE, --json."""
    parser.add_argument(
        "file", nargs="?", type=Path, help="where to; left out: where a damaged database is begun again from"
    )
    parser.add_argument("--json", action="store_true", help="one object")


def run(arguments: argparse.Namespace) -> int:
    """0 once the backup is whole, checked and durable."""
    node = load_node(Path(arguments.config))
    layout = Layout(node.shared)
    target: Path = arguments.file or layout.backup
    if arguments.file is None:
        backup.make_directory(layout)
    taken = backup.write_backup(layout, target, _Holding(layout, node))
    if arguments.json:
        print(json.dumps({"file": str(taken.path), "size": taken.size, "term": taken.term}))
    else:
        print(f"{taken.path}: {taken.size} bytes, up to term {taken.term}")
    return 0


class _Holding:
    """Asks the coordinator, if there is one, for no checkpoint while the copy is made: it would have to begin anew."""

    def __init__(self, layout: Layout, node: NodeConfig) -> None:
        self._layout, self._node = layout, node
        self._again_at = 0.0
        self()

    def __call__(self) -> None:
        if time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + HOLD / 3
        with suppress(NoroshiError, OSError):  # without it the copy is tried again where it has to be
            self._ask()

    def _ask(self) -> None:
        from noroshi.node.wire.keyring import keyring_of
        from noroshi.node.wire.messages import PROTOCOL, Hold, Request
        from noroshi.node.wire.requests import ask

        lock = read_lock(self._layout)
        if lock is not None and is_held(self._layout):
            cluster = load_cluster(self._layout.cluster)
            request = Request(PROTOCOL, cluster.name, self._node.node, b"", Hold(HOLD))
            ask(lock.endpoint, request, timeout=2.0, keys=keyring_of(self._node, cluster))
