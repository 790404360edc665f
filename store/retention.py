"""What of the past may go: rows past their age, or past the size, that nothing which stays refers to.

Role: one bounded batch at a time, inside a transaction of the caller's; when and how often is the coordinator's to say
(node/coordinator/care.py).
Rules: what is now so stays (the event behind each state), so does what is being told (a pending notification, one with
an attempt under way, those of an open trouble or a standing hold) and, as long as a notification stays, the event or
the line it told of. The newest row of a table stays, so that numbers are not given twice. The size is that of the pages
in use: pages that became free are filled again before the file grows.
A batch looks at so many rows, whatever it may take of them, going up the row ids; where it ended the next one goes on.
A row whose instant is no number (a bad disk) counts as past every age, and one of the future (a wrong clock) is passed
over until its time has come: neither keeps what lies behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apsw

DEARER = 8
"""A notification takes as long as so many other rows: it has attempts, and more that may refer to it."""
FOREVER = 2**63 - 1
"""A time limit that everything is past."""


@dataclass(frozen=True)
class Limits:
    """`size` in bytes; ages in microseconds."""

    size: int
    logs: int
    history: int


@dataclass(frozen=True)
class Batch:
    """`looked` rows were looked at, `gone` removed. `done`: there is nothing to do for now."""

    looked: int
    gone: int
    done: bool = False


@dataclass
class _Place:
    """How far up its row ids a table was looked at."""

    table: str
    after: int = 0


class Retention:
    """`batch` again and again; `rewind` now and then, for rows that were kept may have become free to go."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._logs, self._notifications, self._events = (_Place(table) for table in ("logs", "notifications", "events"))
        self._ended_due = True

    def rewind(self) -> None:
        """Look at everything again from its beginning."""
        for place in (self._logs, self._notifications, self._events):
            place.after = 0
        self._ended_due = True

    def over(self, connection: apsw.Connection) -> float:
        """How much of the size is in use: above 1 it is passed."""
        return used(connection) / self._limits.size

    def batch(self, connection: apsw.Connection, now: int, rows: int) -> Batch:
        """Look at `rows` rows at most, of the first table that has any to look at. `now` in microseconds UTC."""
        full = self.over(connection) > 1
        history = now - self._limits.history
        steps: list[tuple[_Place, int, _Removal]] = [
            (self._logs, FOREVER if full else now - self._limits.logs, _remove_lines),
            (self._notifications, history, _remove_notifications),
            (self._events, history, _remove_events),
        ]
        if full:  # lines first, and history only once none of them is left to go
            steps += [(place, FOREVER, remove) for place, _, remove in steps[1:]]
        for place, before, remove in steps:
            most = rows if place is not self._notifications else max(rows // DEARER, 1)
            batch = _look(connection, place, before, most, remove, 0 if full else now)
            if full and batch.gone and place is self._notifications:  # what they told of may go as well
                self._logs.after = self._events.after = 0
            if batch.looked:
                return batch
        gone = _remove_ended(connection, history, rows) if self._ended_due else 0
        self._ended_due = gone > 0
        return Batch(gone, gone, done=not gone)


def used(connection: apsw.Connection) -> int:
    """Bytes of the pages in use."""
    pages, free = int(connection.pragma("page_count")), int(connection.pragma("freelist_count"))
    return (pages - free) * int(connection.pragma("page_size"))


_Removal = Callable[[apsw.Connection, int, int, int], int]
"""(connection, after row id, up to row id, before this instant) -> rows removed"""


def _look(connection: apsw.Connection, place: _Place, before: int, rows: int, remove: _Removal, now: int = 0) -> Batch:
    """The next rows of a table that are past their time, or of the future; its newest row is never among them."""
    at = _instant("created_at" if place.table == "notifications" else "stored_at")
    first = next(
        connection.execute(
            f"SELECT {at} FROM {place.table} WHERE id > ? ORDER BY id LIMIT 1",  # noqa: S608 - our own names
            (place.after,),
        ),
        None,
    )
    if first is None or (first[0] >= before and not 0 < now < first[0]):
        return Batch(0, 0)
    found = next(
        connection.execute(
            f"SELECT max(id), count(*) FROM (SELECT id FROM {place.table}"  # noqa: S608
            f" WHERE id > ?1 AND id < (SELECT max(id) FROM {place.table}) ORDER BY id LIMIT ?2)",
            (place.after, rows),
        )
    )
    if found[0] is None:
        return Batch(0, 0)
    gone = remove(connection, place.after, int(found[0]), before)
    place.after = int(found[0])
    return Batch(int(found[1]), gone)


def _instant(column: str) -> str:
    return f"CASE typeof({column}) WHEN 'integer' THEN {column} ELSE 0 END"


def _remove_lines(connection: apsw.Connection, after: int, until: int, before: int) -> int:
    connection.execute(
        f"DELETE FROM logs WHERE id > ? AND id <= ? AND {_instant('stored_at')} < ?"  # noqa: S608
        " AND NOT EXISTS (SELECT 1 FROM notifications o WHERE o.log_id = logs.id)",
        (after, until, before),
    )
    return connection.changes()


def _remove_events(connection: apsw.Connection, after: int, until: int, before: int) -> int:
    connection.execute(
        f"DELETE FROM events WHERE id > ? AND id <= ? AND {_instant('stored_at')} < ?"  # noqa: S608
        " AND NOT EXISTS (SELECT 1 FROM states s WHERE s.event = events.event AND s.event_id = events.id)"
        " AND NOT EXISTS (SELECT 1 FROM notifications o WHERE o.event_id = events.id)",
        (after, until, before),
    )
    return connection.changes()


_OVER = f"""
SELECT o.id FROM notifications o WHERE o.id > ? AND o.id <= ? AND o.status != 'pending'
  AND {_instant("coalesce(o.ended_at, o.created_at)")} < ?
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.notification = o.id AND a.outcome IS NULL)
  AND NOT EXISTS (SELECT 1 FROM notifications f WHERE f.failure_of = o.id)
  AND NOT EXISTS (SELECT 1 FROM troubles t WHERE t.id = o.trouble AND t.status != 'ended')
  AND (o.held_by IS NULL OR o.held_by NOT IN (SELECT kind || ' ' || id FROM holds WHERE ended_at IS NULL))
"""  # noqa: S608 - our own names


def _remove_notifications(connection: apsw.Connection, after: int, until: int, before: int) -> int:
    """With their attempts. One whose failure was told stays until that notification has gone, on a later pass."""
    over = [(int(number),) for (number,) in connection.execute(_OVER, (after, until, before))]
    connection.executemany("DELETE FROM attempts WHERE notification = ?", over)
    connection.executemany("DELETE FROM notifications WHERE id = ?", over)
    return len(over)


_ENDED = (
    "DELETE FROM troubles WHERE id IN (SELECT id FROM troubles t WHERE status = 'ended' AND ended_at < ?1"
    " AND id < (SELECT max(id) FROM troubles)"
    " AND NOT EXISTS (SELECT 1 FROM notifications o WHERE o.trouble = t.id) LIMIT ?2)",
    "DELETE FROM holds WHERE id IN (SELECT id FROM holds h WHERE ended_at < ?1 AND id < (SELECT max(id) FROM holds)"
    " AND NOT EXISTS (SELECT 1 FROM notifications o WHERE o.held_by = h.kind || ' ' || h.id) LIMIT ?2)",
    "DELETE FROM acknowledgements WHERE id IN (SELECT id FROM acknowledgements WHERE ended_at < ?1"
    " AND id < (SELECT max(id) FROM acknowledgements) LIMIT ?2)",
    "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ended_at < ?1"
    " AND id < (SELECT max(id) FROM silences) LIMIT ?2)",
    # the last position of a log file that nothing came from for so long: it was rotated away
    "DELETE FROM streams WHERE id IN (SELECT id FROM streams WHERE kind = 'log' AND updated_at < ?1 LIMIT ?2)",
)


def _remove_ended(connection: apsw.Connection, history: int, rows: int) -> int:
    """What operators, damping and rotated files left behind, once it is as old as the history."""
    gone = 0
    for statement in _ENDED:
        connection.execute(statement, (history, rows))
        gone += connection.changes()
    return gone
