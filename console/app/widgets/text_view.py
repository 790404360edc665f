"""Lines of text, wrapped to the width and scrolled; lines that lead somewhere can be stood on and opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual import events
from textual.message import Message

from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.wrapping import wrap


@dataclass(frozen=True)
class Line:
    """`text` is safe; `style` one of those of `LineView`; `place` is what opening it leads to, None for nothing."""

    text: str
    style: str = "good"
    place: object = None


class TextView(LineView):
    """Shows lines; continuation rows are indented under their line."""

    @dataclass
    class Chosen(Message):
        """The operator opened a line that leads somewhere."""

        place: object

    class Nowhere(Message):
        """The operator pressed Enter where nothing leads anywhere."""

    def __init__(self, lines: Iterable[Line] = (), **arguments: Any) -> None:
        super().__init__(**arguments)
        self.lines = tuple(lines)
        self._rows: list[tuple[Line, str]] = []
        self._width = 0

    @property
    def row_count(self) -> int:
        return len(self._rows)

    def is_selectable(self, y: int) -> bool:
        return self._rows[y][0].place is not None

    def show(self, lines: Iterable[Line]) -> None:
        """Show these instead, from the first on; the same ones again stay where they are."""
        shown = tuple(lines)
        if shown != self.lines:
            self.lines = shown
            self.cursor = None
            self.scroll_to(y=0, animate=False, force=True)
            self._wrap()

    @property
    def current(self) -> Line | None:
        """The line under the cursor."""
        return None if self.cursor is None else self._rows[self.cursor][0]

    def row(self, y: int) -> Text:
        line, piece = self._rows[y]
        return Text(f" {piece}", self.style_of(line.style))

    def action_move(self, by: int) -> None:
        if any(line.place is not None for line in self.lines):
            super().action_move(by)
        else:
            self.scroll_to(y=self.scroll_offset.y + by, animate=False, force=True)

    def action_open(self) -> None:
        line = self.current
        leads = line is not None and line.place is not None
        self.post_message(self.Chosen(line.place) if line is not None and leads else self.Nowhere())

    def on_focus(self) -> None:
        if self.cursor is None:
            self.cursor = self._selectable(0, 1)
            self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        if event.size.width != self._width:
            self._wrap()

    def _wrap(self) -> None:
        self._width = self.size.width
        room = max(8, self.scrollable_content_region.width - 2)
        self._rows = [(line, piece) for line in self.lines for piece in _pieces(line.text, room)]
        self.set_extent(0)
        self.refresh()


def _pieces(text: str, room: int) -> list[str]:
    """The first piece as it is, the rest two cells further in than its own indentation."""
    inner = len(text) - len(text.lstrip()) + 2
    if (len(text) <= room and text.isascii()) or inner > room // 2:
        return wrap(text, room)
    first, *rest = wrap(text, room)
    left = text[len(first) :].lstrip()
    return [first, *(" " * inner + piece for piece in wrap(left, room - inner))] if rest else [first]
