"""Who belongs to the cluster: the keys of `security: curve` as the sockets need them (design section 5).

Role: put together once a process, handed to every socket. Rules: with a keyring no socket ever speaks in the clear: one
whose peer has no key connects to a key that nobody has. The secret stands in no repr.
"""

from __future__ import annotations

import hashlib

import msgspec
import zmq

from noroshi.store import keys
from noroshi.store.config import Cluster, NodeConfig
from noroshi.store.errors import NoroshiError


class Keyring(msgspec.Struct, frozen=True):
    """`node`: whose it is. Keys are Z85; `known` by node, `endpoints` by where a node listens."""

    node: str
    public: bytes
    secret: bytes
    known: dict[str, bytes]
    endpoints: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Keyring(node={self.node!r}, known={sorted(self.known)})"

    def server_key(self, endpoint: str) -> bytes:
        """The key of who listens there; one that nobody has where it is not known."""
        return self.endpoints.get(endpoint) or zmq.curve_keypair()[0]

    @property
    def digest(self) -> str:
        """SHA-256 over whose public keys are known: equal where two go by the same."""
        lines = (node.encode() + b" " + key + b"\n" for node, key in sorted(self.known.items()))
        return hashlib.sha256(b"".join(lines)).hexdigest()

    def owner(self, public: bytes) -> str | None:
        """The node that has this key."""
        return next((node for node, key in self.known.items() if key == public), None)


def new_pair() -> tuple[bytes, bytes]:
    """A public key and its secret one."""
    return zmq.curve_keypair()


def keyring_of(node: NodeConfig, cluster: Cluster) -> Keyring | None:
    """This node's, with the public keys as the shared disk has them now; None without `security: curve`.

    Raises NoroshiError, OSError.
    """
    if cluster.security != "curve" or cluster.keys is None:
        return None
    return assemble(node, cluster, keys.read_public(cluster.keys, cluster.names))


def assemble(node: NodeConfig, cluster: Cluster, known: dict[str, bytes]) -> Keyring:
    """Raises NoroshiError where this node's own keys are missing or do not belong together."""
    secret = keys.read_secret(keys.secret_file(node))
    public = zmq.curve_public(secret)
    if known.get(node.node) != public:
        why = "there is none" if node.node not in known else "it does not belong to this node's secret key"
        on = str(keys.public_file(cluster.keys, node.node)) if cluster.keys else node.node
        raise NoroshiError("the public key of this node", on=on, why=why, hint=f"{keys.KEYGEN}, with --replace")
    endpoints = {
        endpoint: known[each.name]
        for each in cluster.nodes
        if each.name in known
        for endpoint in (each.packets, each.notifier, each.coordinator)
    }
    return Keyring(node.node, public, secret, known, endpoints)
