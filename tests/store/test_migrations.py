"""A database made by an earlier version is brought up to date with everything in it."""

from __future__ import annotations

from pathlib import Path

import apsw

from noroshi.store import schema, views
from noroshi.store.tables import definitions

FILLED = """
INSERT INTO nodes (id, name) VALUES (1, 'db1');
INSERT INTO events (id, event, category, state, supplement, node, observed_at, stored_at)
  VALUES (1, 'app/x', 'user', 'BAD', '', 1, 5, 6);
INSERT INTO definitions VALUES ('one', 1, '{"name":"one","kind":"event","event":"app/*"}', 'seed', 1);
INSERT INTO notifications (id, definition, version, event_id, status, created_at)
  VALUES (1, 'one', 1, 1, 'delivered', 6);
INSERT INTO sources VALUES (1, 1, '/x');
INSERT INTO logs (source, observed_at, stored_at, line) VALUES (1, 7, 8, 'before');
"""


def test_the_first_version_keeps_its_rows_and_takes_the_new_columns_defaults(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "db"))
    for statement in (schema.FIRST, FILLED, "PRAGMA user_version=1"):
        for _ in connection.execute(statement):
            pass
    assert schema.migrate(connection) == len(schema.MIGRATIONS)
    (row,) = views.notifications(connection, views.HistoryFilter(), 10)
    assert (row.definition, row.event, row.notice) == ("one", "app/x", "change")
    (event,) = views.events(connection, views.EventFilter(), 10)
    assert event.author == ""
    (version,) = definitions.versions(connection)
    assert (version.author, version.note, version.definition is not None) == ("seed", "", True)
    (line,) = views.log_after(connection, 0, 10)
    assert (line.line, line.observed_at, line.logged_at, line.time) == ("before", 7, None, 7)
    assert views.log_id_at(connection, 7) == 1
    assert schema.migrate(connection) == len(schema.MIGRATIONS)
    connection.close()
