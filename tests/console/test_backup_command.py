"""`noroshi backup`: a whole, consistent copy, while a leader writes and with nobody leading."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path

import pytest
from cluster import Cluster
from waiting import wait_until

from noroshi.console.main import main


def numbers(file: Path) -> list[int]:
    """What is in a backup, read by a plain SQLite."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT event FROM events WHERE event GLOB 'app/*' ORDER BY id").fetchall()
    return [int(name.split("/")[1]) for (name,) in rows]


def test_backups_under_load_and_without_a_coordinator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Cluster(tmp_path / "c", ("a", "b")) as running:
        running.start()
        running.await_up()
        config, told = str(running.nodes["b"].config), threading.Event()

        def load() -> None:
            for number in range(100_000):
                running.raise_on("a", f"app/{number}", "ERROR", "x" * 500)
                if told.is_set():
                    return

        loading = threading.Thread(target=load)
        loading.start()
        try:
            seen = 0
            for turn in range(3):
                wait_until("more", lambda seen=seen: len(running.events("app/*")) > seen + 20, 20)
                file = tmp_path / f"{turn}.db"
                assert main(["backup", str(file), "--json", "--config", config]) == 0
                told_of = json.loads(capsys.readouterr().out)
                assert (told_of["file"], told_of["size"]) == (str(file), file.stat().st_size)
                found = numbers(file)
                assert found == list(range(len(found)))
                assert len(found) > seen
                seen = len(found)
        finally:
            told.set()
            loading.join()
        for name in running.names:
            running.kill(name)
        assert main(["backup", "--config", config]) == 0
        assert "up to term 1" in capsys.readouterr().out
        assert len(numbers(running.layout.backup)) >= seen
        names = [path.name for path in running.layout.backup.parent.iterdir()]
        assert "noroshi.db" in names
        assert [name for name in names if not name.startswith("noroshi")] == [], "nothing half made is left"


def test_a_backup_that_cannot_be_made_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = Cluster(tmp_path / "c", ("a",))
    config = str(running.nodes["a"].config)
    assert main(["backup", str(tmp_path / "x.db"), "--config", config]) == 1
    assert "no database yet" in capsys.readouterr().err
    assert not (tmp_path / "x.db").exists()
