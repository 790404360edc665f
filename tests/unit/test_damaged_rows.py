"""Rows by which the coordinator acts, each column of each of them damaged as a bad disk may: it goes on, and says so.

SQLite's own check says nothing of what stands in a row. Before, one such row ended every coordinator again and again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest
from coordinating import BEGIN, Coordinating
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noroshi.node.coordinator.states import StateManager
from noroshi.node.coordinator.turn import Turn
from noroshi.node.wire.messages import Acknowledged, Held, LogBatch, LogPart
from noroshi.node.wire.operating import Acknowledge, AddSilence
from noroshi.store import views
from noroshi.store.clock import to_iso
from noroshi.store.connection import Connection
from noroshi.store.tables import nodes
from noroshi.store.values import Spoilt, blamed, mend_values

DEFINITIONS = """
events:
  - name: follow
    match: {event: "app/*", state: ERROR}
    repeat: 60s
    escalate: 90s
    recovery: true
    notify:
      - {priority: 1, node: db2, procedure: process, application: [/bin/first]}
      - {priority: 2, node: db3, procedure: process, application: [/bin/second]}
  - name: flappy
    match: {event: "flap/*"}
    flap: {changes: 3, within: 100s}
    notify: [{priority: 1, node: db2, procedure: process, application: [/bin/x]}]
  - name: limited
    match: {event: "many/*"}
    limit: {count: 2, within: 100s}
    notify: [{priority: 1, node: db2, procedure: process, application: [/bin/x]}]
  - name: quiet
    match: {event: "quiet/*"}
    notify: [{priority: 1, node: db2, procedure: process, application: [/bin/x]}]
logs:
  - name: lines
    match: {source: "/var/log/**", pattern: "line"}
    notify: [{priority: 1, node: db2, procedure: process, application: [/bin/x]}]
"""
STREAM = b"s" * 16
VALUES = ("'zz'", "''", "'{'", "7", "-1", f"{2**62}", f"-{2**62}", "NULL", "x'00ff'")


@dataclass(frozen=True)
class Story:
    """A shared directory with something of everything under way, at `seconds`; the streams of its nodes."""

    shared: Path
    seconds: float
    streams: dict[str, tuple[bytes, int]]
    columns: tuple[tuple[str, str], ...]

    def again(self, folder: Path) -> Coordinating:
        """A copy of it, led by db1."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.shared, folder)
        one = Coordinating(folder)
        one.seconds, one._streams = self.seconds, dict(self.streams)
        return one


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    shared = tmp_path_factory.mktemp("story") / "shared"
    one = Coordinating(shared)
    one.define(DEFINITIONS)
    for event in ("app/a", "app/b", "app/d"):
        one.event(event, "ERROR")
    for _, delivery in list(one.deliveries):
        one.answer(delivery.delivery, "delivered")
    one.event("app/c", "ERROR")  # and nobody answers
    for number in range(5):
        one.event("flap/a", "OK" if number % 2 else "ERROR")
        one.event(f"many/{number}", "ERROR")
    one.ask(AddSilence(author="ann", comment="", pattern="quiet/*", node="", duration=100.0, wait=0.0))
    one.ask(AddSilence(author="ann", comment="", pattern="", node="db3", duration=100.0, wait=0.0))
    one.event("quiet/a", "ERROR")
    one.ask(Acknowledge(author="ann", comment="", event="app/d", notification=0, duration=50.0, withdraw=False))
    one.ask(LogBatch([LogPart(STREAM, "/var/log/app", 0, 10, BEGIN, ["line one"], [], [], Held(3, "10/s"))]), "db2")
    columns = one.query(_columns)
    one.close()
    return Story(shared, one.seconds, dict(one._streams), columns)


@pytest.fixture
def there(story: Story, tmp_path: Path) -> Iterator[Coordinating]:
    one = story.again(tmp_path / "shared")
    yield one
    one.close()


def _columns(connection: Connection) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    )
    return tuple((str(table), str(column)) for table, column in rows)


def spoil(one: Coordinating, *statements: str) -> None:
    for statement in statements:
        one.query(lambda c, statement=statement: c.execute(statement).fetchall())


def live_on(one: Coordinating) -> None:
    """Take over, let everything fall due that can, hear of everything again; no item is refused."""
    one.take_over("db2")
    for seconds in (1, 10, 40, 20, 30, 100, 1000):
        one.wait(seconds)
        delivered, one.deliveries = one.deliveries, []
        for _, delivery in delivered:
            one.answer(delivery.delivery, "delivered")
    for event in ("app/a", "app/b", "app/c", "app/d", "flap/a", "many/0", "quiet/a"):
        one.event(event, "OK")
    reply = one.ask(LogBatch([LogPart(STREAM, "/var/log/app", 10, 20, BEGIN, ["line two"])]), "db2")
    assert isinstance(reply, Acknowledged)
    one.take_over("db3")
    one.wait(500)


def told(one: Coordinating) -> list[str]:
    """Of the database, by its events."""
    found = one.query(lambda c: views.events(c, views.EventFilter(event="coordinator/database"), 100))
    assert {each.state for each in found} <= {"WARNING"}
    return [each.supplement for each in found]


def recovered(one: Coordinating) -> list[str]:
    """Who was told of which trouble's end."""
    rows = one.query(
        lambda c: c.execute(
            "SELECT e.event, a.node FROM notifications o JOIN events e ON e.id = o.event_id"
            " JOIN attempts a ON a.notification = o.id WHERE o.notice = 'recovery' ORDER BY 1, 2"
        ).fetchall()
    )
    return [f"{event} {node}" for event, node in rows]


ALL_RECOVERED = [f"app/{which} db2" for which in "abcd"]


def test_where_nothing_is_damaged_nothing_is_said(there: Coordinating) -> None:
    live_on(there)
    assert told(there) == []
    assert [who for who in recovered(there) if who.endswith("db2")] == ALL_RECOVERED


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE troubles SET status = 'oepn' WHERE event = 'app/a'", "mended in troubles:"),
        ("UPDATE troubles SET repeat_at = 'zz' WHERE event = 'app/a'", "mended in troubles.repeat_at:"),
        ("UPDATE troubles SET floor = x'00' WHERE event = 'app/a'", "mended in troubles.floor:"),
        ("UPDATE troubles SET event = 'gone/x' WHERE event = 'app/a'", "row 1 of troubles: LookupError"),
        ("DELETE FROM states WHERE event = 'app/a'", "row 1 of troubles: LookupError"),
        ("UPDATE holds SET until = 'zz'", "mended in holds.until:"),
        ("UPDATE holds SET kind = 'zz'", "mended in holds:"),
        ("UPDATE silences SET until = 'zz'", "mended in silences.until:"),
        ("UPDATE silences SET pattern = x'00ff' WHERE node = ''", "mended in silences.pattern:"),
        ("UPDATE acknowledgements SET until = 'zz'", "mended in acknowledgements.until:"),
        ("UPDATE held_back SET begun_at = 'zz'", "mended in held_back:"),
        ("UPDATE streams SET last = 'zz'", "mended in streams.last:"),
        ("UPDATE states SET event_id = 'zz' WHERE event = 'app/a'", "mended in states:"),
        ("UPDATE states SET observed_at = 'zz'", "mended in states:"),
        ("UPDATE attempts SET application = '{' WHERE id = 1", "it cannot be read who heard of a trouble of follow"),
        ("UPDATE attempts SET node = x'00ff' WHERE outcome IS NULL", "cannot be resumed are left as they are: "),
        ("UPDATE notifications SET notice = 'zz' WHERE status = 'pending'", "left as they are: "),
    ],
)
def test_it_goes_on_and_the_rest_is_told_as_ever(there: Coordinating, statement: str, said: str) -> None:
    spoil(there, statement)
    live_on(there)
    assert any(said in each for each in told(there)), told(there)
    assert "look at the shared disk" in told(there)[0]
    assert set(ALL_RECOVERED[1:2]) <= set(recovered(there)), "of another trouble"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET stored_at = 'zz', observed_at = 4611686018427387904",
        "UPDATE logs SET stored_at = 4611686018427387904, observed_at = 'zz'",
        "UPDATE notifications SET created_at = 'zz'",
        "UPDATE silences SET until = 4611686018427387904, begun_at = -4611686018427387904",
        "UPDATE held_back SET begun_at = -4611686018427387904",
    ],
)
def test_an_instant_that_cannot_be_is_no_error(there: Coordinating, statement: str) -> None:
    spoil(there, statement)
    there.event("quiet/b", "ERROR")
    live_on(there)
    assert set(ALL_RECOVERED) <= set(recovered(there))


def test_every_instant_can_be_written() -> None:
    assert to_iso(BEGIN) == "2023-11-14T22:13:20.000000Z"
    assert (to_iso(-(2**62)), to_iso(2**62)) == ("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z")
    assert to_iso("zz") == to_iso(None) == "1970-01-01T00:00:00.000000Z"  # type: ignore[arg-type]


def test_a_state_is_made_again_from_the_history(there: Coordinating) -> None:
    spoil(there, "UPDATE states SET event = 'zz' WHERE event = 'app/a'", "UPDATE states SET state = x'00' WHERE 1")
    before = there.query(lambda c: dict(c.execute("SELECT event, max(id) FROM events GROUP BY event").fetchall()))
    there.take_over("db2")
    rows = there.query(lambda c: dict(c.execute("SELECT event, event_id FROM states").fetchall()))
    assert {event: rows[event] for event in ("app/a", "app/b", "flap/a")} == {
        event: before[event] for event in ("app/a", "app/b", "flap/a")
    }
    assert "zz" not in rows
    assert there.query(lambda c: mend_values(c, BEGIN)) == [], "nothing is left to mend"


def test_what_an_unreadable_silence_held_back_is_looked_at_again(there: Coordinating) -> None:
    spoil(there, "UPDATE silences SET until = 'zz'")
    there.deliveries.clear()
    there.take_over("db2")
    there.wait(1)
    assert [delivery.payload.find(b"quiet/a") >= 0 for _, delivery in there.deliveries].count(True) == 1


def test_a_definition_nothing_can_go_by_refuses_no_line(there: Coordinating) -> None:
    body = "replace(body, '\"line\"', '\"(line\"')"
    spoil(there, f"UPDATE definitions SET body = {body} WHERE name = 'lines'")
    live_on(there)
    state = next(each for each in there.query(views.states) if each.event == "definition/lines")
    assert state.state == "ERROR"
    assert "no regular expression" in state.supplement


@given(data=st.data())
@settings(max_examples=40)
def test_any_value_in_any_column(story: Story, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    table, column = data.draw(st.sampled_from(story.columns))
    statement = f"UPDATE OR IGNORE {table} SET {column} = {data.draw(st.sampled_from(VALUES))}"
    one = story.again(tmp_path_factory.getbasetemp() / f"any-{os.getpid()}")
    try:
        try:
            spoil(one, statement)
        except apsw.Error:  # a key of another type, or nothing where there must be something
            assume(False)
        live_on(one)
    finally:
        one.close()


def test_a_notification_whose_end_cannot_be_worked_on_is_ended_and_told(
    there: Coordinating, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time limit passes, and what follows from that fails: of one, not of the next."""
    store_failure = StateManager.store_failure
    there.event("many/x", "ERROR")
    there.event("app/z", "ERROR")
    number = there.query(lambda c: c.execute("SELECT max(id) FROM notifications").fetchall()[0][0])

    def fails(self: StateManager, connection: Connection, turn: Turn, failed: int, supplement: str) -> object:
        if failed == number:
            raise LookupError("a row behind it")
        return store_failure(self, connection, turn, failed, supplement)

    monkeypatch.setattr(StateManager, "store_failure", fails)
    there.take_over("db2")
    there.wait(60)
    there.wait(60)
    (said,) = [each for each in told(there) if "of notifications" in each]
    assert f"row {number} of notifications: LookupError: a row behind it" in said
    rows = there.query(lambda c: views.notifications(c, views.HistoryFilter(), 100))
    ended = next(row for row in rows if row.id == number)
    assert (ended.status, ended.reason) == ("failed", "set aside")
    assert any(row.status == "failed" and row.reason != "set aside" for row in rows), "others failed as ever"


def test_blame_goes_to_the_innermost_and_what_has_a_name_passes(there: Coordinating) -> None:
    with pytest.raises(Spoilt, match="row 2 of holds: ZeroDivisionError"), blamed("troubles", 1), blamed("holds", 2):
        raise ZeroDivisionError
    with pytest.raises(UnicodeDecodeError), blamed("troubles", 1):
        b"\xff".decode()
    with pytest.raises(Spoilt, match="row 3 of troubles: "), blamed("troubles", 3):
        there.query(lambda c: c.execute("INSERT INTO nodes (id, name) VALUES ('zz', 'zz')").fetchall())
    assert "zz" not in [row.name for row in there.query(nodes.nodes)]
