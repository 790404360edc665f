"""Whether a database is sound, asked of one connection in one state."""

from __future__ import annotations

import apsw

from noroshi.store.schema import MIGRATIONS, UNTHINKABLE, migrate, version_of


def integrity(connection: apsw.Connection) -> str:
    """What SQLite finds wrong in the whole of it, and tables that are missing; empty where nothing is."""
    try:
        found = str(connection.pragma("integrity_check", 1))
        return missing_tables(connection) if found == "ok" else " ".join(found.split())
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return str(error)


def missing_tables(connection: apsw.Connection) -> str:
    """Tables that the schema's version has and the database has not, or what only a later one has; empty for neither.

    Nothing is said of versions that this program does not know.
    """
    version = version_of(connection)
    if not 0 <= version < UNTHINKABLE:
        return f"its schema says it is version {version}, which no program has made"
    if version > len(MIGRATIONS):
        return ""
    model = apsw.Connection(":memory:")
    migrate(model, version)
    wanted, then = _named(model, "table"), _named(model)
    migrate(model)
    later = _named(model) - then
    model.close()
    if lost := wanted - _named(connection, "table"):
        return f"tables are missing: {', '.join(sorted(lost))}"
    if early := later & _named(connection):
        return f"its schema says it is version {version}, and it has of a later one: {', '.join(sorted(early))}"
    return ""


def _named(connection: apsw.Connection, kind: str = "") -> set[str]:
    """The names of its tables; or of its tables, indexes and columns."""
    named = {
        str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE ?1 IN ('', type)", (kind,))
    }
    return named if kind else named | _columns(connection)


def _columns(connection: apsw.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
    )
    return {str(name) for (name,) in rows}
