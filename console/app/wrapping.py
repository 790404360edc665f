"""Cutting a line to the width of a terminal; pure."""

from __future__ import annotations

from rich.cells import cell_len, chop_cells

PATIENT = 4000
"""Characters of a line of wide letters up to which it is cut between words."""


def wrap(line: str, width: int) -> list[str]:
    """Cut into pieces of at most `width` cells, between words where there is one near; at least one piece."""
    if len(line) > PATIENT and not line.isascii():
        return chop_cells(line, width) or [""]
    pieces = []
    at = 0
    while (count := _fitting(line, at, width)) is not None:
        space = line.rfind(" ", at + count * 2 // 3, at + count + 1)
        end = at + count if space < 0 else space
        pieces.append(line[at:end])
        at = end + (space >= 0)
    return [*pieces, line[at:]]


def _fitting(line: str, at: int, width: int) -> int | None:
    """How many characters from `at` on fit into `width` cells; None: all the rest does."""
    if line.isascii():
        return width if len(line) - at > width else None
    rest = line[at:]
    return max(1, len(chop_cells(rest, width)[0])) if cell_len(rest) > width else None
