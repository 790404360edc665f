"""The reading commands as they are typed: what they print, with what exit status, whoever leads."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread
from typing import Any

import apsw
import pytest
from filling import HOSTILE, NODES, NOW, SECOND, Run, fill, layout_of, leading, lines, many_lines, notification
from waiting import wait_until

from noroshi.console.queries import WHY_UNHEARD
from noroshi.store.claims import ClaimFile, read_claims
from noroshi.store.tables import logs, nodes


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- status -------------------------------------------------------------------------------------------------------


def test_status_as_an_object(filled: Path, run: Run) -> None:
    status, out, err = run(filled, "status", "--json")
    (found,) = json_lines(out)
    assert (status, err) == (0, "")
    assert list(found) == ["cluster", "coordinator", "nodes", "states"]
    assert (found["cluster"], found["coordinator"]) == ("demo", None)
    assert [row["node"] for row in found["nodes"]] == list(NODES)
    assert found["nodes"][1] == {"node": "db2", "state": "DOWN", "since": "2025-11-22T02:51:31.000000Z"}
    assert set(found["states"][0]) == {"category", "event", "state", "supplement", "node", "count", "observed_at"}
    with leading(layout_of(filled)):
        _, out, _ = run(filled, "status", "--json")
    (found,) = json_lines(out)
    assert (found["coordinator"]["node"], found["coordinator"]["term"]) == ("db1", 2)
    assert found["coordinator"]["since"].endswith("Z")


def test_status_for_people_says_when_nobody_leads(filled: Path, run: Run) -> None:
    status, out, _ = run(filled, "status")
    assert status == 0
    assert "coordinator NONE: nobody holds the role; last was db1, term 1" in out
    assert "nobody watches the nodes now; last written 2025-11-22 03:03:23Z" in out
    with leading(layout_of(filled)):
        _, out, _ = run(filled, "status")
    assert "coordinator db1, term 2, since 20" in out
    assert "NONE" not in out
    assert out.index("✖ DOWN  db2") < out.index("● UP    db1")


def test_what_nobody_watches_is_not_called_up(filled: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noroshi.console.commands.status.now_us", lambda: NOW + 3 * 3600 * SECOND)
    _, out, _ = run(filled, "status")
    assert "? UP 3h00 ago  db1" in out
    assert "? OK 3h00 ago" in out
    assert "●" not in out
    assert "✖ DOWN         db2" in out, "nobody has seen it end"
    _, out, _ = run(filled, "status", "--json")
    assert [row["state"] for row in json_lines(out)[0]["nodes"]] == ["UP", "DOWN", "UP"], "programs read the words"
    with leading(layout_of(filled)):
        _, out, _ = run(filled, "status")
    assert "● UP    db1" in out
    assert "ago" not in out


def test_a_leader_that_nobody_hears_watches_nobody(filled: Path, run: Run) -> None:
    """Its host hangs and holds the lock: what says so are the claims of the others, which move."""
    layout, ended = layout_of(filled), Event()
    claims = [ClaimFile(layout, node, b"12345678") for node in ("db2", "db3")]

    def claim() -> None:
        while not ended.wait(0.1):
            for one in claims:
                one.renew(1)

    with leading(layout):
        claims[0].renew(1)
        _, out, _ = run(filled, "status")
        assert "NOT HEARD" not in out, "a claim that does not move is of a node that died"
        claiming = Thread(target=claim)
        claiming.start()
        try:
            wait_until("both claim", lambda: len(read_claims(layout)) == 2)
            _, out, _ = run(filled, "status")
        finally:
            ended.set()
            claiming.join()
    assert "coordinator db1, term 2" in out
    assert f"NOT HEARD by db2, db3: {WHY_UNHEARD}" in out
    assert "? UP" in out and "●" not in out


def test_the_history_of_terms(filled: Path, run: Run) -> None:
    fill(layout_of(filled))
    _, out, _ = run(filled, "status", "--terms", "--json")
    assert [(row["term"], row["node"]) for row in json_lines(out)] == [(1, "db1"), (2, "db1")]
    _, out, _ = run(filled, "status", "--terms")
    assert out.startswith("1  db1  since 2025-11-21 18:04:05Z\n2  db1  since ")


@pytest.mark.parametrize("command", ["status", "events", "log", "history"])
def test_without_a_database_it_says_what_to_do(file: Path, run: Run, command: str) -> None:
    status, out, err = run(file, command)
    assert (status, out) == (1, "")
    assert "no database yet" in err
    assert "start a node" in err


@pytest.mark.parametrize("command", ["status", "events", "log", "history"])
def test_an_empty_database_is_no_failure(file: Path, run: Run, command: str) -> None:
    fill(layout_of(file))
    status, _, err = run(file, command)
    assert (status, err) == (0, "")


@pytest.mark.parametrize("command", ["status", "events", "log", "history"])
def test_a_wrong_node_file_fails_with_its_problems(tmp_path: Path, run: Run, command: str) -> None:
    wrong = tmp_path / "node.yaml"
    wrong.write_text("nod: db1\n")
    status, _, err = run(wrong, command)
    assert status == 1
    assert "node.yaml" in err


# --- events, history ----------------------------------------------------------------------------------------------


def test_events_oldest_first_the_newest_n_and_by_name_and_time(filled: Path, run: Run) -> None:
    _, out, _ = run(filled, "events", "--json")
    rows = json_lines(out)
    assert len(rows) == 11
    assert rows[-1] == {
        "event": "unit/db3/postfix.service",
        "state": "ERROR",
        "supplement": "failed: exit-code 75",
        "category": "system",
        "node": "db3",
        "count": 1,
        "observed_at": "2025-11-22T03:03:23.000000Z",
        "stored_at": "2025-11-22T03:03:23.001500Z",
    }
    _, out, _ = run(filled, "events", "--json", "--limit", "2", "--event", "server/*")
    assert [row["event"] for row in json_lines(out)] == ["server/db2", "server/db3"]
    _, out, _ = run(filled, "events", "--json", "--since", "2025-11-22T02:50", "--until", "2025-11-22T02:55")
    assert [row["event"] for row in json_lines(out)] == ["server/db2", "app/orders"]
    _, out, _ = run(filled, "events", "--event", "app/**")
    assert out.splitlines()[-1].split(maxsplit=2)[:2] == ["2025-11-22", "02:52:25.000Z"]


def test_history_with_every_attempt(filled: Path, run: Run) -> None:
    def more(connection: apsw.Connection) -> None:
        notification(connection, 1, "abandoned", "no group left", 1_763_780_000_000_000)
        notification(connection, 1, "pending", "", 1_763_780_100_000_000)

    fill(layout_of(filled), more)
    _, out, _ = run(filled, "history", "--json")
    rows = json_lines(out)
    assert [row["status"] for row in rows] == ["delivered", "abandoned", "pending"]
    assert rows[0]["event"] == "raid/db1/md0"
    assert [attempt["outcome"] for attempt in rows[0]["attempts"]] == ["failed", "delivered"]
    assert rows[0]["attempts"][0]["application"] == ["/usr/local/bin/page", "--team", "storage"]
    _, out, _ = run(filled, "history", "--json", "--status", "pending")
    assert len(json_lines(out)) == 1
    _, out, _ = run(filled, "history", "--status", "abandoned")
    heading, first, second = out.splitlines()
    assert "disk-trouble v3  abandoned (no group left)  server/db1 UP [db1]" in heading
    assert " ".join(first.split()) == "1 ops1 process failed 0.20 s /usr/local/bin/page --team storage exit status 1"
    assert second.split()[:4] == ["2", "db3", "socket", "timeout"]


# --- log ----------------------------------------------------------------------------------------------------------


def test_log_is_oldest_first_and_limited_to_the_newest(filled: Path, run: Run) -> None:
    _, out, _ = run(filled, "log", "--json")
    assert len(json_lines(out)) == 63
    _, out, _ = run(filled, "log", "--json", "--limit", "2")
    assert [row["line"] for row in json_lines(out)] == ["connection to db2 lost, retrying", "giving up on db2: timeout"]
    assert set(json_lines(out)[0]) == {"node", "source", "line", "observed_at", "stored_at", "logged_at"}


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--node", "db3"], 2),
        (["--node", "db*", "--source", "/var/log/*.log"], 3),
        (["--source", "/var/log/**"], 63),
        (["--grep", "served in 3[0-4] ms$"], 5),
        (["--grep", "(?i)GIVING"], 1),
        (["--grep", "nothing"], 0),
        (["--since", "2025-11-22T02:50"], 3),
        (["--until", "2025-11-22T02:50"], 60),
        (["--since", "2025-11-22T02:50", "--until", "2025-11-22T02:51"], 1),
        (["--since", "2025-11-22T02:49:05.058", "--limit", "3", "--grep", "served"], 2),
        (["--since", "-1h"], 0),
    ],
)
def test_what_log_selects(filled: Path, run: Run, words: list[str], count: int) -> None:
    status, out, err = run(filled, "log", "--json", *words)
    assert (status, err, len(json_lines(out))) == (0, "", count)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--grep", "("], "no regular expression"), (["--since", "soon"], "no time"), (["--limit", "0"], "from 1 to")],
)
def test_wrong_usage_is_status_2(filled: Path, run: Run, words: list[str], said: str) -> None:
    status, out, err = run(filled, "log", *words)
    assert (status, out) == (2, "")
    assert said in err


def test_a_lines_own_time_is_shown_found_and_on_demand_the_order(file: Path, run: Run) -> None:
    """Three lines seen in one second, of which two say when they were written; one is a record of two lines."""
    seen = 1_763_780_000_000_000  # 2025-11-22T02:53:20Z

    def add(connection: apsw.Connection) -> None:
        source = nodes.source_id(connection, nodes.node_id(connection, "db1"), "/var/log/a")
        late = [("second", seen - 60_000_000), ("unknown", 0), ("first\n  and more", seen - 3_600_000_000)]
        logs.add_timed_lines(connection, [(source, seen, seen, text, time) for text, time in late])

    fill(layout_of(file), add)
    _, out, _ = run(file, "log")
    assert [line.split()[1] for line in out.splitlines()] == ["02:52:20.000Z", "02:53:20.000Z", "01:53:20.000Z"]
    assert "first␊  and more" in out
    _, out, _ = run(file, "log", "--json", "--by-time")
    rows = json_lines(out)
    assert [row["line"] for row in rows] == ["first\n  and more", "second", "unknown"]
    assert [row["logged_at"] for row in rows] == ["2025-11-22T01:53:20.000000Z", "2025-11-22T02:52:20.000000Z", None]
    _, out, _ = run(file, "log", "--json", "--until", "2025-11-22T02:53", "--limit", "1")
    assert [row["line"] for row in json_lines(out)] == ["second"]
    status, _, err = run(file, "log", "--by-time", "--follow")
    assert status == 2 and "leave --follow out" in err


def test_hostile_lines_are_printed_harmless_and_in_json_to_the_letter(file: Path, run: Run) -> None:
    fill(layout_of(file), lambda connection: lines(connection, HOSTILE))
    _, out, _ = run(file, "log")
    assert len(out.splitlines()) == len(HOSTILE)
    assert not set("\x1b\x9b\x07\x00\x7f\r\u202e\u2028") & set(out)
    _, out, _ = run(file, "log", "--json")
    assert [row["line"] for row in json_lines(out)] == list(HOSTILE)
    assert not set("\x1b\x9b\x07\x00\x7f\r\u202e\u2028") & set(out)


def test_every_line_of_many_comes_once_and_in_order(file: Path, run: Run) -> None:
    fill(layout_of(file), lambda connection: many_lines(connection, 30_000, 1_763_700_000_000_000))
    for window in ([], ["--since", "2025-01-01"]):
        _, out, _ = run(file, "log", "--json", "--limit", "25000", *window)
        numbers = [int(row["line"].split()[2]) for row in json_lines(out)]
        assert numbers == list(range(5000, 30_000))


@pytest.mark.parametrize(
    ("statement", "command"),
    [
        ("UPDATE states SET observed_at = 'never', supplement = x'00ff'", "status"),
        ("UPDATE nodes SET since = 'never', state = x'00ff'", "status"),
        ("UPDATE events SET observed_at = 'never', stored_at = 'never', state = x'00ff'", "events"),
        ("UPDATE events SET stored_at = 'never'", "status"),
        ("UPDATE logs SET observed_at = 'never', stored_at = x'00'", "log"),
        ("INSERT INTO silences VALUES (1, x'00ff', '', 'ann', '', 1, 9e18, NULL, '')", "status"),
        ("INSERT INTO silences VALUES (1, 'a/*', '', 'ann', '', 'never', 'ever', NULL, '')", "status"),
        ("INSERT INTO holds VALUES (1, 'flap', x'00', 'e', 'never', 'ever', NULL)", "status"),
        ("UPDATE states SET event = x'0f' WHERE event = 'app/orders'", "status"),
    ],
)
def test_rows_that_hold_what_they_cannot_are_shown_as_they_are(
    filled: Path, run: Run, statement: str, command: str
) -> None:
    """As a bad disk leaves them: the answer is odd, and no traceback in place of one."""
    with leading(layout_of(filled)) as order:
        order("sql INSERT INTO silences VALUES (99, '**', '', 'ann', '', 1, 1 << 62, NULL, '')")
        order(f"sql {statement}")
    for arguments in ([command], [command, "--json"]):
        status, out, err = run(filled, *arguments)
        assert (status, err) == (0, "")
        assert "db1" in out
