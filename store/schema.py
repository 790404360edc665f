"""The tables, as a list of migrations; a migration and its record commit in one transaction.

Rules: a migration once released is never edited, only followed. Instants are integer microseconds UTC. Text that
repeats (node, source) is kept by id. The log is append-only: its row id is the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apsw

FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- who led, since when (the history of terms)
CREATE TABLE terms (
  term INTEGER PRIMARY KEY, node TEXT NOT NULL, endpoint TEXT NOT NULL, since INTEGER NOT NULL);

CREATE TABLE nodes (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL DEFAULT 'UNKNOWN', since INTEGER NOT NULL DEFAULT 0, incarnation BLOB);

CREATE TABLE sources (
  id INTEGER PRIMARY KEY, node INTEGER NOT NULL REFERENCES nodes, name TEXT NOT NULL, UNIQUE (node, name));

-- history: every event that was not held back at S4-3; count grows with what was
CREATE TABLE events (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL, category TEXT NOT NULL, state TEXT NOT NULL,
  supplement TEXT NOT NULL, node INTEGER NOT NULL REFERENCES nodes,
  observed_at INTEGER NOT NULL, stored_at INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 1);
CREATE INDEX events_time ON events (observed_at);
CREATE INDEX events_name ON events (event, id);

-- now: one row a name, the event that last reached S4-4; seen_at is the last report, held back or not; ordered: it
-- came in its node's stream of immediate events, whose order is that of what happened
CREATE TABLE states (
  event TEXT PRIMARY KEY, event_id INTEGER NOT NULL REFERENCES events, category TEXT NOT NULL,
  state TEXT NOT NULL, supplement TEXT NOT NULL, node INTEGER NOT NULL REFERENCES nodes,
  observed_at INTEGER NOT NULL, stored_at INTEGER NOT NULL, seen_at INTEGER NOT NULL,
  count INTEGER NOT NULL, ordered INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE logs (
  id INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES sources,
  observed_at INTEGER NOT NULL, stored_at INTEGER NOT NULL, line TEXT NOT NULL);
CREATE INDEX logs_time ON logs (observed_at);

-- the last sequence (or byte offset, for logs) taken of each stream, in the transaction of its data
CREATE TABLE streams (
  id BLOB PRIMARY KEY, node INTEGER NOT NULL REFERENCES nodes, kind TEXT NOT NULL,
  last INTEGER NOT NULL, updated_at INTEGER NOT NULL) WITHOUT ROWID;

-- every version stays; body is the definition as JSON, null where the version removes it
CREATE TABLE definitions (
  name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT, author TEXT NOT NULL,
  created_at INTEGER NOT NULL, PRIMARY KEY (name, version)) WITHOUT ROWID;

-- status: pending, delivered, failed, abandoned; failure_of: the notification whose failure this one tells
CREATE TABLE notifications (
  id INTEGER PRIMARY KEY, definition TEXT NOT NULL, version INTEGER NOT NULL,
  event_id INTEGER REFERENCES events, log_id INTEGER REFERENCES logs, failure_of INTEGER REFERENCES notifications,
  status TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', created_at INTEGER NOT NULL, ended_at INTEGER);
CREATE INDEX notifications_pending ON notifications (id) WHERE status = 'pending';

-- outcome: null while it is under way, then delivered, failed, timeout, skipped; answered: by the node itself;
-- late: what the node answered after the attempt had ended without it
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, notification INTEGER NOT NULL REFERENCES notifications, delivery TEXT NOT NULL UNIQUE,
  priority INTEGER NOT NULL, node TEXT NOT NULL, procedure TEXT NOT NULL, application TEXT NOT NULL,
  started_at INTEGER NOT NULL, ended_at INTEGER, outcome TEXT, reason TEXT NOT NULL DEFAULT '',
  output TEXT NOT NULL DEFAULT '', answered INTEGER NOT NULL DEFAULT 0, late TEXT NOT NULL DEFAULT '');
CREATE INDEX attempts_notification ON attempts (notification);
CREATE INDEX attempts_unanswered ON attempts (notification) WHERE outcome IS NULL;
"""

SECOND = """
-- note: how a version came about (an import of a file, a roll-back to another version)
ALTER TABLE definitions ADD COLUMN note TEXT NOT NULL DEFAULT '';

-- notice: why it was begun (node/core/subject.py); plan: whom it tells where not the definition's own, JSON;
-- trouble: the open trouble it belongs to; held_by: what held it back, with status held and no attempts
ALTER TABLE notifications ADD COLUMN notice TEXT NOT NULL DEFAULT 'change';
ALTER TABLE notifications ADD COLUMN plan TEXT;
ALTER TABLE notifications ADD COLUMN trouble INTEGER REFERENCES troubles;
ALTER TABLE notifications ADD COLUMN held_by TEXT;
CREATE INDEX notifications_trouble ON notifications (trouble) WHERE trouble IS NOT NULL;
CREATE INDEX notifications_held ON notifications (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX notifications_begun ON notifications (definition, id) WHERE held_by IS NULL;

-- author: the operator who declared it, empty for what a node saw; no part of duplicate control
ALTER TABLE events ADD COLUMN author TEXT NOT NULL DEFAULT '';

-- a pattern over event names and log sources, or a node under maintenance (the other is empty)
CREATE TABLE silences (
  id INTEGER PRIMARY KEY, pattern TEXT NOT NULL, node TEXT NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL,
  begun_at INTEGER NOT NULL, until INTEGER NOT NULL, ended_at INTEGER, ended_by TEXT NOT NULL DEFAULT '');
CREATE INDEX silences_open ON silences (until) WHERE ended_at IS NULL;

-- an event that somebody has taken on, in the state it had then; until: null for as long as that lasts
CREATE TABLE acknowledgements (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL, state TEXT NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL,
  created_at INTEGER NOT NULL, until INTEGER, ended_at INTEGER, reason TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX acknowledgements_open ON acknowledgements (event) WHERE ended_at IS NULL;

-- what a definition with repeat, escalate or recovery told of, until it is over (node/core/following.py)
CREATE TABLE troubles (
  id INTEGER PRIMARY KEY, definition TEXT NOT NULL, event TEXT NOT NULL, opened_at INTEGER NOT NULL,
  status TEXT NOT NULL, floor INTEGER NOT NULL, reached INTEGER NOT NULL, repeat_at INTEGER, escalate_at INTEGER,
  ended_at INTEGER);
CREATE UNIQUE INDEX troubles_open ON troubles (definition, event) WHERE status != 'ended';

-- what holds notifications back by itself: flap (definition, event), limit (definition), overall
CREATE TABLE holds (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, definition TEXT NOT NULL, event TEXT NOT NULL,
  since INTEGER NOT NULL, until INTEGER, ended_at INTEGER);
CREATE INDEX holds_standing ON holds (id) WHERE ended_at IS NULL;
"""

THIRD = """
-- so that retention finds what still refers to a row without reading all notifications (store/retention.py)
CREATE INDEX notifications_event ON notifications (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX notifications_log ON notifications (log_id) WHERE log_id IS NOT NULL;
CREATE INDEX notifications_failure ON notifications (failure_of) WHERE failure_of IS NOT NULL;
"""

LOG_TIMES = """
-- logged_at: the time the line itself gives; time: what it is ordered and found by, that or else when it was seen
ALTER TABLE logs ADD COLUMN logged_at INTEGER;
ALTER TABLE logs ADD COLUMN time INTEGER AS (coalesce(logged_at, observed_at)) VIRTUAL;
DROP INDEX logs_time;
CREATE INDEX logs_time ON logs (time);

-- lines held back by a source's rate limit that no line in the log tells of yet, and when they were seen
CREATE TABLE held_back (
  source INTEGER PRIMARY KEY REFERENCES sources, lines INTEGER NOT NULL, rate TEXT NOT NULL,
  begun_at INTEGER NOT NULL, ended_at INTEGER NOT NULL);
"""


UNTHINKABLE = 1000
"""A version from here on is no newer program's, but a damaged head of the file."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema; `apply` runs inside the transaction that also records it."""

    name: str
    apply: Callable[[apsw.Connection], None]


def _script(text: str) -> Callable[[apsw.Connection], None]:
    def run(connection: apsw.Connection) -> None:
        for _ in connection.execute(text):
            pass

    return run


MIGRATIONS: tuple[Migration, ...] = (
    Migration("first", _script(FIRST)),
    Migration("operators", _script(SECOND)),
    Migration("retention", _script(THIRD)),
    Migration("log-times", _script(LOG_TIMES)),
)


def version_of(connection: apsw.Connection) -> int:
    """How many migrations the database has seen; 0 for an empty file."""
    return int(connection.pragma("user_version"))


def migrate(connection: apsw.Connection, until: int = len(MIGRATIONS)) -> int:
    """Apply what is missing, each in one transaction with its record; return the version reached."""
    for number in range(version_of(connection), until):
        connection.execute("BEGIN IMMEDIATE")
        try:
            MIGRATIONS[number].apply(connection)
            connection.execute(f"PRAGMA user_version={number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk has rolled back already
                connection.execute("ROLLBACK")
            raise
    return version_of(connection)
