"""What is kept of a journal rule on the node's own disk, in one file that is replaced whole.

Rules: a rule is known again by what of which journal it reads, and of several that read the same by their order. One
whose units or priority were changed goes on where the one before it stood: what is left over goes to what is new, in
order. What no rule claims is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from noroshi.node.logs.messages import JournalRule
from noroshi.node.logs.position import digest
from noroshi.node.logs.saved import replace_file
from noroshi.node.wire.messages import LogPart

FORMAT = 1


class Standing(msgspec.Struct, frozen=True):
    """Where a rule stands: the lines up to number `last` of its stream were read up to `cursor`; `waiting` of them
    are not acknowledged. `cursor` and `inclusive` as in `course`."""

    stream: bytes
    last: int
    cursor: str | None
    inclusive: bool = False
    waiting: list[LogPart] = []


class _File(msgspec.Struct, frozen=True):
    format: int
    standing: Standing


@dataclass(frozen=True)
class Place:
    """The file of one rule, and what it held."""

    path: Path
    standing: Standing | None = None
    damaged: str = ""
    """Why what it held could not be used, or nothing."""

    def save(self, standing: Standing) -> None:
        """Durable when it returns. Raises OSError."""
        replace_file(self.path, msgspec.msgpack.encode(_File(FORMAT, standing)))


def files(directory: Path, rules: Sequence[JournalRule]) -> list[Path]:
    """The file of each rule, in their order. Raises OSError."""
    directory.mkdir(mode=0o700, exist_ok=True)
    names: list[str] = []
    for rule in rules:
        name = _name(rule)
        names.append(f"{name}-{count}" if (count := sum(n.partition("-")[0] == name for n in names)) else name)
    left_over = sorted(path.name for path in directory.iterdir() if not path.suffix and path.name not in names)
    for name in names:
        if left_over and not (directory / name).exists():
            (directory / left_over.pop(0)).rename(directory / name)
    for name in left_over:
        (directory / name).unlink()
    return [directory / name for name in names]


def load(path: Path) -> Place:
    """What the file of a rule holds, if it is there. Raises OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Place(path)
    try:
        saved = msgspec.msgpack.decode(data, type=_File)
        if saved.format != FORMAT:
            raise ValueError(f"format {saved.format}, this program knows {FORMAT}")
    except ValueError as error:
        path.replace(path.with_suffix(".damaged"))
        return Place(path, damaged=str(error))
    return Place(path, saved.standing)


def _name(rule: JournalRule) -> str:
    parts = [*rule.command, "--", *sorted(rule.units), "--", rule.priority or ""]
    return digest("\0".join(parts).encode()).hex()
