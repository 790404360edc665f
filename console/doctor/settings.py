"""The files the doctor goes by, from a shared disk that may hang.

Rules: the shared directory is read by a process that can be given up, for a thread in a call that does not return
would keep this program from ending. Where it gives nothing, the copy that the daemon keeps serves.
"""

from __future__ import annotations

import hashlib
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noroshi.store import keys, yamlfile
from noroshi.store.config import Cluster, NodeConfig, load_node, parse_cluster
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout

if TYPE_CHECKING:
    from noroshi.node.wire.keyring import Keyring

READ_LIMIT = 5.0
"""Seconds the shared disk has to give out the cluster file."""
_ENDS_WITHIN = 0.5


@dataclass(frozen=True)
class Settings:
    """`digest` is that of the shared cluster.yaml; None where it could not be read, and `trouble` says why."""

    node: NodeConfig
    cluster: Cluster
    digest: str | None
    trouble: str = ""


def load(config: Path) -> Settings:
    """Raises NoroshiError where the cluster is nowhere to be read."""
    node = load_node(config)
    shared, copy = Layout(node.shared).cluster, node.state / "cluster.yaml"
    text, why = read_within(shared, READ_LIMIT)
    if text is not None:
        found = parse_cluster(yamlfile.decode(text, shared), shared)  # read once: the disk may hang at the next
        return Settings(node, found, hashlib.sha256(text).hexdigest())
    try:
        return Settings(node, parse_cluster(yamlfile.read_text(copy), shared), None, why)
    except (NoroshiError, OSError) as error:
        hint = f"nor is there a copy that may be read ({copy}): mount the shared directory"
        raise NoroshiError("cannot read", on=str(shared), why=why, hint=hint) from error


def keyring(settings: Settings) -> Keyring | None:
    """This node's keys, None without `security: curve`; the copies of the public ones where the shared disk gives none.

    Raises NoroshiError where they are missing or may not be read: nobody answers without.
    """
    from noroshi.node.wire.keyring import assemble, keyring_of

    node, cluster = settings.node, settings.cluster
    if settings.digest is not None or cluster.security != "curve":
        return keyring_of(node, cluster)
    return assemble(node, cluster, keys.read_public(node.state / "public-keys", cluster.names))


def read_within(file: Path, limit: float) -> tuple[bytes | None, str]:
    """The file's bytes, or None and why not."""
    reading = subprocess.Popen(
        ["cat", "--", str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        text, said = reading.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        _give_up(reading)
        return None, f"no answer for {limit:g} s"
    if reading.returncode:
        return None, said.decode(errors="replace").strip()
    return text, ""


def _give_up(process: subprocess.Popen[bytes]) -> None:
    """Killed, and waited for only a moment: the kernel may hold it back."""
    process.kill()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDS_WITHIN)
