"""Which former leaders are known to have ended, so that checkpoints are safe (design section 3, Leading step 4).

Rules: a coordinator holds `state/coordinator.lock`, on its node's own disk, for life, and a daemon starts only when
nobody holds it. So a node whose packets carry another incarnation than a former leader's runs that leader no more. A
node that is no longer in the cluster file was taken out by an operator, who answers for it. With `coordinator:
external` the cluster manager has fenced it before it started this one.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path

from noroshi.store.config import Cluster
from noroshi.store.errors import NoroshiError
from noroshi.store.mark import OTHERS, Owner

_PATIENCE, _PAUSE = 2.0, 0.02


def has_ended(owner: Owner, cluster: Cluster, bound: Mapping[str, bytes]) -> bool:
    """`bound`: the incarnation that the packets of each node carry."""
    if cluster.coordinator == "external":
        return True
    if owner == OTHERS:
        return False
    incarnation = bound.get(owner.node, b"").hex()
    return owner.node not in cluster.names or (bool(incarnation) and incarnation != owner.incarnation)


def hold_for_life(state: Path) -> int:
    """Take `state/coordinator.lock`; the descriptor, which closes with the process. Raises NoroshiError."""
    file = state / "coordinator.lock"
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = "give the state directory to the user the daemon runs as"
        raise NoroshiError("cannot open", on=str(file), why=error.strerror or str(error), hint=hint) from error
    deadline = time.monotonic() + _PATIENCE
    while not _locked(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            hint = "it does not end because a call to the shared disk does not return; see that disk"
            raise NoroshiError("an earlier coordinator of this node still runs", on=str(file), hint=hint)
        time.sleep(_PAUSE)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
