"""Texts that are being edited, kept on the operator's own disk until they are saved or given up.

A connection that drops, a coordinator that is gone, a console that was quit: what was typed is still there at the next
edit of the same definition. Rules: one small file each, for the operator alone (0600 in a directory 0700), written
whole and renamed; a draft that cannot be kept is told, and never stands in the way of editing.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

LONGEST = 2 << 20
"""Bytes of a draft's file that is read."""


class Draft(msgspec.Struct, frozen=True):
    """`name` None and `kind`: a new definition; `seen` the version the text was begun on; `at` microseconds UTC."""

    cluster: str
    name: str | None
    kind: str
    seen: int
    text: str
    at: int


def directory() -> Path:
    """`$XDG_STATE_HOME/noroshi/drafts`. Raises RuntimeError where nobody knows a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "noroshi" / "drafts"


def find(cluster: str, name: str | None, kind: str) -> Draft | None:
    """The draft of this definition (or of a new one of this kind), None where none is kept or it cannot be read."""
    try:
        with _file(cluster, name, kind).open("rb") as handle:
            return msgspec.json.decode(handle.read(LONGEST), type=Draft)
    except (OSError, RuntimeError, msgspec.MsgspecError, UnicodeError):
        return None


def keep(draft: Draft) -> None:
    """Write it. Raises OSError or RuntimeError."""
    file = _file(draft.cluster, draft.name, draft.kind)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(msgspec.json.encode(draft))
    written.replace(file)


def drop(cluster: str, name: str | None, kind: str) -> None:
    """Forget it; that it was none, or cannot be removed, is no trouble of the operator's."""
    try:
        _file(cluster, name, kind).unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return


def _file(cluster: str, name: str | None, kind: str) -> Path:
    """Names may hold what a file's name cannot, and be longer."""
    what = "\0".join((cluster, kind, "new" if name is None else f"name {name}"))
    return directory() / f"{hashlib.sha256(what.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"
