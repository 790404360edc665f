"""The steps of a measurement, on a real directory: what they find, and what they leave."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from noroshi.node.probe import disk as probe
from noroshi.node.probe.disk import Disk, content, found_in
from noroshi.node.wire import codec
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.messages import PROTOCOL
from noroshi.node.wire.probing import (
    Clear,
    Done,
    Failed,
    Found,
    Link,
    Locate,
    Located,
    Lock,
    Probe,
    Read,
    Replace,
    Replaced,
    Stay,
    Sync,
    Synced,
    Tried,
    TryLock,
    Unlock,
    Watch,
    Watched,
    Write,
)

RUN = "0123456789abcdef"


@pytest.fixture
def a(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path, "a", RUN)
    located = disk.do(Locate())
    assert isinstance(located, Located)
    assert located.kind
    assert located.free > 0
    return disk


@pytest.fixture
def b(tmp_path: Path, a: Disk) -> Disk:
    return Disk(tmp_path, "b", RUN)


def test_versions_grow_and_shrink_and_are_told_apart(a: Disk, b: Disk) -> None:
    assert b.do(Read("a")) == Found(-1, 0, False)
    sizes = set()
    for number in range(1, 16):
        assert a.do(Write(number)) == Done()
        assert b.do(Read("a")) == Found(len(content(number)), number, True)
        sizes.add(len(content(number)))
    assert len(sizes) == 7


def test_a_mixture_of_two_versions_is_not_whole() -> None:
    mixed = content(8)[:4096] + content(1)[4096:]
    assert found_in(mixed) == Found(len(mixed), 8, False)
    assert found_in(content(3)[:-1]).whole is False
    assert found_in(b"") == Found(0, 0, False)
    assert found_in(os.urandom(4096)).whole is False
    assert found_in(bytes(4096)).whole is False, "a file whose content never came to the disk"


def test_renames_seen_by_a_watcher(a: Disk, b: Disk) -> None:
    assert b.do(Watch("a", 0.0)) == Watched(1, 1, 0, 0)
    assert a.do(Replace(0.0)) == Replaced(1)
    renaming = threading.Thread(target=a.do, args=(Replace(0.3),))
    renaming.start()
    watched = b.do(Watch("a", 0.2))
    renaming.join()
    assert isinstance(watched, Watched)
    assert watched.reads > 1
    assert watched == Watched(watched.reads, 0, 0, 0)


def test_locks_exclude_and_come_free(a: Disk, b: Disk, tmp_path: Path) -> None:
    assert a.do(Lock()) == Done()
    step = codec.encode(TryLock("a", 0.0))
    held = codec.disk_answers.decode(_elsewhere(tmp_path, step))
    assert (held.flock, held.fcntl, held.held) == (False, False, True)  # type: ignore[union-attr]
    assert a.do(Unlock()) == Done()
    free = codec.disk_answers.decode(_elsewhere(tmp_path, step))
    assert (free.flock, free.fcntl, free.held) == (True, True, False)  # type: ignore[union-attr]


def _elsewhere(shared: Path, step: bytes) -> bytes:
    """The answer of node b's process: fcntl locks do not exclude within one."""
    process = subprocess.run(
        [sys.executable, "-m", "noroshi.node.probe", str(shared), "b", RUN],
        input=len(step).to_bytes(4, "big") + step,
        capture_output=True,
        check=True,
        timeout=30,
    )
    return process.stdout[4:]


def test_a_successor_locks_and_writes_what_another_node_made(a: Disk, b: Disk, tmp_path: Path) -> None:
    assert b.do(Write(3, "a")) == Failed("disk", f"a.{RUN}.data: No such file or directory")
    a.do(Write(1))
    assert b.do(Write(3, "a")) == Done()
    assert a.do(Read("a")) == Found(len(content(3)), 3, True)
    a.do(Lock())
    refused = b.do(Lock("a"))
    assert isinstance(refused, Failed)
    a.do(Unlock())
    b.do(Unlock())
    assert b.do(Lock("a")) == Done()
    assert b.do(Stay()) == Done()


def test_half_of_a_lock_is_given_up(a: Disk, b: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stand in the way of the node's own next try."""

    def refuses(descriptor: int, kind: int) -> None:
        raise BlockingIOError

    a.do(Lock())
    a.do(Unlock())
    with monkeypatch.context() as patch:
        patch.setitem(probe._LOCKS, "fcntl", refuses)
        assert isinstance(b.do(Lock("a")), Failed)
    tried = b.do(TryLock("a"))
    assert isinstance(tried, Tried)
    assert (tried.flock, tried.fcntl) == (True, True)


def test_a_link_shows_the_file_and_replaces_nothing(a: Disk, b: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    a.do(Write(1))
    assert a.do(Link()) == Done()
    assert b.do(Read("a", "link")) == Found(len(content(1)), 1, True)
    monkeypatch.setattr(os, "link", lambda *names: None)
    assert a.do(Link()) == Failed("disk", "a link to a name that was taken did not fail")


def test_fsyncs_are_counted_and_timed(a: Disk) -> None:
    synced = a.do(Sync(0.05))
    assert isinstance(synced, Synced)
    assert synced.times >= 1
    assert 0 < synced.median <= synced.longest


def test_an_error_of_the_disk_is_an_answer_without_a_path(a: Disk, tmp_path: Path) -> None:
    answer = a.do(TryLock("b"))
    assert answer == Failed("disk", f"b.{RUN}.flock: No such file or directory")
    assert str(tmp_path) not in str(answer)


def test_a_run_leaves_nothing_and_removes_what_an_earlier_one_left(a: Disk, b: Disk, tmp_path: Path) -> None:
    probes = tmp_path / "doctor"
    for step in (Write(1), Link(), Lock(), Sync(0.0), Replace(0.0)):
        a.do(step)
        b.do(step)
    assert len(list(probes.iterdir())) == 12
    (probes / "a.b.fedcba9876543210.data").touch()  # of a node called a.b
    Disk(tmp_path, "a", RUN).do(Locate())
    assert len(list(probes.iterdir())) == 13, "the same run again"
    Disk(tmp_path, "a", "fedcba9876543210").do(Locate())
    assert {file.name.split(".")[0] for file in probes.iterdir() if file.name.count(".") == 2} == {"b"}
    b.do(Clear())
    Disk(tmp_path, "a.b", RUN).do(Clear())
    assert not probes.exists()


def test_a_lock_of_this_run_is_one_that_flock_knows(a: Disk, tmp_path: Path) -> None:
    a.do(Lock())
    with (tmp_path / "doctor" / f"a.{RUN}.flock").open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("run", ["", "../../../../etc/x", "0123456789abcdeF", RUN + "0", RUN + "\n"])
def test_no_path_comes_over_the_wire(run: str) -> None:
    with pytest.raises(BadMessage):
        codec.to_notifier.decode(codec.encode(Probe(PROTOCOL, "demo", "a", run, Clear())))


@pytest.mark.parametrize("step", [Sync(5.1), Watch("a", -1.0), Write(0), Write(1001), Read("a", "../x")])  # type: ignore[arg-type]
def test_what_is_asked_is_bounded(step: object) -> None:
    with pytest.raises(BadMessage):
        codec.to_notifier.decode(codec.encode(Probe(PROTOCOL, "demo", "a", RUN, step)))  # type: ignore[arg-type]
