"""Copying the write-ahead log into the database file, so that every reader at every moment knows what it sees.

Role: the one place where the database file changes (design section 3, Writer step 4).
Rules: the steps run in the order of `STEPS`, each durable before the next; without any one of them a reader is given
a state that never was, or an old one. After a full disk in the copy the next one begins anew, with a new mark. Once
all frames are copied no commit may come before the end, because SQLite would begin the log again from its start, in
place, under readers that the mark tells nothing: such a checkpoint goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import apsw

from noroshi.store.disk import same_file
from noroshi.store.errors import DiskFailed
from noroshi.store.layout import Layout
from noroshi.store.mark import OwnMark, Phase

WAL_LIMIT = 4 * 1024 * 1024
"""Bytes of log at which a checkpoint is due: what a reader takes in memory each time."""

STEPS = ("mark_copying", "copy_frames", "mark_truncating", "truncate", "sync_log", "mark_normal")
_COPIED = 2


class Checkpoint:
    """The checkpoints of one leader: `run` one, `finish` one that the disk interrupted."""

    def __init__(
        self, layout: Layout, connection: apsw.Connection, mark: OwnMark, wal: int, look: Callable[[], None]
    ) -> None:
        self._layout, self._connection = layout, connection
        self._mark, self._wal, self._look = mark, wal, look
        self._done = 0

    @property
    def wal_size(self) -> int:
        """Bytes in the log; 0 when there is nothing to copy."""
        return os.fstat(self._wal).st_size

    def run(self) -> bool:
        """Copy and empty the log. False where a statement of ours still reads, so that not everything was copied."""
        self._look()
        self._check_files()
        try:
            while self._done < len(STEPS):
                if getattr(self, STEPS[self._done])() is False:
                    return False
                self._done += 1
            self._done = 0
            return True
        finally:
            if self._done < _COPIED:
                self._done = 0  # a copy tried again has a mark of its own: commits may have come in between

    def finish(self) -> None:
        """Before a commit: end what was begun and cannot be left."""
        if self._done >= _COPIED:
            self.run()

    def _check_files(self) -> None:
        """What readers look at must be what we write: nobody may have replaced mark or log."""
        for path, ours in ((self._layout.mark, self._mark.descriptor), (self._layout.wal, self._wal)):
            if not same_file(path, ours):
                self._look()  # by a successor, most likely
                hint = "nothing but noroshi may touch the files beside the database"
                raise DiskFailed("cannot lead on", on=str(path), why="the file was removed or replaced", hint=hint)

    def mark_copying(self) -> None:
        self._mark.enter(Phase.COPYING)

    def copy_frames(self) -> bool:
        """All frames into the database file, fsynced by SQLite; False if some had to stay."""
        try:
            frames, copied = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.LockedError:  # by a statement of ours that still reads
            return False
        return frames == copied

    def mark_truncating(self) -> None:
        self._mark.enter(Phase.TRUNCATING)

    def truncate(self) -> None:
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if self.wal_size:
            raise DiskFailed("cannot empty the log", on=str(self._layout.wal), why="SQLite left it as it was")

    def sync_log(self) -> None:
        """SQLite does not sync the truncation. This descriptor is of the log; the database has SQLite's alone."""
        os.fsync(self._wal)

    def mark_normal(self) -> None:
        self._mark.enter(Phase.NORMAL)
