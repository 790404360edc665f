"""Safe text in so many cells: cut where it is longer, padded where it is shorter."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size


def cut(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: cut with an ellipsis, or padded."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…" * (width > 0)
    return " " * (width - length) + text if right else text + " " * (width - length)


def end(text: str, width: int) -> str:
    """Likewise, the beginning cut away: of a path, or of a chain, the end tells more."""
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    while cell_len(text) > width - 1:
        text = text[1:]
    return set_cell_size("…" + text, width)
