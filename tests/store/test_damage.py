"""A damaged database: noticed, checked by the next leader, kept aside, another begun; no reader sees parts of two."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from stores import balances, checked, die_after, drop_lock, forget, lead, look_at, move, open_accounts

from noroshi.node.probe.place import locate
from noroshi.store import backup, damage, takeover
from noroshi.store.backup import backups, write_automatic, write_backup
from noroshi.store.damage import Story, story
from noroshi.store.errors import Damaged, DiskFailed, DiskFull, NoDatabase, NoroshiError, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.mark import read_mark
from noroshi.store.reader import SharedReader
from noroshi.store.writer import Writer

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def impatient(monkeypatch: Patch) -> None:
    """This disk shows the same at every reading."""
    monkeypatch.setattr(damage, "PATIENCE", 0.05)
    monkeypatch.setattr(takeover, "_PATIENCE", 0.05)


@pytest.fixture
def damaged(old: Writer, layout: Layout) -> Layout:
    """A database with everything in its file; then nobody leads."""
    assert old.checkpoint_if_due(idle=True)
    old.close()
    return layout


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def stub(path: Path) -> None:
    os.truncate(path, 60)


def garbage(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage!" * 512)


def schema(path: Path) -> None:
    """The page with the tables' descriptions, past the header of the file."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(3000))


def renamed(path: Path) -> None:
    """One flipped bit in a table's name: SQLite itself finds nothing wrong."""
    data = path.read_bytes()
    assert b"tablelogslogs" in data
    path.write_bytes(data.replace(b"tablelogslogs", b"tablelmgslogs").replace(b"TABLE logs", b"TABLE lmgs"))


def lead_on(layout: Layout, node: str = "new", tries: int = 3) -> Writer:
    """As a candidate does: a take-over that meets damage is followed by another."""
    for _ in range(tries):
        try:
            return lead(layout, node)
        except Damaged:
            assert read_mark(layout.mark).mark.suspect  # type: ignore[union-attr]
    raise AssertionError(f"damaged {tries} times")


def told(leader: Writer) -> Story:
    found = leader.read(story)
    assert found is not None
    return found


def versioned(number: int) -> Callable[[Path], None]:
    """The schema's version in the header of the file, which SQLite does not look at."""

    def harm(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(60)
            file.write(number.to_bytes(4, "big"))

    return harm


@pytest.mark.parametrize(
    "harm",
    [
        cut,
        empty,
        stub,
        garbage,
        schema,
        renamed,
        versioned(0),
        versioned(1),
        versioned(3),
        versioned(4 + 2**20),
        versioned(2**31),
        Path.unlink,
    ],
)
def test_a_take_over_meets_damage_and_begins_from_the_backup(
    old: Writer, layout: Layout, harm: Callable[[Path], None]
) -> None:
    layout.backup.parent.mkdir()
    write_backup(layout, layout.backup)
    move(old, "a", "b")
    assert old.checkpoint_if_due(idle=True)
    old.close()
    harm(layout.database)
    harmed = layout.database.read_bytes() if layout.database.exists() else b""
    with lead_on(layout) as leader:
        assert leader.term > 1
        assert leader.read(checked).serial == 1
        assert look_at(layout).serial == 1
        found = told(leader)
        assert (found.backup, found.why != "") == ("noroshi.db", True)
        move(leader, "b", "c")
        assert leader.unsettled == ()
        assert leader.checkpoint_if_due(idle=True)
        assert not read_mark(layout.mark).mark.suspect  # type: ignore[union-attr]
    if harmed:
        assert (layout.shared / found.aside).read_bytes() == harmed
    with lead(layout, "next") as leader:
        assert leader.read(checked).serial == 2
    assert not list(layout.shared.glob("*.take-*"))


def test_without_a_backup_an_empty_one_is_begun(damaged: Layout) -> None:
    garbage(damaged.database)
    with lead_on(damaged) as leader:
        assert leader.read(lambda connection: connection.execute("SELECT count(*) FROM terms").get) == 1
        assert told(leader).backup == ""
        assert "begun empty" in str(told(leader))


def test_damage_met_at_work_is_left_to_the_next_leader_with_the_log(old: Writer, layout: Layout) -> None:
    assert old.checkpoint_if_due(idle=True)
    acknowledged = move(old, "b", "c")
    with pytest.raises(Damaged, match="begins from the last backup"), old.transaction():
        raise apsw.CorruptError("seen")
    with pytest.raises(Damaged), old.transaction():
        raise AssertionError("nothing may be written any more")
    garbage(layout.database)
    log = layout.wal.read_bytes()
    old.close()
    with lead(layout, "new") as leader:
        found = told(leader)
    assert (layout.shared / f"{found.aside}-wal").read_bytes() == log
    assert acknowledged == 2


def test_a_false_alarm_sets_nothing_aside(old: Writer, layout: Layout) -> None:
    with pytest.raises(Damaged):
        old.suspect("a bit fell over in this node's memory")
    old.close()
    with lead(layout, "new") as leader:
        assert leader.read(checked).serial == 1
        assert leader.read(story) is None
    assert not list(layout.shared.glob("*.damaged-*"))
    assert not read_mark(layout.mark).mark.suspect  # type: ignore[union-attr]


def test_a_suspicion_within_a_transaction_ends_it_too(old: Writer) -> None:
    with pytest.raises(ValueError, match="mine"), old.transaction() as connection:
        connection.execute("UPDATE a SET v = 100")
        with pytest.raises(Damaged):
            old.suspect("a bit fell over in this node's memory")
        raise ValueError("mine")
    assert not connection.in_transaction


def test_a_suspicion_of_a_deposed_leader_is_not_heard(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    """It writes to a mark that nobody reads any more."""
    drop_lock(layout)
    with lead(layout, "new"):
        with pytest.raises(Damaged):
            old.suspect("late")
        assert not read_mark(layout.mark).mark.suspect  # type: ignore[union-attr]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_backup_made_by_root_belongs_to_who_owns_the_shared_directory(old: Writer, layout: Layout) -> None:
    os.chown(layout.shared, 1234, 1234)
    done = write_automatic(layout, 2)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (done.path, done.path.parent)} == {(1234, 1234)}
    assert done.path.stat().st_mode & 0o077 == 0
    os.chown(layout.shared, 0, 0)


@pytest.mark.parametrize("place", ["missing/backup.db", "file/backup.db"])
def test_a_place_where_no_backup_can_be_is_said_at_once(damaged: Layout, tmp_path: Path, place: str) -> None:
    """Not after the minute in which reading is tried again, and not as trouble with reading."""
    (tmp_path / "file").touch()
    began = time.monotonic()
    with pytest.raises(NoroshiError, match=r"cannot write the backup .*/backup.db.*name a file in a directory"):
        write_backup(damaged, tmp_path / place)
    assert time.monotonic() - began < backup._PATIENCE / 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_place_that_fills_up_is_said_at_once(old: Writer, layout: Layout) -> None:
    """On the way, where reading would be tried again for a minute."""
    small = layout.shared / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "noroshi-test", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        began = time.monotonic()
        with pytest.raises(DiskFull, match=r"cannot write the backup .*/small/backup.db.*free space there"):
            write_backup(layout, small / "backup.db")
        assert time.monotonic() - began < backup._PATIENCE / 2
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_place_that_breaks_is_said_at_once(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    def broken(name: str, *arguments: object) -> Iterator[None]:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(backup, "_open", broken)
    began = time.monotonic()
    with pytest.raises(DiskFailed, match=r"cannot write the backup"):
        write_backup(layout, layout.shared / "backup.db")
    assert time.monotonic() - began < backup._PATIENCE / 2


def test_a_backup_that_cannot_be_read_is_passed_over(damaged: Layout) -> None:
    good, bad = damaged.backup.with_name("noroshi-1.db"), damaged.backup.with_name("noroshi-2.db")
    good.parent.mkdir()
    write_backup(damaged, good)
    bad.mkdir()  # as unreadable to root as another's file is to others
    empty(damaged.database)
    with lead_on(damaged) as leader:
        assert leader.read(checked).serial == 1
        assert told(leader).backup == good.name


def test_a_name_in_the_directory_for_backups_that_leads_nowhere(damaged: Layout) -> None:
    """A link to a disk that is not mounted now, or a file that another node removes at this moment."""
    damaged.backup.parent.mkdir()
    damaged.backup.with_name("noroshi-offsite.db").symlink_to("/nowhere/noroshi.db")
    write_backup(damaged, damaged.backup)
    assert backups(damaged) == [damaged.backup]
    empty(damaged.database)
    with lead_on(damaged) as leader:
        assert leader.read(checked).serial == 1


def test_a_damaged_backup_is_passed_over(damaged: Layout) -> None:
    good, bad = damaged.backup.with_name("noroshi-1.db"), damaged.backup.with_name("noroshi-2.db")
    good.parent.mkdir()
    for file in (good, bad):
        write_backup(damaged, file)
    garbage(bad)
    garbage(damaged.database)
    with lead_on(damaged) as leader:
        assert leader.read(checked).serial == 1
        assert told(leader).backup == good.name


def test_a_paused_former_leader_does_no_harm_to_the_new_database(
    old: Writer, layout: Layout, monkeypatch: Patch
) -> None:
    move(old, "a", "c")
    garbage(layout.database)
    monkeypatch.setattr(takeover, "has_ended", lambda owner: False)
    drop_lock(layout)
    with lead_on(layout) as leader:
        open_accounts(leader)
        move(leader, "a", "b")
        assert leader.unsettled == ()
        assert leader.checkpoint_if_due(idle=True)
        with pytest.raises(NoroshiError):
            move(old, "a", "c")
        with pytest.raises(NoroshiError):
            old.checkpoint_if_due(idle=True)
        old._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        assert leader.read(checked).serial == 1


def test_a_candidate_that_wakes_up_late_takes_no_sound_database_away(damaged: Layout, monkeypatch: Patch) -> None:
    """It found damage, was paused before it took the file away; its successor has begun anew meanwhile."""
    keep = damage.keep_aside

    def paused(layout: Layout) -> str:
        name = keep(layout)
        monkeypatch.setattr(damage, "keep_aside", keep)
        drop_lock(layout)
        with lead_on(layout, "successor") as leader:
            open_accounts(leader)
            move(leader, "a", "b")
        return name

    empty(damaged.database)
    monkeypatch.setattr(damage, "keep_aside", paused)
    with pytest.raises(RoleTaken):
        lead(damaged, "late")
    assert look_at(damaged).serial == 1


def test_a_candidate_that_wakes_up_late_leaves_the_sound_database_one_name(damaged: Layout, monkeypatch: Patch) -> None:
    """Paused just before it gives the damaged one a second name: by then it is the successor's that has the name."""
    keep = damage.keep_aside

    def late(layout: Layout) -> str:
        monkeypatch.setattr(damage, "keep_aside", keep)
        drop_lock(layout)
        with lead_on(layout, "successor") as leader:
            open_accounts(leader)
            move(leader, "a", "b")
        return keep(layout)

    empty(damaged.database)
    monkeypatch.setattr(damage, "keep_aside", late)
    with pytest.raises(RoleTaken):
        lead(damaged, "late")
    assert look_at(damaged).serial == 1
    assert damaged.database.stat().st_nlink == 1
    assert damaged.kept_aside() == []


def test_what_is_kept_aside_is_counted_and_stays(old: Writer, layout: Layout) -> None:
    """However often it happens."""
    assert old.checkpoint_if_due(idle=True)
    move(old, "a", "b")
    old.close()
    names: list[str] = []
    for _ in range(3):
        garbage(layout.database)
        with lead_on(layout) as leader:
            names.append(told(leader).aside)
            open_accounts(leader)
            assert leader.checkpoint_if_due(idle=True)
            move(leader, "a", "b")
    kept = layout.kept_aside()
    assert [path.name for path in kept if not path.name.endswith("-wal")] == names
    located = locate(layout.shared)
    assert (located.aside, located.aside_newest) == (len(kept), kept[-1].name)
    assert located.aside_size == sum(path.stat().st_size for path in kept)


STEPS = ["keep_aside", "new_file", "copy_wal", "install_mark", "create_database"]


@pytest.mark.parametrize("step", STEPS)
def test_a_candidate_that_dies_after_any_step_is_followed_by_one_that_ends_it(
    old: Writer, layout: Layout, monkeypatch: Patch, step: str
) -> None:
    layout.backup.parent.mkdir()
    write_backup(layout, layout.backup)
    assert old.checkpoint_if_due(idle=True)
    forget(old)
    schema(layout.database)
    harmed = layout.database.read_bytes()
    with pytest.raises(Damaged):
        lead(layout)
    die_after(monkeypatch, damage if step == "keep_aside" else takeover, step, layout)
    with lead(layout, "new") as leader:
        found = told(leader)
        assert leader.read(checked).serial == 1
        assert found.backup == "noroshi.db"
    assert (layout.shared / found.aside).read_bytes() == harmed


def test_readers_see_the_old_one_none_or_the_new_one_whole(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    """A reader in each gap between the steps, whose look at the log came before and at the database after a step."""
    layout.backup.parent.mkdir()
    write_backup(layout, layout.backup)
    for _ in range(5):
        acknowledged = move(old, "a", "b")
    forget(old)
    seen: set[int | None] = set()

    def read() -> None:
        try:
            found = SharedReader(layout).query(balances, timeout=0.01)
        except NoDatabase:
            seen.add(None)
        except NoroshiError:
            return
        else:
            assert found.whole
            seen.add(found.serial)

    reading = threading.Event()
    stopped = threading.Event()

    def keep_reading() -> None:
        while not stopped.is_set():
            read()
            reading.set()

    for name in ("new_file", "copy_wal", "install_mark", "create_database"):
        real = getattr(takeover, name)

        def between(*arguments: object, real: Callable[..., object] = real) -> object:
            read()
            result = real(*arguments)
            read()
            return result

        monkeypatch.setattr(takeover, name, between)
    monkeypatch.setattr(damage, "judge", lambda layout, led_before: "for the test")
    thread = threading.Thread(target=keep_reading)
    thread.start()
    try:
        reading.wait(5)
        with lead(layout, "new") as leader:
            read()
            assert leader.read(checked).serial == 1
    finally:
        stopped.set()
        thread.join()
    assert seen == {acknowledged, None, 1}


def test_a_backup_that_somebody_named_is_neither_removed_nor_counted(old: Writer, layout: Layout) -> None:
    layout.backup.parent.mkdir()
    named = [layout.backup.with_name(name) for name in ("noroshi-1.db", "noroshi-before-upgrade.db", "noroshi-x.db")]
    for path in named:
        write_backup(layout, path)
    made = [write_automatic(layout, 2).path for _ in range(3)]
    assert sorted(backups(layout)) == sorted([*named, *made[1:]])


def test_automatic_backups_keep_so_many(old: Writer, layout: Layout, monkeypatch: Patch) -> None:
    stray = layout.backup.parent / ".noroshi-1.db.part-1"
    for _ in range(4):
        done = write_automatic(layout, 2)
        stray.touch()
        os.utime(stray, (1, 1))
    write_backup(layout, layout.backup)
    write_automatic(layout, 2)
    names = [path.name for path in backups(layout)]
    assert len(names) == 3
    assert names[1] == "noroshi.db"
    assert done.path.name in names
    assert not stray.exists()
    monkeypatch.setattr("noroshi.store.backup.ROOM_LEFT", 1 << 60)
    with pytest.raises(NoroshiError, match=r"no room for a backup.*retention"):
        write_automatic(layout, 2)
    assert len(backups(layout)) == 3
