"""What the reading commands print: fields to the letter, columns that align, nothing unsafe, in any terminal."""

from __future__ import annotations

import argparse
import io
import json
from io import StringIO

import pytest
from rich.cells import cell_len

from noroshi.console import output
from noroshi.console.output import Cell, Printer, plain, state_cell
from noroshi.store.views import Attempt, Event, LogLine, Notification, State

T0 = 1_763_780_645_000_006
ISO = "2025-11-22T03:04:05.000006Z"


def printer(encoding: str = "utf-8", terminal: bool = False) -> tuple[Printer, io.BytesIO]:
    raw = io.BytesIO()

    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return terminal

    return Printer(Stream(raw, encoding=encoding, write_through=True)), raw


# --- JSON ---------------------------------------------------------------------------------------------------------


def test_the_fields_are_those_of_the_design() -> None:
    assert output.state_json(State("system", "server/db1", "UP", "", "db2", 3, T0, T0, T0)) == {
        "category": "system",
        "event": "server/db1",
        "state": "UP",
        "supplement": "",
        "node": "db2",
        "count": 3,
        "observed_at": ISO,
    }
    assert output.event_json(Event(7, "user", "app", "ERROR", "why", "db1", 2, T0, T0)) == {
        "event": "app",
        "state": "ERROR",
        "supplement": "why",
        "category": "user",
        "node": "db1",
        "count": 2,
        "observed_at": ISO,
        "stored_at": ISO,
    }
    assert output.log_json(LogLine(9, "db1", "/var/log/a", T0, T0, "text", 4)) == {
        "node": "db1",
        "source": "/var/log/a",
        "line": "text",
        "observed_at": ISO,
        "stored_at": ISO,
        "logged_at": None,
    }


def notification(**changes: object) -> Notification:
    attempt = Attempt(1, "db3", "process", '["/bin/page", "--team", "a b"]', T0, None, None, "", "")
    fields: dict[str, object] = dict.fromkeys(Notification.__dataclass_fields__)
    fields |= {
        "id": 7,
        "notice": "change",
        "definition": "d",
        "version": 1,
        "status": "pending",
        "reason": "",
        "attempts": (attempt,),
    }
    return Notification(**(fields | changes))  # type: ignore[arg-type]


def test_a_late_answer_is_told_with_the_reason() -> None:
    attempt = Attempt(1, "db3", "process", "null", T0, T0, "timeout", "no answer in 10 s", "", "delivered")
    assert output.reason_of(attempt) == "no answer in 10 s; later: delivered"


def test_a_notification_of_an_event_and_of_a_line() -> None:
    of_event = output.notification_json(
        notification(event="app", state="ERROR", supplement="s", category="user", node="db1", observed_at=T0)
    )
    assert of_event == {
        "id": 7,
        "definition": "d",
        "notice": "change",
        "status": "pending",
        "reason": "",
        "event": "app",
        "state": "ERROR",
        "supplement": "s",
        "category": "user",
        "node": "db1",
        "observed_at": ISO,
        "stored_at": None,
        "attempts": [
            {
                "priority": 1,
                "node": "db3",
                "procedure": "process",
                "application": ["/bin/page", "--team", "a b"],
                "started_at": ISO,
                "ended_at": None,
                "outcome": None,
                "reason": "",
                "output": "",
            }
        ],
    }
    of_line = output.notification_json(notification(source="/var/log/a", line="Out of memory"))
    assert (of_line["source"], of_line["line"], "event" in of_line) == ("/var/log/a", "Out of memory", False)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ('["/bin/page","--team","a b"]', "/bin/page --team 'a b'"),
        ('"tcp://127.0.0.1:9000"', "tcp://127.0.0.1:9000"),
        ('{"key":1313821519}', "queue 0x4e4f534f"),
        ('{"key":7,"type":2}', "queue 0x00000007 type 2"),
        ('{"other":7}', '{"other": 7}'),
        ("null", ""),
        ("tcp://not-json", "tcp://not-json"),
    ],
)
def test_an_application_in_words(stored: str, words: str) -> None:
    assert output.application_text(Attempt(1, "n", "process", stored, T0, None, None, "", "")) == words


def test_json_lines_keep_the_value_and_order_no_terminal() -> None:
    line = {"line": "\x1b[2J \x9b \u2028 \u202e 日本 \ud800 \x7f\n"}
    out, raw = printer()
    out.json([line, {}])
    first, second, rest = raw.getvalue().decode().split("\n")
    assert (json.loads(first), json.loads(second), rest) == (line, {}, "")
    assert "日本" in first
    assert not set("\x1b\x9b\u2028\u202e\x7f") & set(first)


def test_json_for_a_terminal_that_knows_ascii_alone() -> None:
    out, raw = printer("ascii")
    out.json([{"line": "日本"}])
    assert json.loads(raw.getvalue()) == {"line": "日本"}


@pytest.mark.parametrize("instant", [-(2**62), 0, 2**62])
def test_a_clock_gone_mad_is_shown_as_far_as_a_calendar_goes(instant: int) -> None:
    assert str(output.iso(instant)).endswith("Z")


# --- text ---------------------------------------------------------------------------------------------------------


def test_columns_align_by_what_a_terminal_shows() -> None:
    out, raw = printer()
    out.rows([[plain("日本"), plain("x"), plain("last")], [plain("abc"), plain("yy\x1b"), plain("")]])
    first, second, _ = raw.getvalue().decode().split("\n")
    assert (first, second) == ("日本  x    last", "abc   yy␛")
    assert cell_len(first[: first.index("x")]) == cell_len(second[: second.index("yy")])


def test_columns_of_a_followed_log_never_shrink() -> None:
    out, raw = printer()
    out.rows([[plain("a-long-name"), plain("1")]])
    out.rows([[plain("b"), plain("2")]])
    assert raw.getvalue().decode() == "a-long-name  1\nb            2\n"


def test_colour_on_a_terminal_alone_and_never_against_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def shown(terminal: bool) -> str:
        out, raw = printer(terminal=terminal)
        out.rows([[state_cell("DOWN"), Cell("x")]])
        return raw.getvalue().decode()

    assert shown(True) == "\x1b[1;7;35m✖ DOWN\x1b[0m  x\n"
    assert shown(False) == "✖ DOWN  x\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(True) == "✖ DOWN  x\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert shown(True) == "✖ DOWN  x\n"


def test_a_shape_the_encoding_lacks_is_a_plain_one_and_what_came_from_outside_is_escaped() -> None:
    out, raw = printer("ascii")
    out.rows([[state_cell("DOWN"), plain("日")]])
    assert raw.getvalue() == b"X DOWN  \\u65e5\n"


# --- arguments ----------------------------------------------------------------------------------------------------


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command = parser.add_subparsers().add_parser("log")
    output.add_output_arguments(command)
    output.add_selection_arguments(command)
    return parser.parse_args(["log", *words])


def test_a_relative_time_is_no_option() -> None:
    assert parse("--since", "-2h", "--until", "-1h30m").since == "-2h"
    assert parse("--since=-2h").since == "-2h"
    assert parse().limit == 1000
    assert parse("--limit", "5", "--json").limit == 5


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5"])
def test_a_limit_is_a_number_from_1_up(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("--limit", limit)
    assert ended.value.code == 2
    assert "number from 1 to" in capsys.readouterr().err


def test_a_time_nobody_can_read_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        output.when("yesterday", "--since", output.Clockface())
    assert ended.value.code == 2
    assert "--since" in capsys.readouterr().err


def test_one_long_cell_moves_no_other_row() -> None:
    stream = StringIO()
    Printer(stream).rows([[plain("a"), plain("x")], [plain("n" * 200), plain("y")], [plain("bb"), plain("z")]])
    assert stream.getvalue().splitlines() == ["a   x", "n" * 200 + "  y", "bb  z"]
