"""A stand for what waits on a node for its packets: real spools and a real packer, the coordinator played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from waiting import eventually

from noroshi.node.core.batches import read
from noroshi.node.core.packet import Header, Packed, Packer, Run
from noroshi.node.core.receiver import take, take_part
from noroshi.node.daemon.deferring.at_once import AtOnce
from noroshi.node.daemon.deferring.lines import Lines
from noroshi.node.daemon.segments import SEGMENT_SIZE
from noroshi.node.daemon.spool import Limits, Loss, Spool
from noroshi.node.wire.messages import (
    PROTOCOL,
    Acknowledged,
    LineBatch,
    LogPart,
    Reply,
    RequestBody,
)
from noroshi.store.config import Heartbeat

FILE = b"stream-of-a-file"


class Packets:
    """The packer of one node, whose packets the test sends; acknowledgements of others' streams are collected."""

    def __init__(self, node: str = "db1", packet: int = 1024) -> None:
        self.node, self.sent, self.heard = node, 0, 0
        self.told: dict[bytes, int] = {}
        self.packer = Packer(self._header(2**63 - 1), 8, Heartbeat(packet=packet, overflow="wait"))
        self.packer.follow("leader")

    def _header(self, sequence: int) -> Header:
        return Header(PROTOCOL, "c", self.node, bytes(8), sequence, 1, "leader", 2**63 - 1, "tcp://h:1", 1, b"\0")

    def poke(self) -> None:
        pass

    def acknowledge(self, positions: Mapping[bytes, int]) -> None:
        self.told.update(positions)

    def send(self) -> Packed:
        self.sent += 1
        return self.packer.pack(self._header(self.sent), float(self.sent))

    def acknowledged(self, positions: Mapping[bytes, int], sender: str, *, leads: bool = False) -> dict[bytes, int]:
        return self.packer.acknowledged(positions, sender, leads=leads, now=float(self.sent))


class Shelf:
    """A coordinator's memory: positions by stream, the lines that were stored."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lost = self.held = 0
        self.positions: dict[bytes, int] = {}
        self.requests: list[LineBatch] = []
        self.answer: Callable[[LineBatch], Reply | None] | None = None

    def take(self, batch: LineBatch) -> int:
        last = self.positions.get(batch.stream, batch.oldest - 1)
        found = take(batch.first, batch.oldest, len(batch.parts), last)
        if found is None:
            return last
        for part in batch.parts[found.skip :]:
            self._part(part)
        self.positions[batch.stream] = found.position
        return found.position

    def _part(self, part: LogPart) -> None:
        found = take_part(part.start, part.end, self.positions.get(part.stream), part.ends)
        self.lost += found.lost
        self.positions[part.stream] = found.position
        if found.taken:
            self.lines += part.lines[found.skip :]
            self.held += part.held.lines if part.held is not None else 0

    def heard(self, runs: Iterable[Run]) -> dict[bytes, int]:
        taken = {}
        for run in runs:
            for batch in read(run):
                assert isinstance(batch, LineBatch)
                taken[run.stream] = self.take(batch)
        return taken

    async def ask(self, endpoint: str, body: RequestBody) -> Reply | None:
        assert isinstance(body, LineBatch)
        self.requests.append(body)
        reply = None if self.answer is None else self.answer(body)
        return reply or Acknowledged(1, {body.stream: self.take(body)})


class Stand:
    """The lines of one node and all around them."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.shelf = directory, Shelf()
        self.packets = Packets()

    async def start(self, limit: int = 64 * SEGMENT_SIZE, on_loss: Callable[[Loss], None] = lambda loss: None) -> Stand:
        self.spool = await Spool.open(self.directory / "spool", limits=Limits(limit), on_loss=on_loss)
        self.packets = Packets()
        self.at_once = AtOnce(self.spool, self.shelf.ask, lambda positions: self.lines.acknowledged(positions))
        self.lines = Lines(self.spool, self.packets, self.at_once)
        await self.lines.recall()
        self.task = asyncio.create_task(self.at_once.run())
        return self

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.spool.close()

    def ride(self, *, lose: bool = False) -> None:
        """One packet to the coordinator, and its acknowledgement."""
        packed = self.packets.send()
        if not lose:
            moved = self.packets.acknowledged(self.shelf.heard(packed.carried), "leader", leads=True)
            self.lines.acknowledged(moved)

    async def until_taken(self) -> None:
        """Packet after packet."""

        def taken() -> bool:
            self.ride()
            return not self.lines.waiting

        await eventually("no item waits", taken)


def part(lines: list[str], start: int = 0) -> LogPart:
    ends, at = [], start
    for line in lines:
        at += len(line) + 1
        ends.append(at)
    return LogPart(FILE, "/var/log/x", start, at, 5, lines, ends)


def run(work: Callable[[], object]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]
