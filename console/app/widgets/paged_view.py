"""A table as a list over pages: opens a million rows at once, follows, and stays put when paused.

Role: shows rows of an index (every one, or a filter's matches), asks for those it lacks by `RowsWanted`, and is given
them by `add_rows`. Rules: while following it stands at the end; any move up pauses it, standing at the end again
resumes. When rows come or go above, the row under the cursor, or on top of the screen, stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from rich.text import Text
from textual import events
from textual.message import Message

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.line_index import DenseIndex, SparseIndex
from noroshi.console.app.tables import Row
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.times import Clockface

MARGIN = 200
"""Rows asked for on either side of the screen."""
KEPT = 20 * MARGIN
GONE = "(removed by retention)"


class PagedView(LineView, Generic[Row]):
    """The rows of `index`, of which it keeps those near the screen. Subclasses give `text_of` and `measure`."""

    @dataclass
    class RowsWanted(Message):
        """These ids are on the screen or near it and are not here, or may have changed."""

        ids: tuple[int, ...]

    class Moved(Message):
        """Following began or ended, or the cursor moved."""

    def __init__(self, index: DenseIndex | SparseIndex, id: str) -> None:
        super().__init__(id=id)
        self.index = index
        self.following = True
        self._rows: dict[int, Row | None] = {}
        self._asked: frozenset[int] = frozenset()
        self._aged: set[int] = set()
        self._overtaken: frozenset[int] = frozenset()
        self._now = 0
        self._face = Clockface()
        self._highlight = TextFilter()
        self._widest = 0
        self._steady = False

    # --- for subclasses -------------------------------------------------------------------------------------------

    def text_of(self, row: Row) -> Text:
        """A row as it is shown."""
        raise NotImplementedError

    def measure(self, row: Row) -> None:
        """A row that was read: how wide it makes the columns, or the whole (`_widest`)."""

    # --- what it is given -----------------------------------------------------------------------------------------

    def show_index(self, index: DenseIndex | SparseIndex, highlight: TextFilter) -> None:
        """Show other rows, the one under the cursor (or on top) kept in sight."""
        anchor = self.anchor_id
        self.index, self._highlight, self._asked = index, highlight, frozenset()
        self.set_extent(self._widest)
        self.refresh()
        if anchor is not None and not self.following:
            self.go_to(anchor)
        self._settle()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """The index changes in here: what the operator looks at stays where it is."""
        top, cursor = self._id_at(self.scroll_offset.y), self._id_at(self.cursor)
        yield
        self.set_extent(self._widest)
        if not self.following:
            self.cursor = None if cursor is None or not self.row_count else self._row_near(cursor)
            if top is not None:
                with self._moving():
                    self.scroll_to(y=self._row_near(top), animate=False, force=True)
        self.refresh()
        self._settle()

    def add_rows(self, asked: Iterable[int], rows: Iterable[Row]) -> None:
        """Rows that were read; asked for and missing means gone."""
        found: dict[int, Row | None] = dict.fromkeys(asked)
        for row in rows:
            found[row.id] = row
            self.measure(row)
        changed = any(number not in self._rows or self._rows[number] != row for number, row in found.items())
        self._rows.update(found)
        self._aged.difference_update(found.keys() - self._overtaken)
        self._asked = self._overtaken = frozenset()
        self._forget_far()
        if self._widest != self.virtual_size.width:
            self.set_extent(self._widest)
        if changed:
            self.refresh()
        if self._aged:
            self._want()

    def age(self) -> None:
        """Rows that were read may have changed since: those on the screen are asked for again, as they stand."""
        self._aged = set(self._rows)
        self._overtaken = self._asked
        if self.screen.is_current:
            self._want()

    def show_times(self, now: int, face: Clockface) -> None:
        """The time of day matters for how instants are shown."""
        changed = face != self._face or self._face.moment(now).date() != self._face.moment(self._now).date()
        self._now, self._face = now, face
        if changed:
            self.refresh()

    def ask_again(self, *, at_once: bool = True) -> None:
        """What was asked for will not come (the disk failed): ask when it is next on the screen.

        `at_once` False: not before something else has it drawn.
        """
        self._asked = frozenset()
        if at_once:
            self.refresh()

    def forget(self) -> None:
        """Another database was put in place: nothing kept is true."""
        self._rows.clear()
        self._aged.clear()
        self._asked = frozenset()
        self._widest = 0
        self.cursor = None

    # --- where it stands ------------------------------------------------------------------------------------------

    @property
    def row_count(self) -> int:
        return len(self.index)

    @property
    def current(self) -> Row | None:
        """The row under the cursor; while following, the last."""
        number = self.current_id
        return None if number is None else self._rows.get(number)

    @property
    def current_id(self) -> int | None:
        return self._id_at(self.row_count - 1 if self.cursor is None else self.cursor)

    @property
    def anchor_id(self) -> int | None:
        """The id to keep in sight: under the cursor, else on top of the screen."""
        return self._id_at(self.scroll_offset.y if self.cursor is None else self.cursor)

    def _id_at(self, row: int | None) -> int | None:
        return self.index.id_at(row) if row is not None and 0 <= row < self.row_count else None

    def _row_near(self, number: int) -> int:
        return min(self.index.row_of(number), max(0, self.row_count - 1))

    def go_to(self, number: int) -> None:
        """Stand on the row with this id, or the nearest after it, in the middle of the screen."""
        if not self.row_count:
            return
        row = self._row_near(number)
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
        if number not in self._rows or number in self._aged:
            self._want()
        if number not in self._rows:
            return Text("…", self.style_of("muted"))
        row = self._rows[number]
        return Text(GONE, self.style_of("muted")) if row is None else self.text_of(row)

    def highlight(self, text: Text) -> Text:
        """With what was sought."""
        for span in self._highlight.spans(text.plain):
            text.stylize(self.style_of("match"), *span)
        return text

    # --- what it lacks ----------------------------------------------------------------------------------------------

    def _want(self) -> None:
        if not self._asked:
            self._asked = frozenset({0})
            self.call_later(self._ask)

    def _ask(self) -> None:
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        near = self.index.ids(top - MARGIN, top + height + MARGIN)
        aged = self._aged.intersection(self.index.ids(top, top + height))
        self._asked = frozenset(number for number in near if number not in self._rows or number in aged)
        if self._asked:
            self.post_message(self.RowsWanted(tuple(sorted(self._asked))))

    def _forget_far(self) -> None:
        if len(self._rows) > 2 * KEPT:
            top = self.scroll_offset.y
            near = set(self.index.ids(top - KEPT // 2, top + KEPT // 2))
            self._rows = {number: row for number, row in self._rows.items() if number in near}
