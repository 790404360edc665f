"""What the daemon finds on its own disk at the start: its lock, a copy of the cluster file and of the public keys.

Rules: one daemon of a node, by flock on state/lock. The shared disk is read once, before the loop runs, in a thread
that can be given up; when it does not answer, the copies of the last start serve, and that is said.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from noroshi.node.wire.keyring import Keyring, assemble
from noroshi.store import keys, yamlfile
from noroshi.store.config import Cluster, NodeConfig, load_cluster, parse_cluster
from noroshi.store.disk import RUN_MODE, STATE_MODE, make_own_directory
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_LIMIT = 5.0
"""Seconds the shared disk has to give out the cluster file."""


class StateLock:
    """Held for life; the directory is made where it is missing. Raises NoroshiError."""

    def __init__(self, node: NodeConfig) -> None:
        file = node.state / "lock"
        try:
            make_own_directory(node.state, STATE_MODE)
            make_own_directory(node.run, RUN_MODE)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NoroshiError(
                "cannot use the state directory",
                on=str(error.filename or file),
                why=error.strerror or str(error),
                hint="make it, and give it to the user the daemon runs as",
            ) from error
        self._lock(file, node.node)

    def _lock(self, file: Path, node: str) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise NoroshiError(
                f"a daemon of node {node} runs already",
                on=str(file),
                why=f"process {holder} holds the lock" if holder else "the lock is held",
                hint="stop it first, or give this one a state directory of its own",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


FORMER_LIMIT = 10.0
"""Seconds that the coordinator of an earlier daemon may take to end: it does so when its link closes."""


def await_former_coordinator(node: NodeConfig) -> None:
    """Return once no coordinator of this node runs: that is what a new incarnation tells the cluster.

    Raises NoroshiError where one does not end.
    """
    descriptor = os.open(node.state / "coordinator.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + FORMER_LIMIT
    try:
        while not _free(descriptor):
            if time.monotonic() > deadline:
                raise NoroshiError(
                    "a coordinator of an earlier daemon still runs here",
                    on=str(node.state / "coordinator.lock"),
                    hint="end that process; where it cannot be ended, a call to the shared disk does not return",
                )
            time.sleep(0.05)
    finally:
        os.close(descriptor)


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def cluster_of(node: NodeConfig) -> Cluster:
    """The cluster, from the shared disk or else from the copy. Raises ConfigError: wrong, or in neither place."""
    shared, copy = Layout(node.shared).cluster, node.state / "cluster.yaml"
    text, why = _in_time(shared.read_bytes)
    if text is not None:
        cluster = load_cluster(shared)
        _write(copy, text)
        return cluster
    if not copy.exists():
        return load_cluster(shared)  # says what is wrong with it
    log.warning("cannot read %s (%s): going by the copy of the last start, %s", shared, why, copy)
    return parse_cluster(yamlfile.read_text(copy), shared)  # relative paths in it start from where it belongs


def keys_of(node: NodeConfig, cluster: Cluster) -> Keyring | None:
    """The keys, the public ones from the shared disk or else from the copy; None without `security: curve`.

    Raises NoroshiError: this node's own are missing or wrong, or a public one is damaged.
    """
    if cluster.security != "curve" or cluster.keys is None:
        return None
    directory, copy = cluster.keys, node.state / "public-keys"
    known, why = _in_time(lambda: keys.read_public(directory, cluster.names))
    if known is not None:
        keys.copy_public(known, copy)
    else:
        log.warning("cannot read %s (%s): going by the copies of the last start, %s", directory, why, copy)
        known = keys.read_public(copy, cluster.names)
    return assemble(node, cluster, known)


def _in_time(read: Callable[[], T]) -> tuple[T | None, str]:
    """What `read` gives, or None and why not. Raises NoroshiError for what is there and wrong."""
    outcome: list[tuple[T | None, str]] = []
    wrong: list[NoroshiError] = []

    def work() -> None:
        try:
            outcome.append((read(), ""))
        except OSError as error:
            outcome.append((None, error.strerror or str(error)))
        except NoroshiError as error:
            wrong.append(error)

    thread = threading.Thread(target=work, name="shared-disk", daemon=True)
    thread.start()
    thread.join(READ_LIMIT)
    if wrong:
        raise wrong[0]
    return outcome[0] if outcome else (None, f"no answer for {READ_LIMIT:g} s")


def _write(copy: Path, text: bytes) -> None:
    new = copy.with_suffix(".new")
    new.write_bytes(text)
    new.replace(copy)
