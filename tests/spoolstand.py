"""What the tests of the spool share: a loop to run in, all that it holds, a disk that fails."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

from raisers import next_batch

from noroshi.node.core.spool import parse_name
from noroshi.node.daemon.spool import Spool

BIG = bytes(100_000)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def drain(spool: Spool) -> list[tuple[bytes, int, bytes]]:
    """Take everything as a coordinator would: (stream, sequence, body)."""
    taken = []
    while batch := await next_batch(spool):
        taken += [(batch.stream, item.sequence, item.body) for item in batch.items]
        spool.acknowledge(batch.stream, batch.last)
    return taken


def segments(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if parse_name(path.name))


def broken(*arguments: object) -> None:
    raise OSError(errno.EIO, "Input/output error")
