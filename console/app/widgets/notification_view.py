"""The notifications as a list: when, how it went, what of, to whom in which order; more columns where there is room."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.message import Message

from noroshi.console.app.line_index import DenseIndex, SparseIndex
from noroshi.console.app.notification_rows import chain, definition, owner, shown, subject
from noroshi.console.app.widgets.cells import cut, end
from noroshi.console.app.widgets.paged_view import PagedView
from noroshi.console.severity import mark_of
from noroshi.console.times import Clockface
from noroshi.store.views import Notification

WIDE, NARROW = 120, 50
_STATUS = 11
"""Cells: the shape and `abandoned`."""
_CHAIN_MOST, _CHAIN_LEAST, _NAME_MOST, _OWNER_MOST, _NODE_MOST = 44, 14, 20, 10, 10


@dataclass(frozen=True)
class Columns:
    """Widths in cells, 0 for a column there is no room for."""

    time: int
    status: int
    subject: int
    definition: int
    node: int
    owner: int
    chain: int

    @property
    def titles(self) -> str:
        """The line above the list."""
        named = (
            ("TIME", self.time),
            ("STATUS", self.status),
            ("WHAT", self.subject),
            ("DEFINITION", self.definition),
            ("SEEN BY", self.node),
            ("ACK BY", self.owner),
            ("TOLD", self.chain),
        )
        return " ".join(cut(title, width) for title, width in named if width)


def fit_columns(width: int, widths: tuple[int, ...]) -> Columns:
    """Share out `width` by the widest definition, node, owner, chain and reason of holding back that were seen.

    Below NARROW the chain falls away. A reason makes the last column wider only where there is room.
    """
    name, node, by, chained, held = widths
    if width < NARROW:
        time = 8 if width >= 30 else 0
        return Columns(time, _STATUS, max(0, width - time - bool(time) - _STATUS - 1), 0, 0, 0, 0)
    wide = width >= WIDE
    time = 19 if wide else 11
    name, node = (min(name, _NAME_MOST), min(max(node, 7), _NODE_MOST)) if wide else (0, 0)
    by = min(max(by, 6), _OWNER_MOST) if by else 0
    room = width - time - _STATUS - name - node - by - bool(name) - bool(node) - bool(by) - 3
    chained = min(max(chained, _CHAIN_LEAST, held if wide else 0), _CHAIN_MOST, room // 2 if wide else room * 2 // 5)
    return Columns(time, _STATUS, room - chained, name, node, by, chained)


class NotificationView(PagedView[Notification]):
    """Notifications; those under way show how long that has been."""

    class ColumnsChanged(Message):
        """Their widths did, and with them the line of titles."""

    def __init__(self, index: DenseIndex | SparseIndex) -> None:
        super().__init__(index, "notifications")
        self._widths: tuple[int, ...] = (10, 7, 0, _CHAIN_LEAST, 0)

    def measure(self, row: Notification) -> None:
        texts = [definition(row), shown(row.node or ""), owner(row), chain(row, self._now)]
        texts.insert(3 if row.status == "held" else 4, "")
        widths = tuple(map(max, self._widths, map(cell_len, texts)))
        if widths != self._widths:
            self._widths = widths
            self.refresh()
            self.post_message(self.ColumnsChanged())

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.post_message(self.ColumnsChanged())

    @property
    def columns(self) -> Columns:
        return fit_columns(self.scrollable_content_region.width, self._widths)

    def show_times(self, now: int, face: Clockface) -> None:
        super().show_times(now, face)
        top = self.scroll_offset.y
        for y in range(top, min(top + self.size.height, self.row_count)):
            row = self._rows.get(self.index.id_at(y))
            if row is not None and row.status == "pending":
                self.refresh_line(y)

    def text_of(self, row: Notification) -> Text:
        columns = self.columns
        text = Text()
        if columns.time:
            text.append(f"{self._time(row.created_at, columns.time)} ", self.style_of("muted"))
        text.append_text(self.mark_text(mark_of(row.status), columns.status)).append(" ")
        text.append(cut(subject(row), columns.subject))
        for cell, width in (
            (definition(row), columns.definition),
            (shown(row.node or ""), columns.node),
            (owner(row), columns.owner),
        ):
            text.append(f" {cut(cell, width)}" if width else "")
        if columns.chain:
            fit = cut if row.status == "held" else end
            text.append(f" {fit(chain(row, self._now), columns.chain)}")
        return self.highlight(text)

    def _time(self, instant: int, width: int) -> str:
        moment, today = self._face.moment(instant), self._face.moment(self._now)
        if width >= 19:
            return f"{moment:%Y-%m-%d %H:%M:%S}"
        if moment.date() == today.date():
            return f"{moment:%H:%M:%S}".ljust(width)
        if width < 11:
            return f"{moment:%y-%m-%d}"
        return f"{moment:%m-%d %H:%M}" if moment.year == today.year else f"{moment:%Y-%m-%d} "
