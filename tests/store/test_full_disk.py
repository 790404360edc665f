"""A shared disk that is really full, and has space again: a small tmpfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from stores import checked, forget, lead, look_at, move, one_process, open_accounts

from noroshi.store.errors import DiskFull
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held
from noroshi.store.writer import Writer

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system"),
]
SIZE = 4 * 1024 * 1024


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A shared directory of 4 MiB."""
    one_process(monkeypatch)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "noroshi-test", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    try:
        yield Layout(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def fill(layout: Layout, leave: int = 0) -> Path:
    """Take all space but `leave` bytes."""
    ballast = layout.shared / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, ballast.stat().st_size - leave))
    return ballast


def founded(layout: Layout) -> Writer:
    leader = lead(layout)
    open_accounts(leader)
    assert leader.checkpoint_if_due(idle=True)
    return leader


def test_commits_fail_until_there_is_space_again(small: Layout) -> None:
    with founded(small) as leader:
        acknowledged = move(leader, "a", "b")
        ballast = fill(small, leave=40_000)
        with pytest.raises(DiskFull, match="free space"):
            for _ in range(100):
                acknowledged = move(leader, "b", "c")
        for _ in range(3):
            with pytest.raises(DiskFull):
                move(leader, "b", "c")
            assert look_at(small).serial == acknowledged
        ballast.unlink()
        assert move(leader, "b", "c") == acknowledged + 1
        assert look_at(small).serial == acknowledged + 1
        assert leader.checkpoint_if_due(idle=True)
        assert leader.read(checked).serial == acknowledged + 1


def test_a_big_transaction_does_not_fit(small: Layout) -> None:
    """It spills into the log before it fails; what it left there is neither seen nor in the way."""
    with founded(small) as leader:
        ballast = fill(small, leave=500_000)
        with pytest.raises(DiskFull), leader.transaction() as connection:
            connection.pragma("cache_size", 10)
            connection.execute("CREATE TABLE big (v)")
            for _ in range(100):
                connection.execute("INSERT INTO big VALUES (randomblob(50000))")
        assert move(leader, "a", "b") == 1
        assert look_at(small).serial == 1
        ballast.unlink()
        assert leader.checkpoint_if_due(idle=True)
        assert leader.read(checked).serial == 1


def test_a_checkpoint_finds_no_space_for_the_database_to_grow(small: Layout) -> None:
    with founded(small) as leader:
        with leader.transaction() as connection:
            connection.execute("CREATE TABLE big AS SELECT randomblob(600000) AS v")
        acknowledged = move(leader, "a", "b")
        ballast = fill(small, leave=100_000)
        for _ in range(2):
            with pytest.raises(DiskFull):
                leader.checkpoint_if_due(idle=True)
            assert look_at(small).serial == acknowledged
            with suppress(DiskFull):  # the copy has taken what was left
                acknowledged = move(leader, "b", "c")
            assert look_at(small).serial == acknowledged
        ballast.unlink()
        assert leader.checkpoint_if_due(idle=True)
        assert leader.wal_size == 0
        assert look_at(small).serial == acknowledged
        assert leader.read(checked).serial == acknowledged


def test_nobody_can_take_over_on_a_full_disk_and_everybody_can_read(small: Layout) -> None:
    leader = founded(small)
    acknowledged = move(leader, "a", "b")
    ballast = fill(small)
    forget(leader)
    with pytest.raises(DiskFull, match="No space left on device"):
        lead(small, "new")
    assert not is_held(small)
    assert not list(small.shared.glob("*.take-*"))
    assert look_at(small).serial == acknowledged
    ballast.unlink()
    with lead(small, "new") as successor:
        assert successor.read(checked).serial == acknowledged


def test_the_first_database_does_not_fit(small: Layout) -> None:
    ballast = fill(small, leave=30_000)
    with pytest.raises(DiskFull):
        lead(small)
    assert not small.database.exists()
    assert not list(small.shared.glob("*.take-*"))
    ballast.unlink()
    with lead(small) as leader:
        open_accounts(leader)
