"""A log whose disk went away and came back: what was open stays broken for ever, its name leads to it again."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noroshi.node.logs.archives import Archives
from noroshi.node.logs.messages import Raise, Rule, Timing
from noroshi.node.logs.reader import Reader
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.roster import Roster
from noroshi.node.logs.selection import Limits, Selection, Timer
from noroshi.node.logs.watcher import Watcher


class Looking:
    """The files of one rule, looked at and read by hand."""

    def __init__(self, directory: Path, rule: Rule) -> None:
        self.raised: list[Raise] = []
        self.now = 1000.0
        self.timer = Timer()
        counts: Counter[str] = Counter()
        reports = Reports(self.raised.append, lambda: self.now, counts, unsure=False)
        self.roster = Roster([rule], self._select, 2.0, counts, reports)
        self.watcher = Watcher(self.roster, Timing(), reports, Archives(self.roster, directory, reports, 0), counts)
        self.reader = Reader(self.roster, False, counts, reports)

    def _select(self, rule: Rule) -> Selection:
        return Selection([], [], Limits(), self.timer, lambda: None)

    def look(self) -> list[str]:
        """A while later; the lines that wait to be sent."""
        for _ in range(3):
            self.now += 5.0
            self.watcher.poll(self.now)
            while self.reader.read(self.now, round(self.now * 1e6), leader=True):
                continue
        return [line for one in self.roster.chains for each in one.out.pending for line in each.part.lines]


class Disk:
    """The disk of a monkeypatched `os`: once it was mounted again, its files have another device number and the same
    inode numbers, and what was open before says that it is gone, to every call but that which closes it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.mounts = 0
        self.gone: set[object] = set()
        for name in ("fstat", "stat", "pread"):
            patch.setattr(os, name, self._checked(getattr(os, name)))
        close = os.close
        patch.setattr(os, "close", lambda descriptor: (self.gone.discard(descriptor), close(descriptor))[1])

    def mount_again(self, *opened: int | None) -> None:
        self.mounts += 1
        self.gone.update(opened)

    def _checked(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: object, *arguments: object, **more: object) -> Any:
            if file in self.gone:
                raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
            found = real(file, *arguments, **more)
            return self._on_this_mount(found) if isinstance(found, os.stat_result) else found

        return call

    def _on_this_mount(self, seen: os.stat_result) -> os.stat_result:
        fields, more = seen.__reduce__()[1]
        return os.stat_result((*fields[:2], fields[2] + self.mounts, *fields[3:]), more)


@pytest.mark.parametrize("rotated", [False, True])
def test_it_is_read_on_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotated: bool) -> None:
    disk = Disk(monkeypatch)
    logs, log = tmp_path / "logs", tmp_path / "logs" / "app.log"
    logs.mkdir()
    looking = Looking(tmp_path, Rule(str(log)))
    looking.look()
    log.write_text("1\n")
    assert looking.look() == ["1"]
    if rotated:
        log.rename(logs / "app.log.1")
        log.write_text("3\n")
        assert looking.look() == ["1"], "the next file waits until this one is acknowledged"
    files = list(looking.roster.chains)
    disk.mount_again(*(one.descriptor for one in files))
    assert len(disk.gone) == len(files)
    with Path(files[0].path).open("a") as file:
        file.write("2\n")
    assert looking.look() == ["1", "2"]
    assert not disk.gone, "what is of no use any more is closed"
    looking.timer.close()
    assert [event for event in looking.raised if event.state != "OK"] == []


def test_after_a_look_that_hung_what_is_new_is_found_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk, or the whole machine, that stood still for an hour."""
    logs = tmp_path / "logs"
    logs.mkdir()
    looking = Looking(tmp_path, Rule(str(logs / "*.log")))
    with monkeypatch.context() as hung:
        hours = itertools.count(time.perf_counter(), 3600)
        hung.setattr("noroshi.node.logs.watcher.time.perf_counter", lambda: next(hours))
        looking.look()
    (logs / "new.log").write_text("1\n")
    assert looking.look() == ["1"]
    looking.timer.close()


def test_one_that_is_gone_with_its_disk_is_a_gap_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    logs = tmp_path / "logs"
    logs.mkdir()
    looking = Looking(tmp_path, Rule(str(logs / "*.log")))
    looking.look()
    for name in ("a.log", "b.log"):
        (logs / name).write_text(f"{name} 1\n")
    assert sorted(looking.look()) == ["a.log 1", "b.log 1"]
    disk.mount_again(*(one.descriptor for one in looking.roster.chains))
    (logs / "a.log").unlink()
    (logs / "b.log").rename(logs / "b.log.1")
    (logs / "b.log").write_text("b.log 2\n")
    (logs / "c.log").write_text("c.log 1\n")
    assert "c.log 1" in looking.look()
    assert not disk.gone
    looking.timer.close()
