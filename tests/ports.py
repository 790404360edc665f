"""Ports on loopback for tests: each given out once, and to nobody else who tests on this machine meanwhile.

That a port is free when one looks is not enough: that of a node which is down for a while is free too, and so are those
of a cluster that another process has laid out and not yet started.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from itertools import islice

from noroshi.console.demo.files import FIRST_PORT, LAST_PORT, PORTS_A_NODE, all_free

BLOCK = 10 * PORTS_A_NODE
"""Ports that a process reserves at once."""

_reserved: list[socket.socket] = []
"""A name each, taken until this process ends."""


def free_ports(count: int) -> list[int]:
    """First ports of `count` runs of three neighbours."""
    return list(islice(_runs, count))


def _given_out() -> Iterator[int]:
    blocks = range(FIRST_PORT, LAST_PORT - BLOCK, BLOCK)
    begin = secrets.randbelow(len(blocks))
    for block in [*blocks[begin:], *blocks[:begin]]:
        if _reserve(block):
            yield from (first for first in range(block, block + BLOCK, PORTS_A_NODE) if all_free(first))
    raise AssertionError("no port is left")


def _reserve(block: int) -> bool:
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0noroshi-test-ports-{block}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True


_runs = _given_out()
