"""A list of any number of one-line rows, of which only those on the screen are rendered (Line API).

Role: what the state table, the log and the details have in common: a cursor, scrolling by keys and mouse, cutting to
the width. Rules: rows are rich `Text` made of sanitised strings, never markup; a row is one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from noroshi.console.severity import Mark, Severity, state_mark

SIDEWAYS = 16
"""Cells the view moves sideways at a key."""


class LineView(ScrollView, can_focus=True):
    """Subclasses give `row_count` and `row`, and say by `set_extent` when the size of the whole changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line--cursor",
        "line--heading",
        "line--muted",
        "line--match",
        "line--past",
        *(f"line--{severity.name.lower()}" for severity in Severity),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up"),
        Binding("down,j", "move(1)", "Down"),
        Binding("pageup,b", "page(-1)", "Page up"),
        Binding("pagedown", "page(1)", "Page down"),
        Binding("home,g", "to_start", "First line"),
        Binding("end,G", "to_end", "Last line"),
        Binding("left,h", "sideways(-1)", "Left"),
        Binding("right,l", "sideways(1)", "Right"),
        Binding("enter", "open", "Details"),
    ]
    ALLOW_SELECT = False

    @dataclass
    class Opened(Message):
        """The operator wants the details of the row under the cursor."""

        row: int

    class Empty(Message):
        """The operator wants details, and there is no row to stand on."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.cursor: int | None = None
        self._nothing = ""

    def say_of_nothing(self, text: str) -> None:
        """What stands here while there is no row; safe."""
        if text != self._nothing:
            self._nothing = text
            self.refresh()

    # --- for subclasses -----------------------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def row(self, y: int) -> Text:
        """The row as it is shown, whole."""
        raise NotImplementedError

    def is_selectable(self, y: int) -> bool:
        """Whether the cursor may stand on it."""
        return True

    def cursor_moved(self) -> None:
        """The operator moved the cursor."""

    def set_extent(self, width: int) -> None:
        """The rows, or the widest of them, changed."""
        self.virtual_size = Size(width, self.row_count)
        if self.cursor is not None:
            self.cursor = min(self.cursor, self.row_count - 1) if self.row_count else None

    def style_of(self, name: str) -> Style:
        return self.get_component_rich_style(f"line--{name}", partial=True)

    def state_text(self, state: str, shown: str, width: int, ago: str = "") -> Text:
        """Shape and word (`shown` is the state, sanitised), in `width` cells, by severity; `ago` as in `state_mark`."""
        return self.mark_text(state_mark(state, shown, ago), width)

    def mark_text(self, mark: Mark, width: int) -> Text:
        """Likewise, of anything that has a shape."""
        word = Text(mark.text)
        word.truncate(width, overflow="ellipsis")
        word.stylize(self.style_of("past" if mark.past else mark.severity.name.lower()))
        return word.append(" " * (width - word.cell_len))

    # --- rendering ----------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, at = self.scrollable_content_region.width, y + self.scroll_offset.y
        if at >= self.row_count:
            words = Text(self._nothing if not at else "", self.rich_style)
            return Strip(words.render(self.app.console, end="")).crop_extend(0, width, self.rich_style)
        return self.strip_of(at, width)

    def strip_of(self, at: int, width: int) -> Strip:
        """One row, moved sideways and cut."""
        return self.to_strip(self.row(at), at).crop_extend(self.scroll_offset.x, self.scroll_offset.x + width, None)

    def to_strip(self, text: Text, at: int) -> Strip:
        """A row with the style of the widget and of the cursor, as wide as it is and at least as the widget."""
        style = self.rich_style
        if at == self.cursor:
            style += self.style_of("cursor")
        text = text.copy()
        text.stylize_before(style)
        strip = Strip(text.render(self.app.console, end=""))
        return strip.extend_cell_length(max(self.virtual_size.width, self.size.width), style)

    # --- moving -------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self.move_cursor(self._first_on_screen() if self.cursor is None else self.cursor + by, by)

    def action_page(self, by: int) -> None:
        height = max(1, self.scrollable_content_region.height - 1)
        at = self.scroll_offset.y if self.cursor is None else self.cursor
        self.move_cursor(at + by * height, by)

    def action_to_start(self) -> None:
        self.move_cursor(0, 1)
        self.scroll_to(y=0, animate=False, force=True)

    def action_to_end(self) -> None:
        self.move_cursor(self.row_count - 1, -1)

    def action_sideways(self, by: int) -> None:
        self.scroll_to(x=max(0, self.scroll_offset.x + by * SIDEWAYS), animate=False, force=True)

    def action_open(self) -> None:
        self.post_message(self.Empty() if self.cursor is None else self.Opened(self.cursor))

    def move_cursor(self, to: int, direction: int = 1) -> None:
        """Stand on row `to`, or on the nearest selectable one in that direction, and bring it on the screen."""
        found = self._selectable(to, 1 if direction > 0 else -1)
        if found is not None:
            self.place_cursor(found)
        elif 0 < to < self.row_count - 1 or self.cursor is None:
            self.scroll_to(y=to, animate=False, force=True)
        else:
            self.scroll_to(y=0 if direction < 0 else self.max_scroll_y, animate=False, force=True)
        self.cursor_moved()

    def place_cursor(self, row: int) -> None:
        """Stand on this row."""
        old, self.cursor = self.cursor, row
        for y in (old, row):
            if y is not None:
                self.refresh_line(y)
        self.bring_on_screen(row)

    def bring_on_screen(self, row: int) -> None:
        """Scroll no more than it takes."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if row < top:
            self.scroll_to(y=row, animate=False, force=True)
        elif row >= top + height > 0:
            self.scroll_to(y=row - height + 1, animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        at = event.y + self.scroll_offset.y
        if at < self.row_count and self.is_selectable(at):
            if at == self.cursor:
                self.action_open()
            self.place_cursor(at)
            self.cursor_moved()

    def _first_on_screen(self) -> int:
        return self.scroll_offset.y

    def _selectable(self, row: int, step: int) -> int | None:
        row = max(0, min(row, self.row_count - 1))
        while 0 <= row < self.row_count:
            if self.is_selectable(row):
                return row
            row += step
        return None
