"""What the daemon finds on its own disk at the start: its lock, and a copy of the cluster file.

Rules: one daemon of a node, by flock on state/lock. The cluster file is read once, before the loop runs, in a thread
that can be given up; when the shared disk does not answer, the copy of the last start serves, and that is said.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from pathlib import Path

from noroshi.store.config import Cluster, NodeConfig, load_cluster
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout

log = logging.getLogger(__name__)

READ_LIMIT = 5.0
"""Seconds the shared disk has to give out the cluster file."""


class StateLock:
    """Held for life; the directory is made where it is missing. Raises NoroshiError."""

    def __init__(self, node: NodeConfig) -> None:
        file = node.state / "lock"
        try:
            node.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            node.run.mkdir(mode=0o755, parents=True, exist_ok=True)
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
    text, why = _read_in_time(shared)
    if text is not None:
        cluster = load_cluster(shared)
        _write(copy, text)
        return cluster
    if not copy.exists():
        return load_cluster(shared)  # says what is wrong with it
    log.warning("cannot read %s (%s): going by the copy of the last start, %s", shared, why, copy)
    return load_cluster(copy)


def _read_in_time(file: Path) -> tuple[bytes | None, str]:
    """The file's bytes, or None and why not."""
    outcome: list[tuple[bytes | None, str]] = []

    def work() -> None:
        try:
            outcome.append((file.read_bytes(), ""))
        except OSError as error:
            outcome.append((None, error.strerror or str(error)))

    thread = threading.Thread(target=work, name="cluster-file", daemon=True)
    thread.start()
    thread.join(READ_LIMIT)
    return outcome[0] if outcome else (None, f"no answer for {READ_LIMIT:g} s")


def _write(copy: Path, text: bytes) -> None:
    new = copy.with_suffix(".new")
    new.write_bytes(text)
    new.replace(copy)
