"""The key files of `security: curve`: one secret a node, on its own disk; the public ones of all in `keys:`.

Format: Z85 text of 40 characters (as CURVE keys are written everywhere), on a line of its own; lines beginning with #
are for people. Rules: a secret is for its user alone and is refused when others may read it; it never stands in an
error, a log or on the shared disk. Whoever can write the keys directory decides who belongs to the cluster.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from noroshi.store.config import NodeConfig
from noroshi.store.disk import STATE_MODE, make_own_directory, sync_directory
from noroshi.store.errors import NoroshiError

_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
KEYGEN = "`noroshi keygen` on that node makes one"


def secret_file(node: NodeConfig) -> Path:
    """Where a node's own secret key lies: on its own disk."""
    return node.state / "curve.secret"


def public_file(directory: Path, node: str) -> Path:
    """Where the public key of `node` lies, for all to read."""
    return directory / f"{node}.public"


def read_secret(file: Path) -> bytes:
    """The secret key, Z85. Raises NoroshiError where it is missing, open to others or damaged."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        hint = KEYGEN if isinstance(error, FileNotFoundError) else "it is readable by the daemon's user alone"
        raise NoroshiError("cannot read the secret key", on=str(file), why=error.strerror or "", hint=hint) from error
    with os.fdopen(descriptor, "rb") as opened:
        if os.fstat(descriptor).st_mode & 0o077:
            why, hint = (
                "others may read it",
                f"chmod 600 {file}; if somebody has: `noroshi keygen --replace`",
            )
            raise NoroshiError("will not use the secret key", on=str(file), why=why, hint=hint)
        return _key(opened.read(4096), file, f"{KEYGEN}, with --replace")


def read_public(directory: Path, nodes: Iterable[str]) -> dict[str, bytes]:
    """The public keys there are, Z85 by node. Raises NoroshiError for a damaged one, OSError for the disk."""
    found = {}
    for node in nodes:
        file = public_file(directory, node)
        try:
            text = file.read_bytes()
        except FileNotFoundError:
            continue
        found[node] = _key(text, file, f"{KEYGEN}, with --replace")
    return found


def write_keys(node: NodeConfig, directory: Path, public: bytes, secret: bytes) -> None:
    """Both files, durable, the secret first. Raises OSError."""
    make_own_directory(node.state, STATE_MODE)
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    note = f"# CURVE key of node {node.node}"
    _write(secret_file(node), f"{note}: secret, for its daemon alone\n".encode() + secret + b"\n", 0o600)
    _write(public_file(directory, node.node), f"{note}: public\n".encode() + public + b"\n", 0o644)


def copy_public(known: Mapping[str, bytes], directory: Path) -> None:
    """Keep these public keys in `directory`, and no others. Raises OSError."""
    directory.mkdir(mode=0o700, exist_ok=True)
    for file in directory.glob("*.public"):
        if file.stem not in known:
            file.unlink()
    for node, public in known.items():
        _write(public_file(directory, node), public + b"\n", 0o644)


def _write(file: Path, text: bytes, mode: int) -> None:
    """In one piece, for the owner of the directory it lies in: keygen may be run by root, the daemon by another."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as opened:
        os.fchmod(descriptor, mode)
        owner = file.parent.stat()
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        opened.write(text)
        opened.flush()
        os.fsync(descriptor)
    new.replace(file)
    sync_directory(file.parent)


def _key(text: bytes, file: Path, hint: str) -> bytes:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(b"# ")]
    if len(lines) == 1 and _KEY.fullmatch(lines[0].decode("ascii", "replace")):
        return lines[0]
    raise NoroshiError("no key", on=str(file), why="one line of 40 characters (Z85) is expected", hint=hint)
