"""A leader killed at every single effect it has on the disk: nothing acknowledged is lost, and reading goes on.

Real processes, real SIGKILL, before each write, fsync, truncation, rename, link and removal in turn, SQLite's page
writes into the database file and its log included.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dying import every_death
from stores import Say, Seen, balances, checked, lead, memory, move, open_accounts, running

from noroshi.store.errors import NoDatabase
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held
from noroshi.store.reader import SharedReader
from noroshi.store.writer_checkpoint import Checkpoint


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Layout]:
    with TemporaryDirectory(dir=memory(tmp_path)) as directory:
        shared = Path(directory) / "shared"
        shared.mkdir()
        yield Layout(shared)


def emptied(layout: Layout) -> Callable[[], None]:
    """Back to a shared directory that nobody has led in."""

    def prepare() -> None:
        shutil.rmtree(layout.shared)
        layout.shared.mkdir()

    return prepare


def restored(layout: Layout) -> Callable[[], None]:
    """Back to the disk as it is now."""
    kept = layout.shared.with_name("kept")
    shutil.copytree(layout.shared, kept)

    def prepare() -> None:
        shutil.rmtree(layout.shared)
        shutil.copytree(kept, layout.shared)

    return prepare


def in_another_process(function: Callable[[Say], None]) -> list[str]:
    """What the function said; its failure is the test's."""
    with running(function) as child:
        said = child.rest()
        assert child.wait() == 0, said
        return said


def takes_over(layout: Layout) -> Seen:
    """The next leader finds the sound whole, checkpoints at once (the dead one is known dead), and commits."""

    def successor(say: Say) -> None:
        with lead(layout, "next") as leader:
            say(leader.unsettled)
            before = leader.read(checked)
            assert leader.checkpoint_if_due(idle=True)
            assert leader.read(checked) == before
            with leader.transaction() as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS later (v)")
            say(f"{before.serial} {' '.join(map(str, before.balances))}")

    unsettled, found = in_another_process(successor)
    assert unsettled == "()"
    serial, *amounts = map(int, found.split())
    return Seen(tuple(amounts), serial)


def test_the_first_leader_of_all(disk: Layout) -> None:
    """Killed while it makes the database: readers see none or a whole one, and the next leader makes it."""

    def history(say: Say) -> None:
        lead(disk).close()
        say("made")

    deaths = 0
    for fatal, _ in every_death(history, emptied(disk)):
        deaths += 1
        try:
            SharedReader(disk).query(lambda connection: connection.pragma("integrity_check"))
        except NoDatabase:
            assert not disk.database.exists(), f"an unfinished database was seen after effect {fatal}"
        in_another_process(lambda say: lead(disk, "next").close())
        assert not list(disk.shared.glob("*.take-*")), f"left behind after effect {fatal}"
    assert deaths > 30


def test_commits_and_a_checkpoint(disk: Layout) -> None:
    in_another_process(lambda say: founder(disk))

    def history(say: Say) -> None:
        with lead(disk) as leader:
            say(move(leader, "a", "b"))
            say(move(leader, "b", "c"))
            assert leader.checkpoint_if_due(idle=True)
            say(move(leader, "c", "a"))

    assert dies_everywhere(disk, history) > 40


def founder(disk: Layout) -> None:
    with lead(disk, "first") as leader:
        open_accounts(leader)
        leader.checkpoint_if_due(idle=True)


def dies_everywhere(disk: Layout, history: Callable[[Say], None]) -> int:
    deaths = 0
    for fatal, said in every_death(history, restored(disk)):
        deaths += 1
        acknowledged = int(said[-1]) if said else 0
        seen = SharedReader(disk).query(balances)
        assert seen.whole, f"mixed after effect {fatal}"
        assert seen.serial >= acknowledged, f"lost after effect {fatal}"
        assert not is_held(disk)
        assert takes_over(disk).serial >= max(acknowledged, seen.serial), f"lost in the take-over after {fatal}"
        assert SharedReader(disk).query(checked).serial >= acknowledged
    return deaths


@pytest.mark.parametrize("step", ["copy_frames", "truncate", "mark_normal"])
def test_a_take_over_from_a_leader_that_died_in_a_checkpoint(disk: Layout, step: str) -> None:
    """The successor is killed everywhere too, from the lock to its own first checkpoint."""
    in_another_process(lambda say: founder(disk))
    with running(lambda say: dies_in_its_checkpoint(disk, step)) as child:
        child.rest()
        child.wait()
    assert SharedReader(disk).query(balances) == Seen((-1, 1, 0), 1)

    def history(say: Say) -> None:
        with lead(disk, "second") as leader:
            say(leader.read(balances).serial)
            say(move(leader, "b", "c"))
            assert leader.checkpoint_if_due(idle=True)

    assert dies_everywhere(disk, history) > 30


def dies_in_its_checkpoint(disk: Layout, step: str) -> None:
    setattr(Checkpoint, step, lambda checkpoint: os.kill(os.getpid(), signal.SIGKILL))
    leader = lead(disk, "first")
    move(leader, "a", "b")
    leader.checkpoint_if_due(idle=True)
