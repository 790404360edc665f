"""The shared log as a list: time, node and source stay in place, the line moves sideways behind them."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text
from textual.strip import Strip

from noroshi.console.app.line_index import DenseIndex, SparseIndex
from noroshi.console.app.widgets.cells import end
from noroshi.console.app.widgets.paged_view import PagedView
from noroshi.console.sanitise import visible
from noroshi.store.views import LogLine

_NODE_MOST, _SOURCE_MOST, _SOURCE_NARROW = 12, 32, 14
WIDE, NARROW = 120, 50


class LogView(PagedView[LogLine]):
    """Lines of the log."""

    def __init__(self, index: DenseIndex | SparseIndex) -> None:
        super().__init__(index, "log")
        self.with_origin = True
        self._widths = (4, 6)

    def text_of(self, row: LogLine) -> Text:
        text = self.highlight(Text(visible(row.line)))
        return Text().append(_before(row), self.style_of("muted")).append_text(text)

    def strip_of(self, at: int, width: int) -> Strip:
        """Time, node and source stay; the line moves sideways behind them."""
        line = self._rows.get(self.index.id_at(at))
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
        text = Text().append(f"{self._time(line.time):{self._time_width}} ", self.style_of("muted"))
        if self._shows_origin:
            node, source = self._shown_widths()
            text.append(f"{end(visible(line.node), node)} ", self.style_of("other"))
            text.append(f"{end(visible(line.source), source)} ", self.style_of("muted"))
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

    def measure(self, row: LogLine) -> None:
        node, source = self._widths
        self._widths = max(node, cell_len(visible(row.node))), max(source, cell_len(visible(row.source)))
        self._widest = max(self._widest, cell_len(_before(row) + visible(row.line)) + self.origin_width)


def _before(line: LogLine) -> str:
    """Before a line that is shown cut: how long it is; before one whose row is damaged: that. Enter shows all of it."""
    size = f"[{line.length:,} bytes] " if is_cut(line) else ""
    return f"[DAMAGED ROW] {size}" if line.damaged else size


def is_cut(line: LogLine) -> bool:
    """Whether there is more of it than was read for the screen."""
    return line.length > len(line.line.encode("utf-8", "surrogatepass"))


__all__ = ["LogView", "is_cut"]
