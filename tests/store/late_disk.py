"""What another host sees of a disk that promises no more than close-to-open: what was fsynced, and nothing else.

`LateDisk` watches one directory through the fsyncs of Python and SQLite, and keeps a second directory as the other
host would find it at its next open: a file's bytes as of its last fsync, a name as of the last fsync of the directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from hooked import HookedVFS

from noroshi.store.layout import Layout

_fsync = os.fsync


class LateDisk:
    """`near` is where the leader works, `far` what the other host sees."""

    def __init__(self, near: Path, far: Path) -> None:
        self.near, self.far = Layout(near), Layout(far)
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}

    def vfs(self, name: str) -> HookedVFS:
        """The VFS for the leader's connection. A context."""
        return HookedVFS(name, after=lambda what, path: self._synced(Path(path)))

    def fsync(self, descriptor: int) -> None:
        """In place of os.fsync."""
        _fsync(descriptor)
        self._synced(Path(f"/proc/self/fd/{descriptor}").readlink())

    def half_seen(self, path: Path, cut: int) -> bytes:
        """A file whose first `cut` bytes are found as last fsynced, the rest as it is now."""
        return self._contents.get(path.stat().st_ino, b"")[:cut] + path.read_bytes()[cut:]

    def _synced(self, path: Path) -> None:
        if path == self.near.shared:
            self._names = {entry.name: entry.inode() for entry in os.scandir(path)}
        elif path.parent == self.near.shared:
            self._contents[path.stat().st_ino] = path.read_bytes()
            self._names.setdefault(path.name, path.stat().st_ino)
        self._show()

    def _show(self) -> None:
        for path in self.far.shared.iterdir():
            if path.name not in self._names:
                path.unlink()
        for name, inode in self._names.items():
            there = self.far.shared / name
            content = self._contents.get(inode, b"")
            if not there.exists() or there.read_bytes() != content:
                there.write_bytes(content)
