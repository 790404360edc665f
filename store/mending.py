"""Text that is no UTF-8, as a bad disk leaves it: SQLite takes any bytes for text, so neither its check nor a look at
the schema finds it, and no query that meets it can be answered.

Role: what the leader needs to lead is mended, each byte that cannot be read becoming U+FFFD, and told; what only people
read (old events, lines of the shared log) is left. What else may stand in a row is values.py's.
"""

from __future__ import annotations

from contextlib import suppress

import apsw

_TOLD = """SELECT id FROM notifications WHERE status = 'pending'
  OR id IN (SELECT notification FROM attempts WHERE outcome IS NULL)
  OR trouble IN (SELECT id FROM troubles WHERE status != 'ended')
  OR held_by IN (SELECT kind || ' ' || id FROM holds WHERE ended_at IS NULL)"""
_OF = f"SELECT {{}} FROM notifications WHERE id IN ({_TOLD})"  # noqa: S608 - our own text
_NEEDED = {
    "attempts": f"WHERE notification IN ({_TOLD})",
    "events": f"WHERE id IN (SELECT event_id FROM states UNION {_OF.format('event_id')})",  # noqa: S608
    "logs": f"WHERE id IN ({_OF.format('log_id')})",
    "notifications": f"WHERE id IN ({_TOLD})",
}
"""Of the tables that grow, the rows behind what is now so, being told, or not over yet; of all others every row."""


def mend_text(connection: apsw.Connection) -> list[str]:
    """Mend it inside a transaction of the caller's; `table.column`, where there was something to mend."""
    connection.create_scalar_function("broken", _broken, 1, deterministic=True)  # type: ignore[arg-type]
    connection.create_scalar_function("mended", _mended, 1, deterministic=True)  # type: ignore[arg-type]
    names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [
        f"{table}.{column}"
        for table in names
        for column in _columns(connection, table)
        if _mend(connection, table, column)
    ]


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")') if row[2] in ("TEXT", "")]


def _mend(connection: apsw.Connection, table: str, column: str) -> bool:
    where = _NEEDED.get(table, "WHERE true")
    connection.execute(
        f'UPDATE "{table}" SET "{column}" = mended(CAST("{column}" AS BLOB))'  # noqa: S608 - names of our own schema
        f' {where} AND typeof("{column}") = \'text\' AND broken(CAST("{column}" AS BLOB))'
    )
    return connection.changes() > 0


def _broken(value: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        value.decode()
        return False
    return True


def _mended(value: bytes) -> str:
    return value.decode(errors="replace")
