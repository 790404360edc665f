"""The check in the background: finds damage, takes a busy database for what it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from stores import lead

from noroshi.store import checking
from noroshi.store.checking import check
from noroshi.store.connection import Connection
from noroshi.store.errors import ReadFailed
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.tables import events, logs, nodes
from noroshi.store.writer import Writer

LINES = 30_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database whose log is checked in pieces."""
    layout = Layout(tmp_path_factory.mktemp("filled"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noroshi.store.writer.VFS", "unix-none")
        with lead(layout) as leader:
            fill(leader, LINES)
            assert leader.checkpoint_if_due(idle=True)
    return layout.database.read_bytes()


def fill(leader: Writer, lines: int) -> None:
    with leader.transaction() as connection:
        node = nodes.node_id(connection, "db1")
        source = nodes.source_id(connection, node, "/var/log/app")
        logs.add_lines(connection, [(source, number, number, f"line {number}" * 5) for number in range(lines)])
        for number in range(300):
            what = {"event": f"app/{number}", "category": "user", "state": "ERROR", "supplement": "s"}
            event = events.add_event(connection, **what, node=node, observed_at=number, stored_at=number)
            events.set_state(connection, event)


@pytest.fixture
def there(filled: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(checking, "_PATIENCE", 0.1)
    layout = Layout(tmp_path)
    layout.database.write_bytes(filled)
    return layout


def test_a_sound_database_is_sound_also_in_small_pieces(there: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "BIG", 100)
    monkeypatch.setattr(checking, "_MOST", 150)
    pieces: list[None] = []
    assert check(there, lambda: pieces.append(None)) == ""
    assert len(pieces) > LINES / 150


def test_every_index_of_every_table_can_be_checked_in_pieces(there: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite refuses INDEXED BY where its planner cannot use the index."""
    monkeypatch.setattr(checking, "BIG", -1)
    tables = SharedReader(there).query(checking._tables)
    big = {table.name: table for table in tables if table.last is not None}
    assert {"logs", "events", "notifications", "attempts"} <= set(big)
    assert any(condition != "true" for table in big.values() for *_, condition in table.indexes)
    for table in big.values():
        SharedReader(there).query(lambda connection, table=table: checking._check_piece(connection, table, 0, 10))  # type: ignore[misc]


def test_a_row_that_an_index_lacks_is_found(there: Layout, layout: Layout) -> None:
    with lead(there) as leader:
        with leader.transaction() as connection:
            connection.execute("PRAGMA writable_schema=on")
            root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'logs_time'").get
            connection.execute("DELETE FROM sqlite_schema WHERE name = 'logs_time'")
        leader.checkpoint_if_due(idle=True)
    with lead(there) as leader:
        with leader.transaction() as connection:
            connection.execute("DELETE FROM logs WHERE id = 25000")
            row = (25000, 1, 77, 77, "not in the index")
            columns = "id, source, observed_at, stored_at, line"
            connection.execute(f"INSERT INTO logs ({columns}) VALUES (?, ?, ?, ?, ?)", row)
            connection.execute("PRAGMA writable_schema=on")
            sql = "CREATE INDEX logs_time ON logs (time)"
            connection.execute("INSERT INTO sqlite_schema VALUES ('index', 'logs_time', 'logs', ?, ?)", (root, sql))
        leader.checkpoint_if_due(idle=True)
    assert check(there) == "table logs: row 25000 is missing from index logs_time"


@pytest.mark.parametrize("seed", range(8))
def test_a_page_overwritten_anywhere_in_tables_or_indexes_is_found(there: Layout, seed: int) -> None:
    data = bytearray(there.database.read_bytes())
    page = random.Random(seed).randrange(60, len(data) // 4096)  # past the many tables of one page
    data[page * 4096 : page * 4096 + 4096] = random.Random(seed).randbytes(4096)
    there.database.write_bytes(data)
    assert check(there) != ""


def test_a_cut_file_is_found(there: Layout) -> None:
    there.database.write_bytes(there.database.read_bytes()[: 4096 * 100])
    assert check(there) != ""


def test_a_busy_database_is_checked_and_found_sound(
    there: Layout, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark changes between two pieces, and within each that is not small."""
    real, tried = checking._check_piece, []
    monkeypatch.setattr(checking, "_PATIENCE", 0.01)
    with lead(there) as leader:

        def work() -> None:
            with leader.transaction() as connection:
                logs.add_lines(connection, [(1, 1, 1, "busy" * 20)] * 20)
                connection.execute("DELETE FROM logs WHERE id = (SELECT max(id) - 100 FROM logs)")
            assert leader.checkpoint_if_due(idle=True)

        def disturbed(connection: Connection, table: checking._Table, after: int, rows: int) -> tuple[int | None, str]:
            tried.append(rows)
            if rows > 5000:
                work()
            return real(connection, table, after, rows)

        monkeypatch.setattr(checking, "_check_piece", disturbed)
        assert check(there, work) == ""
    assert min(tried) <= 5000 < max(tried)


def test_a_database_that_never_rests_is_an_error_and_no_damage(
    there: Layout, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "_PATIENCE", 0.01)
    with lead(there) as leader:

        def disturbed(*piece: object) -> tuple[int | None, str]:
            with leader.transaction() as connection:
                logs.add_lines(connection, [(1, 1, 1, "busy")])
            assert leader.checkpoint_if_due(idle=True)
            return None, "moving"

        monkeypatch.setattr(checking, "_check_piece", disturbed)
        with pytest.raises(ReadFailed, match="the database was changing"):
            check(there)
