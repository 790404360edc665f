"""A short run of the torture program: killed writers, readers, nothing wrong let through, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from first import run_first

PROGRAM = Path(__file__).parent.parent / "bench" / "torture.py"


def torture(seconds: float, *where: str) -> dict[str, int]:
    """The counts of a run in which nothing went wrong."""
    command = [sys.executable, str(PROGRAM), "--seconds", str(seconds), "--readers", "2", "--kill", "--json", *where]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result: dict[str, int] = json.loads(ran.stdout)
    assert result["wrong let through"] == result["acknowledged and lost"] == result["gave up"] == 0, result
    for name in ("reads", "commits", "checkpoints"):
        assert result[name] > 0, result
    return result


def test_killed_writers_and_readers() -> None:
    result = torture(4)
    assert result["whole checks"] > 0
    assert result["writers killed"] > 3
    assert result["median ms"] > 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_two_mounts_of_one_disk(tmp_path: Path) -> None:
    """The readers' mount is read-only."""
    disk, mounts = tmp_path / "disk", (tmp_path / "writer", tmp_path / "reader")
    for directory in (disk, *mounts):
        directory.mkdir()
    mounted: list[Path] = []
    try:
        for mount in mounts:
            done = subprocess.run(["mount", "--bind", str(disk), str(mount)], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"cannot mount here: {done.stderr.strip()}")
            mounted.append(mount)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(mounts[1])], check=True)
        torture(2, "--writer-dir", str(mounts[0]), "--reader-dir", str(mounts[1]))
    finally:
        for mount in mounted:
            subprocess.run(["umount", str(mount)], check=True)


def test_what_is_wrong_is_counted_and_fails_the_run(tmp_path: Path) -> None:
    """Readers that skip the last look at the mark: the program must say so, or its zeros say nothing."""
    blind = "from noroshi.store import reader\nreader.SharedReader._compare = lambda shared, before: None\n"
    environment = {**os.environ, **run_first(tmp_path / "blind", blind)}
    command = [sys.executable, str(PROGRAM), "--seconds", "30", "--readers", "2", "--kill", "--json", "--first"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    result = json.loads(ran.stdout)
    assert result["wrong let through"] > 0
    assert result["complaints"]
