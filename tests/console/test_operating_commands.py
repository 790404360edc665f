"""What operators type, as far as the database alone answers it: previews, lists, rehearsals, what was answered."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import apsw
import pytest
from filling import FAILED, SECOND, Run, Try, event, fill, layout_of, lines, told

from noroshi.console.commands import asking
from noroshi.store.clock import now_us
from noroshi.store.model import Definition, Destination
from noroshi.store.tables import definitions, silences, troubles
from noroshi.store.tables.notifications import NotificationRow

ANSWER = "taken\x1b[2J by desk 4\n  soon\n"

T0 = 1_763_780_645_000_000
"""2025-11-22 03:04:05 UTC."""


@pytest.fixture
def there(file: Path) -> Path:
    """Two events, a log source, one notification with an answer, acknowledgements and silences of now and before."""

    def operated(connection: apsw.Connection) -> None:
        number = event(connection, "app/orders", "ERROR", node="db1", at=T0)
        event(connection, "raid/db2/md0", "DEGRADED", node="db2", at=T0)
        lines(connection, ["one"], "db2", "/var/log/app.log", T0)
        answer = Try("db3", "delivered", "answered", ANSWER, "message", '{"key":1313821263}')
        told(connection, NotificationRow(0, "orders", 1, number, None, None, "delivered"), [FAILED, answer], T0)
        troubles.acknowledge(connection, "app/orders", "ERROR", "ann", "mine", T0, T0 + 60 * SECOND)
        troubles.end_acknowledgement(connection, 1, T0 + 60 * SECOND, "its time is over")
        troubles.acknowledge(connection, "app/orders", "ERROR", "bob", "now me", T0 + 90 * SECOND, None)
        silences.add(connection, "raid/**", "", "ann", "disks", T0, T0 + 3600 * SECOND)
        silences.end(connection, 1, T0 + 60 * SECOND, "bob")
        silences.add(connection, "", "db2", "ann", "memory", T0, now_us() + 3600 * SECOND)

    fill(layout_of(file), operated)
    return file


def test_acknowledgements_are_listed_with_who_and_how_they_ended(there: Path, run: Run) -> None:
    _, out, _ = run(there, "ack", "--list")
    assert out == "2025-11-22 03:05:35Z  app/orders  ERROR  bob  while that lasts    now me\n"
    _, out, _ = run(there, "ack", "--list", "--all")
    assert "ann  until 2025-11-22 03:05:05Z  ended 2025-11-22 03:05:05Z: its time is over  mine" in out
    _, out, _ = run(there, "ack", "--list", "--all", "--json")
    first, second = map(json.loads, out.splitlines())
    assert (first["by"], first["reason"], second["until"], second["ended_at"]) == (
        "ann",
        "its time is over",
        None,
        None,
    )


def test_the_status_says_who_looks_after_it_and_what_they_say(there: Path, run: Run) -> None:
    _, out, _ = run(there, "status")
    assert "acknowledged by bob (now me)" in out


def test_silences_are_listed_with_what_they_cover_and_who_ended_them(there: Path, run: Run) -> None:
    _, out, _ = run(there, "silence", "list")
    assert out.startswith("2  maintenance of db2  until ") and out.endswith("  ann  covers 1 state  memory\n")
    _, out, _ = run(there, "silence", "list", "--all")
    assert "ann  ended 2025-11-22T03:05:05.000000Z by bob  disks\n" in out
    _, out, _ = run(there, "silence", "list", "--all", "--json")
    assert [(each["id"], each.get("ended_by")) for each in map(json.loads, out.splitlines())] == [(1, "bob"), (2, None)]


def test_a_silence_to_come_is_listed_and_covers_nothing_yet(file: Path, run: Run) -> None:
    def planned(connection: apsw.Connection) -> None:
        event(connection, "app/orders", "OK")
        silences.add(connection, "app/**", "", "ann", "", now_us() + 3600 * SECOND, now_us() + 7200 * SECOND)
        one = Definition(name="one", kind="event", event="app/**")
        definitions.add_version(connection, "one", one, "ann", T0, "")

    fill(layout_of(file), planned)
    _, out, _ = run(file, "silence", "list")
    assert "  ann  begins 20" in out and out.endswith("Z, covers 1 state\n")
    _, out, _ = run(file, "definitions", "explain", "app/orders", "ERROR")
    assert out.startswith("nobody leads now: ") and "\none v1: told, " in out


def test_a_preview_shows_states_and_log_sources(there: Path, run: Run) -> None:
    preview = ("silence", "add", "--for", "1h", "--dry-run")
    _, out, _ = run(there, *preview, "raid/**")
    assert out == "covers 1 of the present states:\n  raid/db2/md0  DEGRADED  from db2\n"
    _, out, _ = run(there, *preview, "/var/log/*")
    assert out == "covers 0 of the present states, and the lines of 1 source:\n  db2:/var/log/app.log\n"
    _, out, _ = run(there, *preview, "nothing/*")
    assert out == "covers 0 of the present states\n"
    _, out, _ = run(there, "maintenance", "db2", "--for", "1h", "--dry-run")
    assert out.splitlines()[1:] == ["  raid/db2/md0  DEGRADED  from db2", "  db2:/var/log/app.log"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["ack"], 2, "name an EVENT or a NOTIFICATION, or --list"),
        (["ack", "app/orders", "--for", "99999d"], 2, "99999d is too long: at most 3650d"),
        (["silence", "add", "", "--for", "1h"], 2, "a pattern of event names is wanted"),
        (["maintenance", "db9", "--for", "1h"], 1, "no node db9 in the cluster (there are db1, db2, db3)"),
        (["maintenance", "db9", "--end"], 1, "no node db9 in the cluster"),
        (["ack", "app/orders"], 1, "nobody holds the coordinator's role"),
    ],
)
def test_what_is_wrong_is_said_with_the_next_step(
    there: Path, run: Run, words: list[str], status: int, says: str
) -> None:
    ended, out, err = run(there, *words)
    assert (ended, out) == (status, "")
    assert says in err


def test_the_history_shows_what_was_answered(there: Path, run: Run) -> None:
    _, out, _ = run(there, "history")
    *_, attempt, first, second = out.splitlines()
    assert attempt.startswith("  2  db3   message  delivered  0.20 s  queue 0x4e4f524f")
    assert "\x1b" not in first and first.strip().startswith("taken") and first.endswith("by desk 4")
    assert second.strip() == "soon"
    _, out, _ = run(there, "history", "--json")
    assert [each["output"] for each in json.loads(out)["attempts"]] == ["", ANSWER]


def test_explain_shows_programs_as_they_are_typed(file: Path, run: Run) -> None:
    one = Definition(
        name="one",
        kind="event",
        event="app/**",
        notify=(Destination(1, "db1", "process", ["/bin/page", "a b"]), Destination(2, "db2", "message", {"key": 255})),
    )
    fill(layout_of(file), lambda connection: definitions.add_version(connection, "one", one, "ann", T0, "by hand"))
    _, out, _ = run(file, "definitions", "explain", "app/x", "ERROR")
    assert "    tried  db1  process  /bin/page 'a b'\n" in out
    assert "    tried  db2  message  queue 0x000000ff\n" in out


def test_an_edited_export_meets_what_others_changed_since(file: Path, tmp_path: Path, run: Run) -> None:
    def version(event: str, author: str) -> None:
        one = Definition(name="one", kind="event", event=event)
        fill(layout_of(file), lambda connection: definitions.add_version(connection, "one", one, author, T0, ""))

    version("a", "ann")
    _, exported, _ = run(file, "definitions", "export", "--versions")
    assert exported.splitlines()[0] == "# versions: one=1"
    edited = tmp_path / "edited.yaml"
    edited.write_text(exported.replace("event: a", "event: mine"))
    dry = ("definitions", "import", str(edited), "--dry-run")
    assert run(file, *dry) == (0, "~ one event: a -> mine\n", "")
    version("theirs", "bob")
    status, out, err = run(file, *dry)
    assert (status, out) == (1, "")
    assert "one: version 1 was seen, version 2 of bob" in err and "export anew" in err
    assert "theirs: ~ one event: a -> theirs" in err and "yours, on top of it: ~ one event: theirs -> mine" in err
    edited.write_text(exported.replace("event: a", "event: theirs"))
    assert run(file, *dry) == (0, "no change\n", "")
    edited.write_text("events: [{name: one, match: {event: mine}}]\n")
    assert run(file, *dry) == (0, "~ one event: theirs -> mine\n", "")


def test_the_author_behind_sudo_is_who_typed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert asking.author() == "root"
    monkeypatch.setenv("SUDO_USER", "ann")
    assert asking.author() == "ann"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert asking.author() == "root"


def test_a_duration_is_at_most_what_the_coordinator_takes() -> None:
    assert asking.duration("3650d") == 3650 * 86400
    with pytest.raises(argparse.ArgumentTypeError, match="at most 3650d"):
        asking.duration("3651d")
