"""Paths with wildcards, as the rules of node.yaml name files, without I/O.

Rules: `*`, `?` and `[...]` stay within a segment, `**` as a whole segment stands for any number of directories. As in
a shell, a wildcard finds no name that begins with a dot. A compressed file is found by no wildcard.
"""

from __future__ import annotations

import re
from functools import cached_property

from noroshi.node.logs.rotation import compressed

_MAGIC = re.compile(r"[*?\[]")
_PIECES = re.compile(r"\*+|\[!?\]?[^\]]*\]|.", re.DOTALL)
ANY_DEPTH = "**"


class Glob:
    """One pattern: an absolute path, perhaps with wildcards."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        *self.directories, last = pattern.split("/")
        """The segments before the last."""
        self.last = "*" if last == ANY_DEPTH else last
        if last == ANY_DEPTH:
            self.directories.append(ANY_DEPTH)

    @property
    def literal(self) -> bool:
        """Whether the pattern is the name of one file."""
        return _MAGIC.search(self.pattern) is None

    def names(self, name: str) -> bool:
        """Whether a file of this name in a directory of the pattern is meant."""
        if self._last is None:
            return name == self.last
        return self._last.fullmatch(name) is not None and not compressed(name)

    def matches(self, path: str) -> bool:
        """Whether the whole path is meant."""
        directory, _, name = path.rpartition("/")
        return self.names(name) and self._directory.fullmatch(directory + "/") is not None

    @cached_property
    def _last(self) -> re.Pattern[str] | None:
        return segment(self.last)

    @cached_property
    def _directory(self) -> re.Pattern[str]:
        return re.compile("".join(_directory_part(part) for part in self.directories), re.DOTALL)


def segment(part: str) -> re.Pattern[str] | None:
    """What one segment finds; None where it has no wildcard and stands for itself."""
    if _MAGIC.search(part) is None:
        return None
    return re.compile(_translate(part), re.DOTALL)


def _directory_part(part: str) -> str:
    return r"(?:(?!\.)[^/]+/)*" if part == ANY_DEPTH else _translate(part) + "/"


def _translate(part: str) -> str:
    hidden = r"(?!\.)" if _MAGIC.match(part) else ""
    return hidden + "".join(_piece(piece) for piece in _PIECES.findall(part))


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and len(piece) > 1:
        return _characters(piece[1:-1].replace("\\", r"\\")) or re.escape(piece)
    return re.escape(piece)


def _characters(inside: str) -> str | None:
    """A character class; None where it is none, as `z-a`."""
    found = f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    try:
        re.compile(found)
    except re.error:
        return None
    return found
