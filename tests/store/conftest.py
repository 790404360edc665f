"""Fixtures of the shared-disk tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from stores import lead, memory, move, one_process, open_accounts

from noroshi.store import schema
from noroshi.store.layout import Layout
from noroshi.store.writer import Writer


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: these tests fsync thousands of times and never cut the power."""
    with TemporaryDirectory(dir=memory(tmp_path)) as folder:
        yield Path(folder)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A shared directory whose leaders and readers are all in this process."""
    one_process(monkeypatch)
    return Layout(tmp_path)


@pytest.fixture
def old(layout: Layout) -> Iterator[Writer]:
    """A leader with the accounts in the database file, and one move from a to b in the log."""
    leader = lead(layout, "old")
    open_accounts(leader)
    assert leader.checkpoint_if_due(idle=True)
    move(leader, "a", "b")
    yield leader
    leader.close()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A plain connection to a database with the real schema."""
    made = apsw.Connection(str(tmp_path / "views.db"))
    schema.migrate(made)
    yield made
    made.close()


@pytest.fixture
def plans(connection: apsw.Connection) -> Iterator[list[str]]:
    """SQLite's own plan of every statement run on `connection` from now on, step by step."""
    steps: list[str] = []

    def explain(cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            plan = connection.cursor()
            plan.exec_trace = None
            steps.extend(str(row[3]) for row in plan.execute("EXPLAIN QUERY PLAN " + statement, bindings))  # type: ignore[arg-type]
        return True

    connection.exec_trace = explain
    yield steps
    connection.exec_trace = None
