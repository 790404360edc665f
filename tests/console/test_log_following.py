"""The reading commands as processes: following the log whatever happens, a reader that goes away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO

import pytest
from filling import fill, layout_of, leading, lines, many_lines
from waiting import wait_until


def command(file: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "noroshi.console.main", *words, "--config", str(file)]


def test_a_reader_that_goes_away_is_no_error(file: Path) -> None:
    fill(layout_of(file), lambda connection: many_lines(connection, 20_000, 1_763_700_000_000_000))
    with subprocess.Popen(
        command(file, "log", "--limit", "20000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert "request 0 failed" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_the_reading_commands_import_neither_textual_nor_zmq() -> None:
    """They start fast, and work where the console's terminal library is broken."""
    script = (
        "import sys; from noroshi.console.commands import events, history, log, status;"
        "print([m for m in sys.modules if m.split('.')[0] in ('textual', 'zmq')])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


class Following:
    """`noroshi log --follow` as a process, its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: Queue[str] = Queue()
        self.err: Queue[str] = Queue()
        for stream, queue in ((process.stdout, self.out), (process.stderr, self.err)):
            Thread(target=self._read, args=(stream, queue), daemon=True).start()

    @staticmethod
    def _read(stream: IO[str], queue: Queue[str]) -> None:
        for line in stream:
            queue.put(line.rstrip("\n"))

    def lines(self, count: int) -> list[str]:
        return [self.out.get(timeout=10) for _ in range(count)]


@contextmanager
def following(file: Path, *words: str) -> Iterator[Following]:
    process = subprocess.Popen(
        command(file, "log", "--follow", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Following(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def test_following_shows_what_comes_over_a_change_of_coordinator(filled: Path) -> None:
    layout = layout_of(filled)
    with following(filled, "--json", "--node", "db*", "--limit", "2") as follow:
        assert [json.loads(line)["line"][:6] for line in follow.lines(2)] == ["connec", "giving"]
        with leading(layout) as order:
            order("line by the second term")
            order("lines 3")
            assert json.loads(follow.lines(1)[0])["line"] == "by the second term"
            assert [json.loads(line)["line"] for line in follow.lines(3)] == [f"line {n} of a burst" for n in range(3)]
        with leading(layout) as order:
            order("line by the third term")
            assert json.loads(follow.lines(1)[0])["line"] == "by the third term"
        assert follow.out.empty()
        assert follow.err.empty()


def test_following_selects_like_reading(filled: Path) -> None:
    with (
        following(filled, "--grep", "wanted", "--source", "/var/log/app.log") as follow,
        leading(layout_of(filled)) as order,
    ):
        order("line not this")
        order("line wanted one")
        assert follow.lines(1)[0].endswith("wanted one")


def test_following_says_once_that_it_cannot_read_and_goes_on(filled: Path) -> None:
    shared, away = layout_of(filled).shared, filled.parent / "away"
    with following(filled, "--limit", "1") as follow:
        follow.lines(1)
        shared.rename(away)
        assert "cannot read" in follow.err.get(timeout=10)
        away.rename(shared)
        assert "reading again" in follow.err.get(timeout=10)
        with leading(layout_of(filled)) as order:
            order("line after the trouble")
            assert follow.lines(1)[0].endswith("after the trouble")
        with pytest.raises(Empty):
            follow.err.get_nowait()


def test_following_waits_for_a_database(file: Path) -> None:
    with following(file) as follow:
        assert "no database yet" in follow.err.get(timeout=10)
        fill(layout_of(file), lambda connection: lines(connection, ["the first"]))
        assert follow.lines(1)[0].endswith("the first")


def test_an_interrupt_ends_following_quietly(filled: Path) -> None:
    with following(filled, "--limit", "1") as follow:
        follow.lines(1)
        follow.process.send_signal(2)
        status = wait_until(
            "the command ends", lambda: follow.process.poll() is not None and [follow.process.returncode]
        )
        assert status == [130]
        assert follow.err.empty()
