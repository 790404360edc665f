"""Whether a database is sound, asked of one connection in one state."""

from __future__ import annotations

import apsw

from noroshi.store.schema import MIGRATIONS, migrate, version_of


def integrity(connection: apsw.Connection) -> str:
    """What SQLite finds wrong in the whole of it, and tables that are missing; empty where nothing is."""
    try:
        found = str(connection.pragma("integrity_check", 1))
        return missing_tables(connection) if found == "ok" else " ".join(found.split())
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return str(error)


def missing_tables(connection: apsw.Connection) -> str:
    """Tables that the schema's version has and the database has not; nothing for other versions."""
    if version_of(connection) != len(MIGRATIONS):
        return ""
    model = apsw.Connection(":memory:")
    migrate(model)
    wanted = _tables(model)
    model.close()
    lost = sorted(wanted - _tables(connection))
    return f"tables are missing: {', '.join(lost)}" if lost else ""


def _tables(connection: apsw.Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
