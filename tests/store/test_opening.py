"""What a leader refuses to open: newer schemas, files that are not its database, a database somebody else has."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest
from stores import Say, identity, lead, open_accounts, running

from noroshi.store import writer
from noroshi.store.errors import DiskFailed, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held, read_lock
from noroshi.store.writer import Writer


def test_a_newer_schema_is_refused_without_raising_the_term(old: Writer, layout: Layout) -> None:
    with old.transaction() as connection:
        connection.execute("PRAGMA user_version=99")
    old.close()
    with pytest.raises(DiskFailed, match=r"schema is version 99.*update noroshi"):
        lead(layout, "outdated")
    assert read_lock(layout).term == 1  # type: ignore[union-attr]
    assert not is_held(layout)


def test_an_empty_file_is_not_taken_for_a_database(layout: Layout) -> None:
    layout.database.touch()
    with pytest.raises(DiskFailed, match="the file is empty, and nobody has led"):
        lead(layout)
    assert layout.database.exists()


def test_a_file_that_is_no_database_is_left_alone(layout: Layout) -> None:
    layout.database.write_bytes(b"precious" * 1000)
    with pytest.raises(DiskFailed):
        lead(layout)
    assert layout.database.read_bytes() == b"precious" * 1000


def test_a_database_open_elsewhere_on_this_host(tmp_path: Path) -> None:
    """An administrator's program, that has the database's own lock."""
    layout = Layout(tmp_path)
    with running(lambda say: found(layout)) as founder:
        assert founder.rest() == []
    program = f"""
import apsw, sys
connection = apsw.Connection({str(layout.database)!r}, vfs="unix-excl")
connection.pragma("locking_mode", "exclusive")
connection.execute("BEGIN IMMEDIATE")
print("open", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as administrator:
        assert administrator.stdout is not None
        assert administrator.stdout.readline() == "open\n"
        with pytest.raises(RoleTaken, match=r"open elsewhere.*only noroshi may open"):
            lead(layout)
        assert not is_held(layout)
        administrator.communicate("")


def found(layout: Layout) -> None:
    with lead(layout) as leader:
        open_accounts(leader)


def test_nobody_else_on_this_host_gets_in_while_we_lead(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with running(lambda say: found_and_hold(layout, say)) as child:
        assert child.line() == "ready"
        with pytest.raises(RoleTaken):
            writer.lead(layout, identity("db2"))
        connection = apsw.Connection(str(layout.database))
        with pytest.raises(apsw.BusyError):
            connection.execute("SELECT * FROM a").fetchall()
        connection.close()


def found_and_hold(layout: Layout, say: Say) -> None:
    with lead(layout) as leader:
        open_accounts(leader)
        say("ready")
        threading.Event().wait()
