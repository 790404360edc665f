"""Fixtures of the console's tests: clusters on disk, and a clock that stands still."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from cluster import Cluster
from editing import only_chain
from filling import NOW, SECOND, Run, definitions_story, fill, layout_of, make_cluster, story
from night import night
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
def told_file(file: Path) -> Path:
    def write(connection: apsw.Connection) -> None:
        night(connection)
        connection.execute("UPDATE terms SET since = ?", (NOW - 9 * 3600 * SECOND,))

    fill(layout_of(file), write)
    return file


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


@pytest.fixture(autouse=True)
def said_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said in passing stands until the next: a machine that stood still meanwhile takes no message away."""
    monkeypatch.setattr("noroshi.console.app.widgets.bars.TOLD", 600.0)


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


@pytest.fixture(scope="module")
def editing_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real one of one node."""
    with Cluster(Path(tmp_path_factory.mktemp("editing")) / "c", names=("a",)) as running:
        running.start()
        running.await_up()
        yield running


@pytest.fixture
def cluster(editing_cluster: Cluster) -> Cluster:
    """Likewise, with the definition `chain` alone."""
    editing_cluster.await_up()  # a machine that stood still for a while may have cost it its leader
    only_chain(editing_cluster)
    return editing_cluster
