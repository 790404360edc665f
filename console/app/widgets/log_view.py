"""The shared log as a list over pages: opens a million lines at once, follows, and stays put when paused.

Role: shows rows of an index (every line, or a filter's matches), asks for the lines it lacks by `LinesWanted`, and is
given them by `add_lines`. Rules: while following it stands at the end; any move up pauses it, standing at the end
again resumes. When rows come or go above, the line on top of the screen stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import events
from textual.message import Message
from textual.strip import Strip

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.line_index import DenseIndex, SparseIndex
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface
from noroshi.store.views import LogLine

MARGIN = 200
"""Rows asked for on either side of the screen."""
KEPT = 20 * MARGIN
_NODE_MOST, _SOURCE_MOST, _SOURCE_NARROW = 12, 32, 14
WIDE, NARROW = 120, 50
GONE = "(removed by retention)"


class LogView(LineView):
    """The lines of `index`, of which it keeps those near the screen."""

    @dataclass
    class LinesWanted(Message):
        """These ids are on the screen or near it and are not here."""

        ids: tuple[int, ...]

    class Moved(Message):
        """Following began or ended, or the cursor moved."""

    def __init__(self, index: DenseIndex | SparseIndex) -> None:
        super().__init__(id="log")
        self.index = index
        self.following = True
        self.with_origin = True
        self._lines: dict[int, LogLine | None] = {}
        self._asked: frozenset[int] = frozenset()
        self._now = 0
        self._face = Clockface()
        self._highlight = TextFilter()
        self._widths = (4, 6)
        self._widest = 0
        self._steady = False

    # --- what it is given -----------------------------------------------------------------------------------------

    def show_index(self, index: DenseIndex | SparseIndex, highlight: TextFilter) -> None:
        """Show other rows, the line under the cursor (or on top) kept in sight."""
        anchor = self.anchor_id
        self.index, self._highlight, self._asked = index, highlight, frozenset()
        self.set_extent(self._widest)
        self.refresh()
        if anchor is not None and not self.following:
            self.go_to(anchor)
        self._settle()

    def grew(self, above: int = 0) -> None:
        """The index changed: `above` rows came before the first (negative: went)."""
        if above and not self.following:
            self.cursor = None if self.cursor is None else max(0, self.cursor + above)
        self.set_extent(self._widest)
        if above and not self.following:
            with self._moving():
                self.scroll_to(y=max(0, self.scroll_offset.y + above), animate=False, force=True)
        self.refresh()
        self._settle()

    def add_lines(self, asked: Iterable[int], lines: Iterable[LogLine]) -> None:
        """Lines that were read; asked for and missing means gone."""
        self._lines.update(dict.fromkeys(asked))
        for line in lines:
            self._lines[line.id] = line
            self._measure(line)
        self._asked = frozenset()
        self._forget_far()
        if self._widest != self.virtual_size.width:
            self.set_extent(self._widest)
        self.refresh()

    def show_times(self, now: int, face: Clockface) -> None:
        """The time of day matters for how instants are shown."""
        changed = face != self._face or self._face.moment(now).date() != self._face.moment(self._now).date()
        self._now, self._face = now, face
        if changed:
            self.refresh()

    def ask_again(self) -> None:
        """What was asked for will not come (the disk failed): ask when it is next on the screen."""
        self._asked = frozenset()
        self.refresh()

    def forget(self) -> None:
        """Another database was put in place: nothing kept is true."""
        self._lines.clear()
        self._asked = frozenset()
        self._widest = 0
        self.cursor = None

    # --- where it stands ------------------------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        return len(self.index)

    @property
    def current(self) -> LogLine | None:
        """The line under the cursor; while following, the last."""
        number = self.current_id
        return None if number is None else self._lines.get(number)

    @property
    def current_id(self) -> int | None:
        at = self.row_count - 1 if self.cursor is None else self.cursor
        return self.index.id_at(at) if 0 <= at < self.row_count else None

    @property
    def anchor_id(self) -> int | None:
        """The id to keep in sight: under the cursor, else on top of the screen."""
        at = self.scroll_offset.y if self.cursor is None else self.cursor
        return self.index.id_at(at) if 0 <= at < self.row_count else None

    def go_to(self, number: int) -> None:
        """Stand on the line with this id, or the nearest after it, in the middle of the screen."""
        if not self.row_count:
            return
        row = min(self.index.row_of(number), self.row_count - 1)
        self._pause()
        height = self.scrollable_content_region.height
        if not self.scroll_offset.y <= row < self.scroll_offset.y + height:
            with self._moving():
                self.scroll_to(y=max(0, row - height // 2), animate=False, force=True)
        self.place_cursor(row)
        self.post_message(self.Moved())

    def follow(self) -> None:
        """Stand at the end and stay there."""
        self.following, self.cursor = True, None
        self.refresh()
        self._settle()
        self.post_message(self.Moved())

    def pause(self) -> None:
        """Stay here, the cursor on the last line in sight."""
        if self.following and self.row_count:
            self._pause()
            self.place_cursor(min(self.row_count - 1, self.scroll_offset.y + self.scrollable_content_region.height - 1))
            self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        if self.following and by < 0:
            self.pause()
        elif not self.following and by > 0 and self.cursor == self.row_count - 1:
            self.follow()
        elif not self.following:
            super().action_move(by)

    def action_page(self, by: int) -> None:
        if self.following:
            if by > 0:
                return
            self.pause()
        super().action_page(by)

    def action_to_start(self) -> None:
        self._pause()
        super().action_to_start()

    def action_to_end(self) -> None:
        self.follow()

    def action_open(self) -> None:
        self.pause()
        super().action_open()

    def place_cursor(self, row: int) -> None:
        self._pause()
        super().place_cursor(row)

    def bring_on_screen(self, row: int) -> None:
        with self._moving():
            super().bring_on_screen(row)

    def cursor_moved(self) -> None:
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._steady and round(new_value) != round(old_value):
            self._scrolled_by_hand(up=new_value < old_value)

    def _scrolled_by_hand(self, up: bool) -> None:
        """Mouse wheel or scroll bar: up pauses, reaching the end follows. (A list that shrank stays at its end.)"""
        if self.following and up and self.scroll_offset.y < self.max_scroll_y:
            self._pause()
            self.post_message(self.Moved())
        elif not self.following and not up and self.scroll_offset.y >= self.max_scroll_y:
            self.follow()

    def _pause(self) -> None:
        self.following = False

    def _settle(self) -> None:
        if self.following:
            with self._moving():
                self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Scrolling in here is ours, not the operator's."""
        before, self._steady = self._steady, True
        try:
            yield
        finally:
            self._steady = before

    def on_resize(self, event: events.Resize) -> None:
        self.set_extent(self._widest)
        self._settle()
        self.refresh()

    # --- one row ----------------------------------------------------------------------------------------------------

    def row(self, y: int) -> Text:
        number = self.index.id_at(y)
        if number not in self._lines:
            self._want()
            return Text("…", self.style_of("muted"))
        line = self._lines[number]
        if line is None:
            return Text(GONE, self.style_of("muted"))
        text = Text(visible(line.line))
        for span in self._highlight.spans(text.plain):
            text.stylize(self.style_of("match"), *span)
        return Text().append(_size_of_cut(line), self.style_of("muted")).append_text(text)

    def strip_of(self, at: int, width: int) -> Strip:
        """Time, node and source stay; the line moves sideways behind them."""
        line = self._lines.get(self.index.id_at(at))
        origin = self.to_strip(self._origin(line), at).crop(0, self.origin_width) if line else None
        left = self.scroll_offset.x
        if origin is None:
            return self.to_strip(self.row(at), at).crop_extend(left, left + width, None)
        room = max(0, width - origin.cell_length)
        return Strip.join([origin, self.to_strip(self.row(at), at).crop_extend(left, left + room, None)])

    @property
    def origin_width(self) -> int:
        """Cells before the line itself."""
        node, source = self._shown_widths()
        return self._time_width + 1 + (node + source + 2 if self._shows_origin else 0)

    @property
    def _shows_origin(self) -> bool:
        return self.with_origin and self.size.width >= NARROW

    @property
    def _time_width(self) -> int:
        return 23 if self.size.width >= WIDE else 14 if self.size.width >= NARROW else 8

    def _origin(self, line: LogLine) -> Text:
        text = Text().append(f"{self._time(line.observed_at):{self._time_width}} ", self.style_of("muted"))
        if self._shows_origin:
            node, source = self._shown_widths()
            text.append(f"{_end(visible(line.node), node)} ", self.style_of("other"))
            text.append(f"{_end(visible(line.source), source)} ", self.style_of("muted"))
        return text

    def _time(self, instant: int) -> str:
        """All of it where there is room; else with milliseconds today, and with the day before."""
        moment, today = self._face.moment(instant), self._face.moment(self._now)
        clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        if self.size.width >= WIDE:
            return f"{moment:%Y-%m-%d} {clock}"
        if moment.date() == today.date():
            return clock if self.size.width >= NARROW else f"{moment:%H:%M:%S}"
        if self.size.width < NARROW:
            return f"{moment:%y-%m-%d}"
        return f"{moment:%m-%d %H:%M:%S}" if moment.year == today.year else f"{moment:%y-%m-%d %H:%M}"

    def _shown_widths(self) -> tuple[int, int]:
        most = _SOURCE_MOST if self.size.width >= WIDE else _SOURCE_NARROW
        return min(self._widths[0], _NODE_MOST), min(self._widths[1], most)

    def _measure(self, line: LogLine) -> None:
        node, source = self._widths
        self._widths = max(node, cell_len(visible(line.node))), max(source, cell_len(visible(line.source)))
        self._widest = max(self._widest, cell_len(_size_of_cut(line) + visible(line.line)) + self.origin_width)

    # --- what it lacks ----------------------------------------------------------------------------------------------

    def _want(self) -> None:
        if not self._asked:
            self._asked = frozenset({0})
            self.call_later(self._ask)

    def _ask(self) -> None:
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        near = self.index.ids(top - MARGIN, top + height + MARGIN)
        self._asked = frozenset(number for number in near if number not in self._lines)
        if self._asked:
            self.post_message(self.LinesWanted(tuple(sorted(self._asked))))

    def _forget_far(self) -> None:
        if len(self._lines) > 2 * KEPT:
            top = self.scroll_offset.y
            near = set(self.index.ids(top - KEPT // 2, top + KEPT // 2))
            self._lines = {number: line for number, line in self._lines.items() if number in near}


def _size_of_cut(line: LogLine) -> str:
    """Before a line that is shown cut: how long it is. Enter shows all of it."""
    return f"[{line.length:,} bytes] " if is_cut(line) else ""


def is_cut(line: LogLine) -> bool:
    """Whether there is more of it than was read for the screen."""
    return line.length > len(line.line.encode("utf-8", "surrogatepass"))


def _end(text: str, width: int) -> str:
    """The end of a name tells more than its beginning."""
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    while cell_len(text) > width - 1:
        text = text[1:]
    return set_cell_size("…" + text, width)


__all__ = ["GONE", "LogView", "is_cut"]
