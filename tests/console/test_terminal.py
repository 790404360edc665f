"""The console on a real terminal: what it writes there, and how it ends."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Thread

import apsw
import pytest
from conftest import Tmux
from filling import HOSTILE, event, fill, layout_of, lines
from terminals import COMMAND, terminal
from waiting import wait_until

from noroshi.console.app.terminal import Output

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|38|48)(?:;\d+)*m")

POINTER = re.compile(rb"\x1b\]22;[a-z-]*\x07")
"""Textual's own: the shape of the mouse pointer."""


def hostile(connection: apsw.Connection) -> None:
    for at, text in enumerate(HOSTILE):
        event(connection, f"user{at}", "ERROR", text)
    lines(connection, HOSTILE)


def test_no_order_from_outside_reaches_the_terminal(file: Path) -> None:
    fill(layout_of(file), hostile)
    with terminal(file) as screen:
        screen.until("user8")
        screen.press("2")
        screen.until("FOLLOWING")
        screen.press("g")
        screen.until("markup")
        screen.press("\r")
        screen.until("observed")
        written = POINTER.sub(b"", screen.written)
        assert b"owned" in written
        for order in (b"\x1b]0;", b"\x1b[31mred", b"\x07", b"\xc2\x9b", b"\xe2\x80\xae", b"\x00"):
            assert order not in written, order
        assert b"\x1b[2J" not in written.partition(b"user8")[2]


EVERY_SCREEN = (("2", "FOLLOWING"), ("3", "TOLD"), ("4", "out-of-memory"), ("e", "NO PROBLEM"), ("\x1b", "type on"))
"""The keys that lead through the screens and into the editor, and what stands there then."""


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_sixteen_colours_alone_and_no_color_none(defined: Path, environment: dict[str, str]) -> None:
    with terminal(defined, environment=environment) as screen:
        screen.until("COUNT")
        screen.until("✖ DOWN")
        for key, text in EVERY_SCREEN:
            screen.press(key)
            screen.until(text)
        screen.press("?")
        screen.until("HELP")
        assert bool(COLOUR.search(screen.written)) is not bool(environment)
        assert b"38;2;" not in screen.written and b"48;2;" not in screen.written
        assert b"38;5;" not in screen.written and b"48;5;" not in screen.written


@pytest.mark.parametrize(("words", "wanted"), [((), True), (("--no-mouse",), False)])
def test_the_mouse_is_taken_unless_told_otherwise(filled: Path, words: tuple[str, ...], wanted: bool) -> None:
    with terminal(filled, *words) as screen:
        screen.until("COUNT")
        assert (b"\x1b[?1000h" in screen.written) is wanted


def test_quitting_gives_the_terminal_back(filled: Path) -> None:
    with terminal(filled) as screen:
        screen.until("COUNT")
        screen.press("q")
        wait_until("the process ends", lambda: (screen.read() and False) or screen.process.poll() is not None)
        assert screen.process.returncode == 0
        assert b"\x1b[?1049l" in screen.written


def test_a_dropped_connection_ends_it(filled: Path) -> None:
    with terminal(filled) as screen:
        screen.until("COUNT")
        os.close(screen.descriptor)
        screen.descriptor = -1
        wait_until("the process ends", lambda: screen.process.poll() is not None)


def test_an_idle_console_writes_nothing(filled: Path) -> None:
    with terminal(filled) as screen:
        screen.until("COUNT")
        wait_until("all is painted", lambda: len(screen.read(1.0)) < 200)
        assert len(screen.read(2.0)) < 200, "at most an age that changed"


# --- tmux ---------------------------------------------------------------------------------------------------------


def test_in_tmux_it_is_legible_and_copies_through_tmux(filled: Path, tmux: Tmux) -> None:
    tmux("new-session", "-d", "-x", "80", "-y", "24", *COMMAND, "--config", str(filled))
    for pattern in ("MAINTENANCE", "✖ DOWN +db2", "COORDINATOR GONE"):
        wait_until(pattern, lambda pattern=pattern: re.search(pattern, tmux("capture-pane", "-p")), 40)  # type: ignore[misc]
    tmux("send-keys", "2")
    wait_until("the log", lambda: "giving up on db2" in tmux("capture-pane", "-p"))
    tmux("send-keys", "y")
    wait_until("it says so", lambda: "characters sent to tmux" in tmux("capture-pane", "-p"))
    copied = "/var/log/app.log giving up on db2: timeout"
    wait_until("it is there", lambda: tmux("show-buffer").endswith(copied))


def test_in_tmux_who_was_told_is_legible_narrow_and_wide(filled: Path, tmux: Tmux) -> None:
    tmux("new-session", "-d", "-x", "80", "-y", "24", *COMMAND, "--config", str(filled))
    wait_until("the table", lambda: "maintenance".upper() in tmux("capture-pane", "-p"), 40)
    tmux("send-keys", "3")
    wait_until("the chain", lambda: "✖ops1 ●db3 3.0 s" in tmux("capture-pane", "-p"))
    wait_until("its row", lambda: "● delivered raid/db1/md0 DEGRADED" in tmux("capture-pane", "-p"))
    tmux("resize-window", "-x", "160", "-y", "45")
    wait_until("more columns", lambda: "disk-trouble v3" in tmux("capture-pane", "-p"))
    tmux("send-keys", "Enter")
    wait_until("the detail", lambda: "1. ops1         ✖ failed: exit status 1" in tmux("capture-pane", "-p"))


@pytest.mark.parametrize("kind", ["vt100", "linux"])
def test_a_terminal_of_few_signs_gets_signs_it_has(defined: Path, kind: str) -> None:
    with terminal(defined, environment={"TERM": kind}) as screen:
        screen.until("COUNT")
        screen.until("X DOWN")
        for key, text in (*EVERY_SCREEN[:3], (":", "who led, and since when")):
            screen.press(key)
            screen.until(text)
        assert screen.written.isascii()


def test_a_terminal_that_takes_ascii_alone_keeps_its_columns(filled: Path) -> None:
    """An escape in place of a sign would be longer than its cell, and move all that follows."""
    fill(layout_of(filled), lambda connection: event(connection, "app/狼煙", "ERROR", "日本語"))
    with terminal(filled, environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}) as screen:
        screen.until("COUNT")
        screen.until("X DOWN")
        screen.until("app/????")
        assert screen.written.isascii()
        assert b"\\u" not in screen.written


def test_what_a_terminal_has_not_taken_is_known() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as taken, os.fdopen(writing, "w", encoding="utf-8") as stream:
        output = Output(stream, few_signs=False)
        drawing = Thread(target=lambda: [output.write("x" * 1000) for _ in range(200)])
        drawing.start()
        taken.read(50_000)
        wait_until("as much as was read was taken", lambda: output.taken >= 50_000)
        assert output.taken < 200_000, "a pipe holds 64 KiB"
        taken.read(150_000)
        drawing.join(10)
        assert output.taken == 200_000
