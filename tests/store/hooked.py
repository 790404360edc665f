# ruff: noqa: N802 - the methods have the names SQLite gives them
"""A VFS that tells what SQLite is about to do to its files, and what it has synced."""

from __future__ import annotations

from collections.abc import Callable

import apsw

Hook = Callable[[str, str], None]
"""Called with what is done ("write", "truncate", "sync", "delete") and to which path."""


def _nothing(what: str, path: str) -> None:
    """The hook that is not there."""


class HookedVFS(apsw.VFS):
    """Passes everything to `base`; `before` runs ahead of a change, `after` behind it. A context: gone at its end."""

    def __init__(self, name: str, base: str = "unix-none", before: Hook = _nothing, after: Hook = _nothing) -> None:
        super().__init__(name, base)
        self.name = name
        self.base, self.before, self.after = base, before, after

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return HookedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.before("delete", filename)
        super().xDelete(filename, syncdir)

    def __enter__(self) -> HookedVFS:
        return self

    def __exit__(self, *error: object) -> None:
        self.unregister()


class HookedFile(apsw.VFSFile):
    """One file of a HookedVFS."""

    def __init__(self, vfs: HookedVFS, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__(vfs.base, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.before("write", self._path)
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._vfs.before("truncate", self._path)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._vfs.before("sync", self._path)
        super().xSync(flags)
        self._vfs.after("sync", self._path)
