"""Claims: what a node says on the shared disk that finds the lock held and does not hear the leader (design section 3).

Role: the files `claims/NODE`; what they mean is decided by `node.core.claims`.
Rules: one file a node, written by that node alone, in place, a fixed length, fsynced; read by a fresh open. A claim is
alive while its number moves: nobody compares clocks, and a file left by a node that died says nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from noroshi.store.disk import create, disk_errors, make_directory, read_fresh, write_synced
from noroshi.store.layout import Layout

SIZE = 512
"""Bytes of a claim, always."""


class Claim(msgspec.Struct, frozen=True):
    """`hears`: how many other nodes' packets it hears. `number` grows with each renewal of one `incarnation`."""

    node: str
    hears: int
    number: int
    incarnation: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Claim)


class ClaimFile:
    """The claim of one node."""

    def __init__(self, layout: Layout, node: str, incarnation: bytes) -> None:
        self._directory, self._node, self._incarnation = layout.claims, node, incarnation.hex()
        self._number = 0

    @property
    def path(self) -> Path:
        return self._directory / self._node

    def renew(self, hears: int) -> None:
        """Say it (again), durable on return. Raises DiskFull, DiskFailed."""
        self._number += 1
        claim = Claim(self._node, hears, self._number, self._incarnation)
        with disk_errors("cannot claim the role", self.path):
            make_directory(self._directory)
            descriptor = create(self.path)
            try:
                write_synced(descriptor, _encoder.encode(claim).ljust(SIZE - 1) + b"\n")
            finally:
                os.close(descriptor)

    def withdraw(self) -> None:
        """Nothing is claimed any more. A file that stays says nothing either, for it does not move."""
        with suppress(OSError):
            self.path.unlink()


def read_claims(layout: Layout) -> list[Claim]:
    """Every claim that can be read, dead ones too. Raises DiskFailed."""
    with disk_errors("cannot read the claims", layout.claims):
        try:
            names = os.listdir(layout.claims)  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []
        claims = [_decode(read_fresh(layout.claims / name, SIZE)) for name in names]
    return [claim for claim in claims if claim is not None]


def _decode(raw: bytes | None) -> Claim | None:
    """None for one that is missing, being written, or damaged."""
    try:
        return _decoder.decode(raw) if raw else None
    except (msgspec.DecodeError, RecursionError):
        return None
