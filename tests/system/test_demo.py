"""The demo, as a stranger runs it: the story holds, and nothing stays behind however it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from waiting import wait_until

COMMAND = [sys.executable, "-m", "noroshi.console.main", "demo"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, as the demo's sockets need it."""
    with tempfile.TemporaryDirectory(prefix="nrd-", dir="/tmp") as short:
        yield Path(short)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def _processes_below(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            found.append(process.info["pid"])
    return found


def _nothing_left(folder: Path) -> None:
    wait_until("no process of the demo is left", lambda: not _processes_below(folder))
    assert list(folder.iterdir()) == []


def test_the_story_holds_and_nothing_is_left(folder: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "--once", "--json"], capture_output=True, text=True, timeout=200, env=_environment(folder)
    )
    story = json.loads(ended.stdout)
    assert story["ok"], story
    assert ended.returncode == 0
    assert len(story["steps"]) == 7
    assert all(step["ok"] and step["seconds"] >= 0 and step["seen"] for step in story["steps"])
    assert sum(step["seconds"] for step in story["steps"]) < 60
    _nothing_left(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--once"], stdout=subprocess.PIPE, text=True, env=_environment(folder)) as demo:
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline().startswith("ok")
            assert _processes_below(folder)
            demo.send_signal(number)
            demo.stdout.read()
            assert demo.wait(60) == 130
        finally:
            demo.kill()
    _nothing_left(folder)


def _tmux(server: str, *words: str) -> str:
    return subprocess.run(["tmux", "-L", server, *words], capture_output=True, text=True, check=True).stdout


def _screen(server: str) -> str:
    return _tmux(server, "capture-pane", "-p", "-t", "demo")


def test_in_a_terminal_the_console_opens_on_the_cluster_and_quitting_stops_it(folder: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    server = f"noroshi-{os.getpid()}"
    program = f"TMPDIR={folder} {' '.join(COMMAND)}; echo ended $?; read wait"
    _tmux(server, "-f", "/dev/null", "new-session", "-d", "-s", "demo", "-x", "80", "-y", "24", program)
    try:
        wait_until("three nodes UP on the screen", lambda: "● 3 UP" in _screen(server), 40)
        wait_until("an event of the demo's life", lambda: "app/orders" in _screen(server), 40)
        _tmux(server, "send-keys", "-t", "demo", "2")
        wait_until("the live log", lambda: "error: connection to billing" in _screen(server), 20)
        _tmux(server, "send-keys", "-t", "demo", "q")
        wait_until(lambda: f"the demo has ended: {_screen(server)}", lambda: "ended 0" in _screen(server), 60)
    finally:
        _tmux(server, "kill-server")
    _nothing_left(folder)
