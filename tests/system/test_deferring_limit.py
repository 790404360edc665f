"""A deferred log with a rate limit: each selected line is stored once or counted once, whoever dies when (spec 3.1, 5).

Real files, the real follower, spool and packer; the monitor's loop and the coordinator are played, so that a kill falls
between any two steps.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from deferstand import FILE, Stand, run

from noroshi.node.daemon import segments
from noroshi.node.daemon.deferring.lines import Lines
from noroshi.node.logs.follower import Follower
from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.messages import Limit, Rule
from noroshi.node.logs.position import Position, digest
from noroshi.node.logs.selection import Limits, Selection, Timer

LIMIT = Limit(10, 1, 8, "10/s")


class Node:
    """One node's log, its monitor and its daemon; `saved` is the monitor's position on the disk."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.stand = Stand(directory)
        self.log = directory / "app.log"
        self.log.touch()
        self.written: list[str] = []
        self.at = 0
        self.timer = Timer()
        seen = self.log.stat()
        where = str(self.log)
        self.saved = Position(
            FILE, where, where, seen.st_dev, seen.st_ino, 0, digest(b""), 0, 0, 0, seen.st_mtime_ns, 1
        )

    async def start(self) -> None:
        await self.stand.start()
        self.monitor()

    def monitor(self) -> None:
        selection = Selection(["L"], [], Limits(), self.timer, lambda: None)
        rule = Rule(str(self.log), ["L"], deferred=True, limit=LIMIT)
        since = self.saved.caught_up_at or self.saved.modified // 1000
        self.follower = Follower(self.saved, rule, selection, Counter(), Limiter(LIMIT, since))
        self.follower.open()
        self.follower.out.durable = True

    async def kill(self) -> None:
        """The daemon and its monitor; nothing more is saved."""
        self.follower.close()
        await self.stand.stop()
        await self.start()

    def write(self) -> None:
        with self.log.open("a") as file:
            for _ in range(self.chance.choice([1, 3, 40])):
                line = (
                    f"{'L' if self.chance.random() < 0.8 else 'n'}{len(self.written)} {'x' * self.chance.randrange(90)}"
                )
                self.written.append(line)
                file.write(line + "\n")

    def read(self) -> None:
        self.at += self.chance.choice([10_000, 200_000, 2_000_000])
        assert self.follower.saw(self.log.stat(), 0.0)
        while self.follower.has_more and self.follower.out.room:
            self.follower.read(self.at, whole=False)

    async def hand_over(self) -> None:
        if self.follower.out.may_send(1e9):
            part = self.follower.out.sending()
            self.follower.out.taken(await self.stand.lines.defer(part), 0.0)

    def save(self) -> None:
        self.saved = self.follower.position

    async def settle(self) -> None:
        """Until everything has arrived."""
        for _ in range(10_000):
            self.read()
            await self.hand_over()
            self.stand.ride()
            await asyncio.sleep(0)
            if self.follower.drained and not self.stand.lines.waiting:
                return
        raise AssertionError("it does not arrive")


def unreliable(chance: random.Random) -> Callable[[int], None]:
    """An fdatasync that fails now and then."""
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        if chance.random() < 0.2:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    return fdatasync


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_every_line_is_stored_or_counted_once_over_kills(
    tmp_path: Path, seed: int, failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`failing`: instead, a disk that takes a write at times and does not make it safe, when it is on its way."""
    node = Node(tmp_path, seed)
    chance = node.chance
    monkeypatch.setattr(Lines, "_full", property(lambda lines: chance.random() < 0.1))  # a spool that is full at times
    monkeypatch.setattr("noroshi.node.daemon.deferring.lines.GROUP_SIZE", 700)  # so that a part is safe piece by piece

    if failing:
        monkeypatch.setattr(segments.os, "fdatasync", unreliable(chance))

    async def work() -> None:
        await node.start()
        if failing:
            node.stand.spool.subscribe(node.stand.ride)
        for _ in range(250):
            step = chance.choices(
                ["write", "read", "hand over", "ride", "lose", "save", "kill"],
                [5, 5, 6, 4, 1, 2, 0 if failing else 1],
            )
            match step[0]:
                case "write":
                    node.write()
                case "read":
                    node.read()
                case "hand over":
                    await node.hand_over()
                case "ride" | "lose" as how:
                    node.stand.ride(lose=how == "lose")
                case "save":
                    node.save()
                case _:
                    await node.kill()
        await node.settle()
        await node.stand.stop()

    run(work)
    node.follower.close()
    node.timer.close()
    shelf, selected = node.stand.shelf, [line for line in node.written if line[0] == "L"]
    assert len(set(shelf.lines)) == len(shelf.lines), "stored twice"
    assert shelf.lines == [line for line in selected if line in set(shelf.lines)]
    assert len(shelf.lines) + shelf.held == len(selected)
    assert 0 < shelf.held < len(selected)
    assert shelf.lost == 0
