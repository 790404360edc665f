"""A coordinator that goes on from an old backup: streams and files that are ahead of it, deliveries it forgot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from coordinating import BEGIN, Coordinating

from noroshi.node.coordinator.desk import Noticed
from noroshi.node.coordinator.turn import Turn
from noroshi.node.wire.messages import Acknowledged, EventBatch, LogBatch, LogPart, Report, RequestBody
from noroshi.store import views
from noroshi.store.backup import write_backup
from noroshi.store.connection import Connection

STREAM, FILE = b"s" * 16, b"f" * 16

DEFINITIONS = """
events:
  - name: app
    match: {event: "told/*"}
    timeout: 1h
    notify: [{priority: 1, node: db2, procedure: process, application: [/bin/tell]}]
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Coordinating]:
    one = Coordinating(tmp_path)
    yield one
    one.close()


def lose_database(there: Coordinating) -> None:
    """What was written since `back_up` is gone."""
    there.close()
    there.layout.database.unlink()
    there._lead("db1")


def back_up(there: Coordinating) -> None:
    there.close()
    there.layout.backup.parent.mkdir(exist_ok=True)
    write_backup(there.layout, there.layout.backup)
    there._lead("db1")


def stands(there: Coordinating, body: RequestBody, stream: bytes) -> int:
    reply = there.ask(body, "db4")
    assert isinstance(reply, Acknowledged)
    return reply.positions[stream]


def batch(first: int, last: int, oldest: int = 1, stream: bytes = STREAM) -> EventBatch:
    reports = [Report(number, f"app/{number}", "ERROR", "", BEGIN + number) for number in range(first, last + 1)]
    return EventBatch(stream, first, oldest, reports)


def part(start: int, end: int) -> LogPart:
    return LogPart(FILE, "/var/log/app", start, end, BEGIN, [f"bytes {start} to {end}"])


def names(there: Coordinating, pattern: str = "app/*") -> list[str]:
    found = there.query(lambda c: views.events(c, views.EventFilter(event=pattern), 1000))
    return [event.event for event in found]


def told(there: Coordinating, event: str) -> list[str]:
    found = there.query(lambda c: views.events(c, views.EventFilter(event=event), 1000))
    return [each.supplement for each in found]


def test_a_stream_is_sent_again_from_what_its_node_keeps_and_the_rest_is_a_gap(there: Coordinating) -> None:
    assert stands(there, batch(1, 5), STREAM) == 5
    back_up(there)
    assert stands(there, batch(6, 12), STREAM) == 12
    lose_database(there)
    assert stands(there, batch(13, 14, oldest=9), STREAM) == 8, "back to what is still kept"
    assert told(there, "monitor/db4/streams") == ["events stream: 3 lost, no longer kept"]
    assert stands(there, batch(9, 14, oldest=9), STREAM) == 14
    assert names(there) == [f"app/{n}" for n in (*range(1, 6), *range(9, 15))]
    assert len(told(there, "monitor/db4/streams")) == 1


def test_a_stream_that_is_kept_whole_has_no_gap(there: Coordinating) -> None:
    assert stands(there, batch(1, 5), STREAM) == 5
    back_up(there)
    assert stands(there, batch(6, 12), STREAM) == 12
    lose_database(there)
    assert stands(there, batch(13, 14), STREAM) == 5
    assert stands(there, batch(6, 14), STREAM) == 14
    assert names(there) == [f"app/{n}" for n in range(1, 15)]
    assert told(there, "monitor/db4/streams") == []


@pytest.mark.parametrize(("oldest", "gap"), [(1, []), (4, ["events stream: 3 lost, no longer kept"])])
def test_a_stream_that_the_backup_does_not_know_begins_at_its_first(
    there: Coordinating, oldest: int, gap: list[str]
) -> None:
    back_up(there)
    assert stands(there, batch(1, 6), STREAM) == 6
    lose_database(there)
    assert stands(there, batch(7, 8, oldest=oldest), STREAM) == oldest - 1
    assert stands(there, batch(oldest, 8, oldest=oldest), STREAM) == 8
    assert names(there) == [f"app/{n}" for n in range(oldest, 9)]
    assert told(there, "monitor/db4/streams") == gap


def test_a_stream_never_seen_begins_with_its_first_batch_where_nothing_was_lost(there: Coordinating) -> None:
    assert stands(there, batch(7, 8), STREAM) == 8
    assert told(there, "monitor/db4/streams") == []


def test_a_file_is_read_again_from_where_the_backup_stands(there: Coordinating) -> None:
    assert stands(there, LogBatch([part(0, 100)]), FILE) == 100
    back_up(there)
    assert stands(there, LogBatch([part(100, 300)]), FILE) == 300
    lose_database(there)
    assert stands(there, LogBatch([part(300, 400)]), FILE) == 100
    assert stands(there, LogBatch([part(100, 400)]), FILE) == 400
    lines = [line.line for line in there.query(lambda c: views.log_after(c, 0, 100))]
    assert lines == ["bytes 0 to 100", "bytes 100 to 400"]
    assert told(there, "monitor/db4/streams") == []


def test_a_file_that_is_gone_is_a_gap_when_it_comes_again_from_the_same_place(there: Coordinating) -> None:
    assert stands(there, LogBatch([part(0, 100)]), FILE) == 100
    back_up(there)
    assert stands(there, LogBatch([part(100, 300)]), FILE) == 300
    lose_database(there)
    assert stands(there, LogBatch([part(300, 400)]), FILE) == 100
    assert stands(there, LogBatch([part(300, 400)]), FILE) == 400
    assert stands(there, LogBatch([part(450, 500)]), FILE) == 500, "once"
    gaps = [f"/var/log/app: {lost} lost, no longer kept" for lost in (200, 50)]
    assert told(there, "monitor/db4/streams") == gaps


def test_parts_of_one_stream_in_a_batch_go_back_together(there: Coordinating) -> None:
    """A journal's: a part for each unit."""
    assert stands(there, LogBatch([part(0, 100)]), FILE) == 100
    back_up(there)
    assert stands(there, LogBatch([part(100, 300)]), FILE) == 300
    lose_database(there)
    both = LogBatch([part(300, 400), part(400, 500)])
    assert stands(there, both, FILE) == 100
    assert stands(there, both, FILE) == 500
    lines = [line.line for line in there.query(lambda c: views.log_after(c, 0, 100))]
    assert lines == ["bytes 0 to 100", "bytes 300 to 400", "bytes 400 to 500"]
    assert told(there, "monitor/db4/streams") == ["/var/log/app: 200 lost, no longer kept"]


def test_a_delivery_under_way_at_the_backup_is_asked_for_again_with_its_id(there: Coordinating) -> None:
    there.define(DEFINITIONS)
    there.event("told/x", "ERROR")
    (sent,) = there.deliveries
    back_up(there)
    there.answer(sent[1].delivery, "delivered")
    lose_database(there)
    assert there.deliveries[-1][1].delivery == sent[1].delivery, "the node answers from its record"
    there.answer(sent[1].delivery, "delivered")
    (row,) = there.query(lambda c: views.notifications(c, views.HistoryFilter(), 10))
    assert row.status == "delivered"


def test_the_story_is_told_once_and_by_whoever_leads_first(there: Coordinating) -> None:
    back_up(there)
    lose_database(there)
    (story,) = told(there, "coordinator/database")
    assert story.startswith("the database is gone; nothing of it is left; begun from noroshi.db, last written 20")
    there.take_over("db2")
    assert len(told(there, "coordinator/database")) == 1
    state = next(row for row in there.query(views.states) if row.event == "coordinator/database")
    assert (state.category, state.state) == ("system", "ERROR")


def test_what_the_coordinator_notices_is_an_event_while_it_is_news(there: Coordinating) -> None:
    there.turn(Noticed("coordinator/backup", "OK", ""))
    assert names(there, "coordinator/backup") == []
    for _ in range(2):
        there.turn(Noticed("coordinator/backup", "ERROR", "no room"))
    there.turn(Noticed("coordinator/backup", "OK", ""))
    there.turn(Noticed("coordinator/backup", "OK", ""))
    assert len(names(there, "coordinator/backup")) == 2


def test_a_deferred_line_is_never_sent_back(there: Coordinating) -> None:
    """Its spool has let it go; what is missing before it is a gap."""
    back_up(there)
    lose_database(there)
    assert isinstance(there.ask(LogBatch([part(0, 100)]), "db4"), Acknowledged)
    desk = there.desk
    assert desk is not None

    def accept(connection: Connection) -> dict[bytes, int]:
        return desk.lines.accept(connection, Turn(0.0, BEGIN), "db4", LogBatch([part(300, 400)]), deferred=True)

    assert there.query(accept) == {FILE: 400}
