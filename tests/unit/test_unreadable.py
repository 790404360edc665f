"""Rows that no program can read any more, as a bad disk leaves them: set aside and told; they keep nobody from leading.

SQLite's own check says nothing of what stands in a row, so there is no other database to be begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from coordinating import Coordinating

from noroshi.node.wire.messages import Changed
from noroshi.store import views
from noroshi.store.connection import Connection
from noroshi.store.damage import BEGUN
from noroshi.store.errors import ReadFailed
from noroshi.store.mending import mend_text
from noroshi.store.reader import SharedReader
from noroshi.store.tables import meta

BOTH = """
events:
  - name: first
    match: {event: "app/*"}
    notify: [{priority: 1, node: db2, procedure: process, application: [/bin/first]}]
  - name: second
    match: {event: "app/*"}
    notify:
      - {priority: 1, node: db3, procedure: process, application: [/bin/second]}
      - {priority: 2, node: db4, procedure: process, application: [/bin/second]}
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Coordinating]:
    one = Coordinating(tmp_path)
    one.define(BOTH)
    yield one
    one.close()


def spoil(there: Coordinating, statement: str) -> None:
    there.query(lambda connection: connection.execute(statement).fetchall())
    there.take_over("db2")


def state_of(there: Coordinating, event: str) -> tuple[str, str]:
    (found,) = there.query(lambda c: [each for each in views.states(c) if each.event == event])
    return found.state, found.supplement


@pytest.mark.parametrize("body", ["'{'", "'[1]'", "CAST(x'7bff' AS TEXT)", "7"])
def test_a_definition_is_set_aside_and_told_until_it_is_mended(there: Coordinating, body: str) -> None:
    spoil(there, f"UPDATE definitions SET body = {body} WHERE name = 'second'")
    state, why = state_of(there, "definition/second")
    assert state == "ERROR"
    assert why.startswith("set aside, its newest version cannot be read: ")
    assert "import it again" in why
    there.event("app/x", "ERROR")
    assert [node for node, _ in there.deliveries] == ["db2"], "the other one is in force"
    heads = there.query(views.definition_heads)
    assert [(head.name, head.definition is None, "cannot be read" in head.note) for head in heads] == [
        ("first", False, False),
        ("second", True, True),
    ]
    there.define(BOTH)
    assert state_of(there, "definition/second")[0] == "OK"
    there.event("app/y", "ERROR")
    assert [node for node, _ in there.deliveries[1:]] == ["db2", "db3"]


def test_what_is_under_way_by_it_is_left_as_it_is(there: Coordinating) -> None:
    there.event("app/x", "ERROR")
    spoil(there, "UPDATE definitions SET body = '{' WHERE name = 'second'")
    there.answer(there.deliveries[0][1].delivery, "delivered")
    history = there.query(lambda c: views.notifications(c, views.HistoryFilter(), 9))
    assert {each.definition: each.status for each in history if each.definition} == {
        "first": "delivered",
        "second": "pending",
    }
    left = next(each for each in history if each.definition == "second")
    whole = there.query(lambda c: views.whole_notification(c, left.id))
    assert whole is not None
    assert whole.to_come == ()


def test_text_that_is_needed_is_mended_and_the_rest_left(there: Coordinating) -> None:
    there.event("app/x", "ERROR", "it's broken")
    there.event("old/x", "ERROR", "first")
    there.event("old/x", "ERROR", "second")

    def spoiled(connection: Connection) -> list[str]:
        for statement in (
            "UPDATE states SET supplement = CAST(x'6fff6b' AS TEXT) WHERE event = 'app/x'",
            "UPDATE events SET supplement = CAST(x'6fff6b' AS TEXT) WHERE event = 'app/x' OR supplement = 'first'",
            "UPDATE attempts SET node = CAST(x'646232fe' AS TEXT) WHERE node = 'db2'",
            "UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE key = 'definitions_seeded'",
            "UPDATE meta SET value = 7 WHERE key = 'number'",
        ):
            connection.execute(statement)
        return mend_text(connection)

    assert sorted(there.query(spoiled)) == ["attempts.node", "events.supplement", "states.supplement"]
    assert there.query(mend_text) == []
    assert state_of(there, "app/x") == ("ERROR", "o\ufffdk")
    there.take_over("db2")
    with pytest.raises(UnicodeDecodeError):
        there.query(lambda c: c.execute("SELECT supplement FROM events").fetchall())


def test_whom_to_tell_that_it_is_over_is_needed_too(there: Coordinating) -> None:
    text = BOTH.replace("name: first\n", "name: first\n    recovery: true\n", 1)
    assert isinstance(there.define(text.replace('{event: "app/*"}', '{event: "app/*", state: ERROR}', 1)), Changed)
    there.event("app/x", "ERROR")
    for _, delivery in list(there.deliveries):
        there.answer(delivery.delivery, "delivered")
    spoiled = "UPDATE attempts SET reason = CAST(x'ff' AS TEXT)"
    there.query(lambda c: c.execute(spoiled).fetchall())
    assert there.query(mend_text) == ["attempts.reason"]


def test_a_reader_names_it(there: Coordinating) -> None:
    there.event("app/x", "ERROR", "it's broken")
    there.query(lambda c: c.execute("UPDATE events SET supplement = CAST(x'6fff6b' AS TEXT)").fetchall())
    there.close()
    reader = SharedReader(there.layout)
    with pytest.raises(ReadFailed, match="no UTF-8"):
        reader.query(lambda c: c.execute("SELECT supplement FROM events").fetchall())
    found = reader.query(lambda c: views.events(c, views.EventFilter(event="app/x"), 10))
    assert [(row.supplement, row.damaged) for row in found] == [("o\\xffk", "supplement is b'o\\xffk'")]


def test_a_plan_and_the_story_of_a_loss(there: Coordinating) -> None:
    there.event("app/x", "ERROR")
    there.query(lambda c: meta.put(c, BEGUN, "{"))
    spoil(there, "UPDATE notifications SET plan = '{' WHERE definition = 'first'")
    state, why = state_of(there, "coordinator/database")
    assert state == "ERROR"
    assert "cannot be read" in why
    there.event("app/y", "ERROR")
    assert [node for node, _ in there.deliveries[-2:]] == ["db2", "db3"]
