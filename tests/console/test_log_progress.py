"""A search through the log that takes long: it says how far it has come, and can be stopped."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from filling import fill, layout_of, make_cluster, many_lines

from noroshi.console.commands import log
from noroshi.console.main import main
from noroshi.console.queries import open_queries
from noroshi.store.views import LogFilter, LogLine, Window
from noroshi.store.views.search import SPAN

ROWS = 2 * SPAN + 5_000
START = 1_700_000_000_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Enough(Exception):
    """What a caller stops a search with."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = make_cluster(tmp_path_factory.mktemp("log") / "cluster")
    fill(layout_of(file), lambda connection: many_lines(connection, ROWS, START))
    return file


def search(file: Path, window: Window, reached: Callable[[int], None]) -> list[LogLine]:
    return open_queries(file).newest_log(LogFilter(), window, 10, lambda line: False, reached)


@pytest.mark.parametrize("window", [Window(), Window(since=START)], ids=["by arrival", "by time"])
def test_each_step_says_how_far_it_has_come_and_may_be_the_last(full: Path, window: Window) -> None:
    places: list[int] = []
    assert search(full, window, places.append) == []
    assert places == sorted(set(places), reverse=True)
    assert len(places) >= ROWS // SPAN and ROWS - SPAN <= places[0] < ROWS

    def stop(number: int) -> None:
        raise Enough(number)

    with pytest.raises(Enough, match=f"^{places[0]}$"):
        search(full, window, stop)


@pytest.mark.parametrize("stderr", [Terminal(), io.StringIO()], ids=["terminal", "no terminal"])
def test_only_a_terminal_is_told(full: Path, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PROGRESS", 0.0)
    monkeypatch.setattr("sys.stderr", stderr)
    assert main(["log", "--config", str(full), "--grep", "nowhere", "--since", "2023-01-01T00:00:00Z"]) == 0
    written = stderr.getvalue()
    if stderr.isatty():
        assert "searched back to line " in written and written.endswith("\r\x1b[K")
    else:
        assert written == ""
