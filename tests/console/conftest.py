"""Fixtures of the console's tests: clusters on disk, and a clock that stands still."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from filling import NOW, SECOND, Run, definitions_story, fill, layout_of, make_cluster, story
from terminals import plain_environment

from noroshi.console.main import main


def long_led(connection: apsw.Connection) -> None:
    """As if who filled it had led since hours."""
    connection.execute("UPDATE terms SET since = ?", (NOW - 9 * 3600 * SECOND,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The node file of a cluster that has no database yet."""
    return make_cluster(tmp_path / "cluster")


@pytest.fixture
def filled(file: Path) -> Path:
    """The node file of a cluster in trouble, told as of NOW; nobody leads."""

    fill(layout_of(file), lambda connection: story(connection, NOW), long_led)
    return file


@pytest.fixture
def defined(filled: Path) -> Path:
    """Likewise with some definitions; db2 is DOWN, db9 is not of the cluster."""
    fill(layout_of(filled), lambda connection: definitions_story(connection, NOW), long_led)
    return filled


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> int:
    """For the console it is NOW, always."""
    for module in ("app.app", "app.reading"):
        monkeypatch.setattr(f"noroshi.console.{module}.now_us", lambda: NOW)
    return NOW


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where drafts are kept: not in the home of whoever runs the tests."""
    home = tmp_path / "state-home"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


Tmux = Callable[..., str]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """A tmux server of our own: tmux("command", ...) gives what it prints."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    socket = str(tmp_path / "tmux")

    def run(*words: str) -> str:
        base = ["tmux", "-S", socket, "-f", "/dev/null"]
        environment = plain_environment()
        return subprocess.run([*base, *words], capture_output=True, text=True, check=False, env=environment).stdout

    yield run
    run("kill-server")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def runs(file: Path, *words: str) -> tuple[int, str, str]:
        try:
            status = main(["--config", str(file), *words])
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return runs
