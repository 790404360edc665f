"""What the tests of packets and of deferred items share."""

from __future__ import annotations

from collections.abc import Iterable

from noroshi.node.core.deferred import Buffer
from noroshi.node.core.packet import Header, Packed, Packer, Role
from noroshi.store.config import Heartbeat

STREAM = b"stream-of-16-by."


def stream_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def header(sequence: int = 1, nodes: int = 3, role: Role = "none", term: int = 0, node: str = "db1") -> Header:
    view = bytes((nodes + 3) // 4)
    endpoint = "tcp://192.168.100.100:65535" if role == "leader" else ""
    return Header(1, "demo", node, b"incarnat", sequence, 1_700_000_000_000_000, role, term, endpoint, 2**31, view)


def packer(overflow: str = "wait", packet: int = 4096, nodes: int = 3) -> Packer:
    largest = header(2**63 - 1, nodes, "leader", 2**63 - 1)
    return Packer(largest, 8, Heartbeat(packet=packet, overflow=overflow))  # type: ignore[arg-type]


def buffer_of(items: Iterable[bytes], stream: bytes = STREAM) -> Buffer:
    buffer = Buffer(stream, 10**9)
    for item in items:
        buffer.append(item)
    return buffer


def carried(packed: Packed) -> list[tuple[bytes, int, int]]:
    return [(run.stream, run.first, run.last) for run in packed.carried]
