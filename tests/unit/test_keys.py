"""The key files: who may read them, what is refused, and that the secret shows nowhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from noroshi.node.daemon import state
from noroshi.node.wire.keyring import Keyring, keyring_of, new_pair
from noroshi.store import keys
from noroshi.store.config import Cluster, NodeAddress, NodeConfig
from noroshi.store.errors import NoroshiError


def node(root: Path, name: str) -> NodeConfig:
    home = root / name
    return NodeConfig(file=home / "node.yaml", node=name, shared=root, state=home / "state", run=home / "run")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    addresses = tuple(NodeAddress(name, "127.0.0.1", 7400 + 10 * at) for at, name in enumerate("abc"))
    return Cluster("test", addresses, security="curve", keys=tmp_path / "keys")


def make(root: Path, cluster: Cluster, *names: str) -> None:
    assert cluster.keys is not None
    for name in names:
        keys.write_keys(node(root, name), cluster.keys, *new_pair())


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_keys_are_durable_names_included(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    make(tmp_path, cluster, "a")
    state, public = tmp_path / "a" / "state", tmp_path / "keys"
    assert synced == [state / ".curve.secret.new", state, public / ".a.public.new", public]


def test_the_secret_is_for_its_user_alone_whatever_the_umask(tmp_path: Path, cluster: Cluster) -> None:
    before = os.umask(0)
    try:
        make(tmp_path, cluster, "a")
    finally:
        os.umask(before)
    assert cluster.keys is not None
    assert mode(keys.secret_file(node(tmp_path, "a"))) == 0o600
    assert mode(keys.public_file(cluster.keys, "a")) == 0o644
    assert mode(tmp_path / "a" / "state") == 0o710


def test_a_keyring_knows_who_is_who_and_shows_no_secret(tmp_path: Path, cluster: Cluster) -> None:
    make(tmp_path, cluster, "a", "b")
    ring = keyring_of(node(tmp_path, "a"), cluster)
    other = keyring_of(node(tmp_path, "b"), cluster)
    assert ring is not None and other is not None
    assert ring.known == other.known
    assert sorted(ring.known) == ["a", "b"]
    assert ring.owner(other.public) == "b"
    assert ring.owner(new_pair()[0]) is None
    assert ring.server_key(cluster.node("b").coordinator) == other.public
    assert ring.server_key(cluster.node("c").packets) not in (ring.public, other.public), "nobody has that key"
    assert ring.secret.decode() not in repr(ring) + str(ring)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(ring), type=Keyring) == ring


def test_without_curve_there_is_none(tmp_path: Path, cluster: Cluster) -> None:
    assert keyring_of(node(tmp_path, "a"), Cluster("test", cluster.nodes)) is None


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o666, 0o601])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, cluster: Cluster, open_to: int) -> None:
    make(tmp_path, cluster, "a")
    keys.secret_file(node(tmp_path, "a")).chmod(open_to)
    with pytest.raises(NoroshiError, match=r"others may read it .*chmod 600"):
        keyring_of(node(tmp_path, "a"), cluster)


def test_what_is_missing_or_damaged_says_what_to_do(tmp_path: Path, cluster: Cluster) -> None:
    assert cluster.keys is not None
    with pytest.raises(NoroshiError, match=r"cannot read the secret key .*noroshi keygen"):
        keyring_of(node(tmp_path, "a"), cluster)
    make(tmp_path, cluster, "a", "b")
    public = keys.public_file(cluster.keys, "a")
    public.write_bytes(keys.public_file(cluster.keys, "b").read_bytes())
    with pytest.raises(NoroshiError, match="does not belong to this node's secret key"):
        keyring_of(node(tmp_path, "a"), cluster)
    public.unlink()
    with pytest.raises(NoroshiError, match=r"the public key of this node .*there is none"):
        keyring_of(node(tmp_path, "a"), cluster)
    public.write_text("# nothing\nno key\n")
    with pytest.raises(NoroshiError, match=r"no key .*a\.public: one line of 40 characters"):
        keyring_of(node(tmp_path, "a"), cluster)
    secret = keys.secret_file(node(tmp_path, "a"))
    secret.write_bytes(secret.read_bytes()[:-9])
    with pytest.raises(NoroshiError, match="no key") as refused:
        keyring_of(node(tmp_path, "a"), cluster)
    assert secret.read_text().split()[-1] not in str(refused.value)


def test_a_link_is_no_secret(tmp_path: Path, cluster: Cluster) -> None:
    make(tmp_path, cluster, "a")
    secret = keys.secret_file(node(tmp_path, "a"))
    secret.rename(tmp_path / "elsewhere")
    secret.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoroshiError, match="cannot read the secret key"):
        keyring_of(node(tmp_path, "a"), cluster)


def test_with_the_shared_disk_away_the_copies_of_the_last_start_serve(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, cluster, "a", "b")
    ring = state.keys_of(node(tmp_path, "a"), cluster)

    def hangs(read: object) -> tuple[None, str]:
        del read
        return None, "no answer for 5 s"

    monkeypatch.setattr(state, "_in_time", hangs)
    assert state.keys_of(node(tmp_path, "a"), cluster) == ring


def test_a_node_that_left_is_forgotten_by_the_copies(tmp_path: Path, cluster: Cluster) -> None:
    make(tmp_path, cluster, "a", "b")
    state.keys_of(node(tmp_path, "a"), cluster)
    assert cluster.keys is not None
    keys.public_file(cluster.keys, "b").unlink()
    ring = state.keys_of(node(tmp_path, "a"), cluster)
    assert ring is not None and list(ring.known) == ["a"]
    copies = tmp_path / "a" / "state" / "public-keys"
    assert [file.name for file in copies.iterdir()] == ["a.public"]
