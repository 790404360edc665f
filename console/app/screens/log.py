"""Log: the shared log."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from noroshi.console.app.detail import line_detail, line_job
from noroshi.console.app.line_index import DenseIndex
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.screens.paged import PagedScreen
from noroshi.console.app.tables import LogTable
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.widgets.log_view import LogView, is_cut
from noroshi.console.queries import Picture
from noroshi.console.sanitise import visible
from noroshi.store.views import LogFilter, LogLine


class LogScreen(PagedScreen[LogLine, LogFilter]):
    """The lines of all nodes in one list."""

    TITLE = "LOG"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "origin", "Node and source"),
    ]
    EMPTY = "  no line yet: `logs:` in each node file says which files are followed"
    FILTER_HINT = "text, !text, node:db1, source:/var/log/**"
    HINTS = (
        ("?", "help"),
        ("q", "quit"),
        ("/", "filter"),
        ("Space", "pause"),
        ("e E", "error"),
        ("@", "time"),
        ("Enter", "all"),
        ("1", "status"),
        (":", "more"),
    )
    HELP_LINES = (
        ("Space", "pause, or follow again; scrolling up pauses, G or the end follows"),
        ("/", "show only lines with this text; !text without; node:db1 source:/var/log/** text"),
        ("n  N", "next, previous line the filter found"),
        ("c", "the found lines in their context, and back"),
        ("e  E", "next, previous line that tells of an error (error, fail, fatal, panic, crit)"),
        ("@", "go to a time: 14:05, -2h, 2026-11-22T14:05"),
        ("Enter", "the whole line, with where and when"),
        ("o", "show or hide node and source"),
        ("w", "save the lines of the filter to a file, JSON lines"),
        ("h  l", "move sideways"),
    )

    view: LogView

    def __init__(self) -> None:
        super().__init__(LogTable())

    def make_view(self, index: DenseIndex) -> LogView:
        return LogView(index)

    def show_picture(self, picture: Picture) -> None:
        super().show_picture(picture)
        self.view.add_rows((line.id for line in picture.tail), picture.tail)

    def in_words(self, row: LogLine) -> str:
        return visible(f"{self.console.face.precise(row.time)} {row.node} {row.source} {row.line}")

    def action_copy(self, as_json: bool) -> None:
        line = self.view.current
        if line is not None and is_cut(line):
            self.say("the line is longer than what was copied; Enter opens all of it, y there copies it")
        super().action_copy(as_json)

    def action_origin(self) -> None:
        self.view.with_origin = not self.view.with_origin
        self.view.refresh()

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        event.stop()
        line = self.view.current
        if line is not None:
            fields = line_detail(line, self.console.now, self.console.face)
            self.console.push_screen(DetailScreen(f"line {line.id}", fields, f"line {line.id:,} of {line.source}"))
            self.console.fetcher.submit("detail", line_job(line.id))
        else:
            self.say_nothing_here()
