"""A damaged database: how a candidate makes sure of it, keeps it aside, and what it begins with in its place.

Role: the judgement and the files; takeover.py puts the steps in order.
Rules:
- A leader that meets damage says so in its mark and ends. Nobody's word alone sets a database aside: the next
  candidate reads the whole of it, afresh. What is empty or gone needs no second look.
- Nothing is deleted: database and log get a second name first. `sqlite3 FILE .recover` takes such a pair. They stay
  until an operator removes them; `noroshi doctor` counts them.
- For readers the exchange is: old pair, then no database (an empty file), then the new log, then the new mark, then the
  new database. So no reading that holds has seen parts of both.
- An empty file replaces the database by a rename that fails for a candidate that was overtaken (takeover.py). A former
  leader that still lives writes to the file kept aside, which hurts nobody.
- The story is written into the new database before it gets its name, so that it is told even when this leader dies
  before its first commit.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

import apsw
import msgspec

from noroshi.store.backup import backups, restore
from noroshi.store.clock import now_us, stamp, to_iso
from noroshi.store.disk import FULL, disk_error, read_fresh, sync_directory
from noroshi.store.errors import DamagedRead, DiskFailed, NoDatabase, ReadFailed
from noroshi.store.layout import Layout
from noroshi.store.mark import read_mark
from noroshi.store.reader import SharedReader
from noroshi.store.soundness import integrity
from noroshi.store.tables import meta
from noroshi.store.takeover_create import build, change_made

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds for which a damaged database is read again, should it only seem so."""
BEGUN = "begun"
"""The key in `meta` of the last Story."""
CUT = "cut_told"
"""The key in `meta` of the file in which the last log is kept that was cut short and told of."""


class Story(msgspec.Struct, frozen=True):
    """How this database began after another one was lost. Instants in microseconds UTC, 0 where there is none.

    `aside`: the file the damaged one is kept in; `backup`: what was begun from; both empty where there is none.
    """

    why: str
    at: int
    aside: str = ""
    backup: str = ""
    taken_at: int = 0
    cut: bool = False
    """It went on, without what was committed last; `aside` is its log."""

    def __str__(self) -> str:
        if self.cut:
            return f"{self.why}; kept as {self.aside}; it goes on without them, unless their node still had them"
        kept = f"kept as {self.aside}" if self.aside else "nothing of it is left"
        begun = f"begun from {self.backup}, last written {to_iso(self.taken_at)}" if self.backup else "begun empty"
        return f"{self.why}; {kept}; {begun}; what came since is missing unless its node still had it"


def story(connection: apsw.Connection) -> Story | None:
    """How this database began, None where it was not after a loss."""
    found = meta.get(connection, BEGUN)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=Story)
    except msgspec.DecodeError as error:
        return Story(f"what is written of its loss cannot be read ({error})", 0)


# --- making sure ----------------------------------------------------------------------------------------------------


def judge(layout: Layout, *, led_before: bool) -> str:
    """What is wrong with the database, so that another has to be begun; empty where nothing is. Raises OSError."""
    try:
        size = layout.database.stat().st_size
    except FileNotFoundError:
        return "the database is gone" if led_before else ""
    if not size:
        return "the database is empty"
    mark = read_mark(layout.mark).mark
    if mark is None or not mark.suspect:
        return ""
    log.warning("the database is suspected (%s): the whole of it is checked now", mark.suspect)
    found = verify(layout)
    if not found:
        log.warning("it is sound after all; should this come again, look at the memory of %s", mark.owner.node)
    return found


def verify(layout: Layout) -> str:
    """Read the whole database afresh; what is wrong with it, empty where nothing is or where it cannot be told."""
    try:
        return SharedReader(layout).query(integrity, PATIENCE)
    except DamagedRead as error:
        return error.why
    except NoDatabase:
        return "it says of itself that it was never made" if has_content(layout.database) else ""
    except ReadFailed as error:
        log.warning("cannot tell whether the database is damaged: %s", error)
        return ""


def work(layout: Layout) -> int:
    """Bytes that a take-over may have to read or copy for this, for whoever sets it a time limit. Raises OSError."""
    with suppress(FileNotFoundError):
        size = layout.database.stat().st_size
        mark = read_mark(layout.mark).mark
        if size and (mark is None or not mark.suspect):
            return 0
        return size + sum(path.stat().st_size for path in backups(layout)[:1])
    return sum(path.stat().st_size for path in backups(layout)[:1])


# --- keeping aside, beginning anew ----------------------------------------------------------------------------------


def has_content(path: Path) -> bool:
    return bool(read_fresh(path, 1))


def keep_aside(layout: Layout) -> str:
    """Give the damaged database and its log a second name that says when, durably; the database's, or empty."""
    if not has_content(layout.database):
        return _kept_before(layout)
    name = f"{layout.database.name}.damaged-{stamp(now_us())}"
    aside = layout.shared / name
    os.link(layout.database, aside)
    if has_content(layout.wal):
        os.link(layout.wal, aside.with_name(f"{name}-wal"))
    sync_directory(layout.shared)
    return name


def give_up_aside(layout: Layout, name: str) -> None:
    """A successor has begun, and may have made its sound database before ours was to be taken away: then that got the
    second name, and loses it again. Nothing else does.
    """
    for path, aside in ((layout.database, layout.shared / name), (layout.wal, layout.shared / f"{name}-wal")):
        with suppress(OSError):
            if aside.is_file() and path.samefile(aside):
                aside.unlink()


def _kept_before(layout: Layout) -> str:
    """By a candidate that ended between keeping it and beginning anew."""
    mark = read_mark(layout.mark).mark
    kept = sorted(path.name for path in layout.shared.glob(f"{layout.database.name}.damaged-*Z"))
    return kept[-1] if kept and mark is not None and mark.suspect else ""


def keep_log_aside(layout: Layout) -> None:
    """Give a log that has to be cut short a second name, durably. By that name `tell_cut` knows of it."""
    if layout.wal.stat().st_nlink == 1:  # else by a candidate that ended here
        os.link(layout.wal, layout.shared / f"{layout.wal.name}.damaged-{stamp(now_us())}")
    sync_directory(layout.shared)


def tell_cut(connection: apsw.Connection, layout: Layout) -> None:
    """Write the story of a log that was cut short into the database that goes on, once. In the first transaction."""
    kept = max((path.name for path in layout.shared.glob(f"{layout.wal.name}.damaged-*Z")), default="")
    if kept <= (meta.get(connection, CUT) or ""):
        return
    meta.put(connection, CUT, kept)
    begun = story(connection)
    if begun is None or stamp(begun.at) < kept.rpartition("-")[2]:
        told = Story("its log was damaged, and commits behind the damage are lost", now_us(), kept, cut=True)
        meta.put(connection, BEGUN, msgspec.json.encode(told).decode())
        log.error("the database: %s", told)


def begin(layout: Layout, made: Path, why: str, aside: str) -> None:
    """Fill the file `made` with the newest backup that is sound, or with nothing, and with the story."""
    for backup in backups(layout):
        try:
            taken_at = restore(backup, made)
        except (DiskFailed, OSError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            log.error("%s", error if isinstance(error, DiskFailed) else disk_error(error, "cannot begin from", backup))
            os.truncate(made, 0)
            continue
        told = Story(why, now_us(), aside, backup.name, taken_at)
        break
    else:
        build(made)
        told = Story(why, now_us(), aside)
    change_made(made, lambda connection: meta.put(connection, BEGUN, msgspec.json.encode(told).decode()))
    log.error("the database is lost: %s", told)
