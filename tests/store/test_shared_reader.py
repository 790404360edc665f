"""The shared reader: every phase of the mark, every state of the files, and what it must never do."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from stores import (
    Say,
    Seen,
    balances,
    checked,
    drop_lock,
    kept_and_dropped,
    lead,
    look_at,
    move,
    open_accounts,
    running,
)
from waiting import Stopwatch

from noroshi.store import mark, reader, vfs, writer_checkpoint
from noroshi.store.errors import NoDatabase, ReadFailed
from noroshi.store.layout import Layout
from noroshi.store.lock import is_held, read_lock
from noroshi.store.mark import Phase
from noroshi.store.reader import NewerSchema, SharedReader
from noroshi.store.writer import Writer

Patch = pytest.MonkeyPatch
STEPS = writer_checkpoint.STEPS


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_every_state_of_a_checkpoint_can_be_read(old: Writer, layout: Layout, steps: int) -> None:
    for step in STEPS[:steps]:
        getattr(old._checkpoint, step)()
    assert SharedReader(layout).query(checked, timeout=0) == Seen((-1, 1, 0), 1)


@pytest.mark.parametrize("steps", range(1, len(STEPS) + 1))
def test_a_mark_that_changes_meanwhile_costs_one_more_attempt(old: Writer, layout: Layout, steps: int) -> None:
    attempts = []

    def read(connection: apsw.Connection) -> Seen:
        attempts.append(1)
        if len(attempts) == 1:
            for step in STEPS[:steps]:
                getattr(old._checkpoint, step)()
        return balances(connection)

    assert SharedReader(layout).query(read) == Seen((-1, 1, 0), 1)
    assert len(attempts) == 2


def test_a_reading_begins_again_at_once_and_only_then_waits(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    attempts, pauses = [], []

    def read(connection: apsw.Connection) -> Seen:
        attempts.append(1)
        if len(attempts) < 5:
            old._role.mark.enter(Phase.NORMAL)
        return balances(connection)

    monkeypatch.setattr(reader.time, "sleep", pauses.append)
    assert SharedReader(layout).query(read) == Seen((-1, 1, 0), 1)
    assert pauses == [0.0, 0.001, 0.002, 0.004]


def test_a_mark_that_never_rests_is_a_clear_error_within_the_bound(old: Writer, layout: Layout) -> None:
    with (
        Stopwatch() as watch,
        pytest.raises(ReadFailed, match=r"the database was changing, after \d+ attempts in 0.2 s"),
    ):
        SharedReader(layout).query(lambda connection: old._checkpoint.mark_copying(), timeout=0.2)
    assert watch.seconds < 1


@pytest.mark.parametrize("log", [None, b"", b"\0" * 5000, os.urandom(9000)], ids=["none", "empty", "zeros", "noise"])
def test_a_log_that_is_missing_empty_or_no_log_at_all(old: Writer, layout: Layout, log: bytes | None) -> None:
    old.checkpoint_if_due(idle=True)
    layout.wal.unlink()
    if log is not None:
        layout.wal.write_bytes(log)
    assert SharedReader(layout).query(checked, timeout=0) == Seen((-1, 1, 0), 1)


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "flipped", "foreign"])
def test_a_damaged_mark_counts_as_copying_and_is_compared_all_the_same(
    old: Writer, layout: Layout, damage: str
) -> None:
    raw = layout.mark.read_bytes()
    damaged = {
        "missing": None,
        "empty": b"",
        "short": raw[:100],
        "flipped": raw.replace(b'"counter":3', b'"counter":2'),
        "foreign": b"something else\n",
    }[damage]
    layout.mark.unlink()
    if damaged is not None:
        layout.mark.write_bytes(damaged)
    assert mark.read_mark(layout.mark).phase is Phase.UNKNOWN
    assert SharedReader(layout).query(checked, timeout=0) == Seen((-1, 1, 0), 1)
    first = [lambda: layout.mark.write_bytes(raw)]

    def read(connection: apsw.Connection) -> Seen:
        while first:
            first.pop()()
        return balances(connection)

    with pytest.raises(ReadFailed, match="changing"):
        SharedReader(layout).query(read, timeout=0)


def test_an_unreadable_mark_is_tried_again(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    failures = [OSError(116, "Stale file handle"), OSError(5, "Input/output error")]
    read = reader.read_mark

    def failing(path: Path) -> mark.SeenMark:
        if failures:
            raise failures.pop()
        return read(path)

    monkeypatch.setattr(reader, "read_mark", failing)
    assert look_at(layout).serial == 1


@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), apsw.CorruptError("x"), apsw.IOError("x")])
def test_errors_of_a_moving_disk_are_tried_again(old: Writer, layout: Layout, error: Exception) -> None:
    errors = [error]

    def read(connection: apsw.Connection) -> Seen:
        if errors:
            raise errors.pop()
        return balances(connection)

    assert SharedReader(layout).query(read).serial == 1


def test_no_database_yet(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").touch()
    with pytest.raises(NoDatabase, match="start a node"):
        SharedReader(Layout(tmp_path)).query(balances)
    with pytest.raises(NoDatabase, match="is the shared disk mounted"):
        SharedReader(Layout(tmp_path / "not" / "there")).query(balances)
    (tmp_path / "noroshi.db").touch()
    with pytest.raises(NoDatabase):
        SharedReader(Layout(tmp_path)).query(balances)


def test_a_newer_schema_is_named_at_once(old: Writer, layout: Layout) -> None:
    with old.transaction() as connection:
        connection.execute("PRAGMA user_version=99")
    with (
        Stopwatch() as watch,
        pytest.raises(NewerSchema, match=r"schema is version 99, this program knows \d.*update noroshi"),
    ):
        SharedReader(layout).query(balances)
    assert watch.seconds < 1


def test_a_statement_an_older_schema_cannot_answer(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    monkeypatch.setattr(reader, "MIGRATIONS", (*reader.MIGRATIONS, reader.MIGRATIONS[0]))
    assert look_at(layout).serial == 1
    with pytest.raises(ReadFailed, match="older than this program's"):
        SharedReader(layout).query(lambda connection: connection.execute("SELECT * FROM to_come"))


@pytest.mark.parametrize("error", [ValueError("mine"), apsw.SQLError("no such table"), KeyboardInterrupt()])
def test_the_functions_own_errors_pass_at_once(old: Writer, layout: Layout, error: BaseException) -> None:
    calls = []

    def fail(connection: apsw.Connection) -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        SharedReader(layout).query(fail)
    assert len(calls) == 1


def test_an_error_seen_on_a_changing_database_is_not_the_functions(old: Writer, layout: Layout) -> None:
    def fail_once(connection: apsw.Connection) -> Seen:
        if old.wal_size:
            old.checkpoint_if_due(idle=True)
            raise ValueError("made of two moments")
        return balances(connection)

    assert SharedReader(layout).query(fail_once).serial == 1


def test_a_damaged_database_is_a_clear_error(old: Writer, layout: Layout) -> None:
    old.checkpoint_if_due(idle=True)
    layout.database.write_bytes(b"garbage!" * 8192)
    with pytest.raises(ReadFailed, match="not a database"):
        SharedReader(layout).query(balances, timeout=0.1)


@pytest.mark.parametrize("sql", ["INSERT INTO a VALUES (1)", "CREATE TABLE x (y)", "PRAGMA user_version=7"])
def test_nothing_can_be_written(old: Writer, layout: Layout, sql: str) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        SharedReader(layout).query(lambda connection: connection.execute(sql))
    assert look_at(layout).serial == 1


def test_whatever_sqlite_asks_for_no_file_is_touched(old: Writer, layout: Layout) -> None:
    """It does ask, by version and settings: a plain read-only connection deletes an empty log as it closes."""
    database = vfs.BlockFile(layout.database)
    try:
        for file in (vfs.MemoryFile(b"log"), database):
            with pytest.raises(apsw.ReadOnlyError):
                file.xWrite(b"x", 0)
            with pytest.raises(apsw.ReadOnlyError):
                file.xTruncate(0)
        with pytest.raises(apsw.ReadOnlyError):
            vfs._vfs.xDelete(str(layout.wal), False)
        with pytest.raises(apsw.CantOpenError):
            vfs._vfs.xOpen(str(layout.wal), [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0])
    finally:
        database.xClose()
    assert look_at(layout).serial == 1


@kept_and_dropped
def test_a_sort_that_spills_stays_in_memory(old: Writer, layout: Layout, monkeypatch: Patch, dropped: bool) -> None:
    if dropped:
        monkeypatch.setattr(vfs, "_BEGIN", vfs._BEGIN.replace("temp_store=memory", "temp_store=file"))

    def sort(connection: apsw.Connection) -> int:
        connection.pragma("cache_size", 10)
        rows = connection.execute(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
            " SELECT hex(randomblob(100)) AS r FROM n ORDER BY r"
        )
        return len(rows.fetchall())

    if dropped:
        with pytest.raises(ReadFailed, match="the database and its log only"):
            SharedReader(layout).query(sort, timeout=0)
    else:
        assert SharedReader(layout).query(sort) == 20000


def test_reading_leaves_no_trace(old: Writer, layout: Layout) -> None:
    def trace() -> list[tuple[str, int, int, int]]:
        found = [(path.name, path.stat()) for path in sorted(layout.shared.iterdir())]
        return [(name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found]

    before, descriptors = trace(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        look_at(layout)
        with pytest.raises(ValueError, match="mine"):
            SharedReader(layout).query(failing)
    assert trace() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def failing(connection: apsw.Connection) -> None:
    raise ValueError("mine")


def test_no_descriptor_is_left_where_there_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "noroshi.db").write_bytes(b"not SQLite's" * 1000)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(ReadFailed):
            SharedReader(Layout(tmp_path)).query(balances, timeout=0)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_the_database_is_crossed_in_few_and_big_reads(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    with old.transaction() as connection:
        connection.execute("CREATE TABLE big (v TEXT)")
        connection.executemany("INSERT INTO big VALUES (?)", [(f"{number:0100d}",) for number in range(20_000)])
    old.checkpoint_if_due(idle=True)
    reads: list[int] = []
    read_at = vfs.read_at

    def counted(descriptor: int, amount: int, offset: int) -> bytes:
        reads.append(amount)
        return read_at(descriptor, amount, offset)

    monkeypatch.setattr(vfs, "read_at", counted)
    total = SharedReader(layout).query(lambda connection: connection.execute("SELECT count(v || '') FROM big").get)
    assert total == 20_000
    assert min(reads) >= 64 * 1024
    assert len(reads) <= layout.database.stat().st_size // vfs.BLOCK + 1


def test_a_long_scan_keeps_a_bounded_number_of_blocks(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    monkeypatch.setattr(vfs, "_BLOCKS", 2)
    assert SharedReader(layout).query(checked).serial == 1


def test_the_fingerprint_changes_with_every_commit_and_only_then(old: Writer, layout: Layout) -> None:
    shared = SharedReader(layout)
    prints = [shared.fingerprint()]
    assert shared.fingerprint() == prints[0]
    move(old, "a", "b")
    prints.append(shared.fingerprint())
    old.checkpoint_if_due(idle=True)
    prints.append(shared.fingerprint())
    drop_lock(layout)
    with lead(layout, "new"):
        prints.append(shared.fingerprint())
    assert len({hash(value) for value in prints}) == 4
    assert SharedReader(Layout(layout.shared / "none")).fingerprint() == (None, None, None)


def test_the_process_that_writes_must_not_open_the_database(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with lead(layout) as leader:
        open_accounts(leader)
        with pytest.raises(RuntimeError, match="drop SQLite's lock"):
            look_at(layout)
        with pytest.raises(RuntimeError, match="drop SQLite's lock"):
            SharedReader(layout).fingerprint()
        assert leader.read(balances).serial == 0
    assert look_at(layout).serial == 0


def test_threads_may_share_a_reader(tmp_path: Path) -> None:
    """Four threads read while another process commits and checkpoints."""
    layout, wrong = Layout(tmp_path), []
    with running(lambda say: commits_for_ever(layout, say)) as child:
        assert child.line() == "ready"
        shared, end = SharedReader(layout), time.monotonic() + 0.7

        def read() -> None:
            last = 0
            while time.monotonic() < end:
                seen = shared.query(balances)
                if not seen.whole or seen.serial < last:
                    wrong.append(seen)
                last = seen.serial

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def commits_for_ever(layout: Layout, say: Say) -> None:
    with lead(layout) as leader:
        open_accounts(leader)
        say("ready")
        due = 0.0
        for turn in range(10**9):
            move(leader, "abc"[turn % 3], "abc"[(turn + 1) % 3])
            time.sleep(0.001)  # four threads share one interpreter: they must come to read what was written meanwhile
            idle = time.monotonic() >= due
            if leader.checkpoint_if_due(idle=idle):
                due = time.monotonic() + 0.025


# ---- with read permission only


@pytest.fixture
def open_disk() -> Iterator[Layout]:
    """A shared directory everybody may read, led by another process that stays alive."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        layout = Layout(Path(directory))
        with running(lambda say: holds(layout, say)) as child:
            assert child.line() == "ready"
            yield layout


def holds(layout: Layout, say: Say) -> None:
    with lead(layout) as leader:
        open_accounts(leader)
        move(leader, "a", "b")
        say("ready")
        threading.Event().wait()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user or to mount")


@pytest.mark.root
@needs_root
def test_another_user_with_read_permission(open_disk: Layout) -> None:
    def as_nobody(say: Say) -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        assert not os.access(open_disk.database, os.W_OK)
        say(look_at(open_disk).serial)
        say(reader_of_the_lock(open_disk))

    with running(as_nobody) as child:
        assert child.rest() == ["1", "True db1 1"]


def reader_of_the_lock(layout: Layout) -> str:
    record = read_lock(layout)
    assert record is not None
    return f"{is_held(layout)} {record.node} {record.term}"


@pytest.mark.root
@needs_root
def test_a_read_only_mount(open_disk: Layout, tmp_path: Path) -> None:
    bind = tmp_path / "read-only"
    bind.mkdir()
    mounted = subprocess.run(["mount", "--bind", str(open_disk.shared), str(bind)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(bind)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (bind / "x").touch()
        assert look_at(Layout(bind)).serial == 1
        assert reader_of_the_lock(Layout(bind)) == "True db1 1"
        assert SharedReader(Layout(bind)).fingerprint() is not None
    finally:
        subprocess.run(["umount", str(bind)], check=True)
