"""The log monitor against a model: a log written and rotated at random, kills, a coordinator that misbehaves."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from logstand import QUICK, Coordinator, MonitorProcess, Shelf
from waiting import wait_until

from noroshi.node.logs.messages import Rule
from noroshi.node.wire.messages import LogBatch, Reply

OFTEN = msgspec.structs.replace(QUICK, rescan=0.05)
"""A directory too."""

Step = tuple[Callable[[], None], int]


class Story:
    """A log file written and rotated at random, and what of it has to arrive."""

    def __init__(self, directory: Path, seed: int, create: bool = False) -> None:
        """`create`: as logrotate's option of that name, the log is there again at once after it was renamed."""
        self.create = create
        self.random = random.Random(seed)
        self.log = directory / "app.log"
        self.expected: list[str] = []
        self.count = self.rotations = 0

    def append(self) -> None:
        with self.log.open("ab") as file:
            for _ in range(self.random.choice([1, 1, 3, 200])):
                file.write(self._line())

    def append_slowly(self) -> None:
        """A line in two pieces, and a look may fall between them."""
        line = self._line()
        cut = self.random.randrange(len(line))
        for piece in (line[:cut], line[cut:]):
            with self.log.open("ab") as file:
                file.write(piece)

    def _line(self) -> bytes:
        self.count += 1
        kind = self.random.randrange(8)
        if kind == 0:
            return b"noise %d\n" % self.count
        if kind == 1:
            self.expected.append(f"error {self.count} \ufffd\ufffd")
            return b"error %d \xff\xfe\r\n" % self.count
        if kind == 2 and self.random.random() < 0.1:
            line = f"error {self.count} ".ljust(1 << 20, "x")
            self.expected.append(f"{line[: 1 << 16]} …[cut {len(line) - (1 << 16)} bytes]")
            return line.encode() + b"\n"
        self.expected.append(f"error {self.count} ü")
        return f"error {self.count} ü\n".encode()

    def _shift(self) -> None:
        for number in range(self.rotations, 0, -1):
            for suffix in ("", *COMPRESS):
                old = self.log.with_name(f"app.log.{number}{suffix}")
                if old.exists():
                    old.rename(self.log.with_name(f"app.log.{number + 1}{suffix}"))
        self.rotations += 1

    def tick(self) -> None:
        """Until the disk's clock, by which rotated files are put in order, has moved."""
        clock = self.log.with_name("clock")

        def now() -> int:
            clock.touch()
            return clock.stat().st_mtime_ns

        before = now()
        wait_until("the disk's clock moves", lambda: now() > before, interval=0.001)

    def compress(self) -> None:
        """As logrotate does, which keeps the time: all that is rotated, or all but the newest (delaycompress)."""
        for number in range(self.random.choice([1, 2]), self.rotations + 1):
            rotated = self.log.with_name(f"app.log.{number}")
            if rotated.exists():
                _compress(rotated, self.random.choice(list(COMPRESS)))

    def rename_and_compress(self) -> None:
        self.rename()
        self.compress()

    def copy_truncate_and_compress(self) -> None:
        self.copy_and_truncate()
        self.compress()

    def rename(self) -> None:
        if self.log.exists():
            self._shift()
            self.log.rename(self.log.with_name("app.log.1"))
            if self.create:
                self.log.touch()

    def rename_while_open(self) -> None:
        """The writer goes on in the renamed file until it is told to reopen."""
        with self.log.open("ab") as file:
            file.write(self._line())
            self.rename()
            file.write(self._line())
            file.flush()

    def copy_and_truncate(self) -> None:
        if self.log.exists():
            self._shift()
            shutil.copyfile(self.log, self.log.with_name("app.log.1"))
            os.truncate(self.log, 0)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def _compress(path: Path, suffix: str) -> None:
    packed, seen = path.with_name(path.name + suffix), path.stat()
    packed.write_bytes(COMPRESS[suffix](path.read_bytes()))
    os.utime(packed, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    path.unlink()


class Life:
    """The monitor's and the leader's comings and goings in a story."""

    def __init__(self, state: Path, rules: list[Rule], coordinator: Coordinator) -> None:
        self.state, self.rules, self.coordinator = state, rules, coordinator
        self.monitor: MonitorProcess | None = None

    def start(self) -> None:
        if self.monitor is None:
            self.monitor = MonitorProcess(self.state, self.rules, OFTEN)
            self.monitor.lead(self.coordinator.endpoint)

    def kill(self) -> None:
        if self.monitor is not None:
            self.monitor.kill()
            self.monitor = None

    def lose_leader(self) -> None:
        if self.monitor is not None:
            self.monitor.lead(None)

    def find_leader(self) -> None:
        if self.monitor is not None:
            self.monitor.lead(self.coordinator.endpoint)


def unreliable(seed: int) -> Callable[[LogBatch], Reply | str | None]:
    """A coordinator whose answers are sometimes lost, and sometimes the requests."""
    chance = random.Random(seed)
    return lambda batch: chance.choices([None, "mute", "drop"], [20, 1, 1])[0]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["app.log", "app*"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_every_selected_line_that_stayed_on_disk_is_stored_once_and_in_order(
    tmp_path: Path, seed: int, compress: bool, pattern: str
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    story, shelf = Story(logs, seed, create=compress), Shelf()
    with Coordinator(shelf, unreliable(seed)) as coordinator:
        life = Life(tmp_path / "state", [Rule(str(logs / pattern), ["error"])], coordinator)
        life.start()
        _until_looking(life)
        rotating: list[Step] = [(story.rename, 2), (story.rename_while_open, 2), (story.copy_and_truncate, 2)]
        if compress:
            rotating += [(story.rename_and_compress, 2), (story.copy_truncate_and_compress, 2), (story.compress, 2)]
            rotating = [(partial(_apart, story, life, step), weight) for step, weight in rotating]
        steps: list[Step] = [
            (story.append, 8),
            (story.append_slowly, 4),
            *rotating,
            (life.kill, 2),
            (life.start, 4),
            (life.lose_leader, 1),
            (life.find_leader, 2),
            (lambda: _pause(life), 2),
        ]
        try:
            for step in story.random.choices(
                [step for step, _ in steps], [weight for _, weight in steps], k=60 if compress else 120
            ):
                step()
            life.start()
            life.find_leader()
            wait_until("every line is stored", lambda: _stored(shelf) == len(story.expected) or None, 60)
        finally:
            life.kill()
    if pattern == "app.log":
        assert shelf.lines == {str(story.log): story.expected}
    order = {line: place for place, line in enumerate(story.expected)}
    for lines in shelf.lines.values():
        assert [order[line] for line in lines] == sorted(order[line] for line in lines)
    assert sorted(line for lines in shelf.lines.values() for line in lines) == sorted(story.expected)
    assert shelf.lost == 0


def _apart(story: Story, life: Life, step: Callable[[], None]) -> None:
    """Rotations by programs that compress are further apart than looks, and than the ticks of the disk's clock."""
    _pause(life)
    story.tick()
    step()
    story.tick()
    _pause(life)


def _stored(shelf: Shelf) -> int:
    return sum(map(len, shelf.lines.values()))


def _until_looking(life: Life) -> None:
    monitor = life.monitor
    assert monitor is not None
    wait_until("the monitor has had its first look", lambda: monitor.alive)


def _pause(life: Life) -> None:
    """Until the monitor has looked at everything, so that looks fall between the steps."""
    if life.monitor is not None:
        life.monitor.await_looks()
