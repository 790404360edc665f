"""Log: the shared log, live; paused, filtered, searched, jumped about in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from noroshi.console.app.detail import line_detail, line_job
from noroshi.console.app.filtering import TextFilter, parse_log
from noroshi.console.app.line_index import DenseIndex
from noroshi.console.app.log_search import error_job, lines_job, save_job, time_job
from noroshi.console.app.messages import JobFailed, LinesRead, PlaceFound, ScanStepped
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.search import Search
from noroshi.console.app.widgets.bars import Prompt
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.widgets.log_view import LogView, is_cut
from noroshi.console.output import log_json
from noroshi.console.queries import Picture
from noroshi.console.sanitise import escaped_json, visible
from noroshi.console.times import parse_when
from noroshi.store.views import LogBounds, LogFilter


class LogScreen(NoroshiScreen):
    """One list over the whole log; with a filter, over what it found."""

    TITLE = "LOG"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause"),
        Binding("n", "match(1)", "Next match"),
        Binding("N", "match(-1)", "Previous match"),
        Binding("c", "context", "Matches in context"),
        Binding("e", "error(1)", "Error"),
        Binding("E", "error(-1)", "Previous error"),
        Binding("at", "time", "Time"),
        Binding("o", "origin", "Node and source"),
        Binding("w", "save", "Save to file"),
    ]
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

    def __init__(self) -> None:
        super().__init__()
        self._dense = DenseIndex()
        self.view = LogView(self._dense)
        self._search: Search | None = None
        self._in_context = False
        self._typed = ""
        self._seen_last = 0
        self._sought = ""

    def body(self) -> Widget:
        return self.view

    # --- what was read ----------------------------------------------------------------------------------------------

    def show_picture(self, picture: Picture) -> None:
        old, new = self._dense.bounds, picture.bounds
        if new.last < old.last:
            self._begin_anew(new)
        elif new != old:
            self._dense.bounds = new
            self._grow(old, new)
        self.view.add_lines((line.id for line in picture.tail), picture.tail)
        self._show_state()

    def _grow(self, old: LogBounds, new: LogBounds) -> None:
        if self.view.index is self._dense:
            self.view.grew(old.first - new.first if old.last else 0)
        if self._search is not None:
            gone = self._search.matches.keep_from(new.first)
            if gone and self.view.index is self._search.matches:
                self.view.grew(-gone)
            self._search.go_on(self.console.fetcher)

    def _begin_anew(self, bounds: LogBounds) -> None:
        """Another database was put in place: nothing that was read or found is true any more."""
        typed = self._typed
        self._filter("")
        self._dense = DenseIndex(bounds)
        self.view.forget()
        self.view.show_index(self._dense, TextFilter())
        self.view.follow()
        self._filter(typed)

    def on_lines_read(self, event: LinesRead) -> None:
        self.view.add_lines(event.asked, event.lines)

    def on_scan_stepped(self, event: ScanStepped) -> None:
        search = self._search
        if search is None or event.generation != search.generation:
            return
        above = search.take(event, self.console.fetcher)
        if self.view.index is search.matches:
            self.view.add_lines((), event.step.lines)
            self.view.grew(above)
        self._show_state()

    def on_place_found(self, event: PlaceFound) -> None:
        self._sought = ""
        if event.number is None:
            self.say(f"no {event.sought}")
        else:
            if self._search is not None and self.view.index is not self._dense:
                self._show_in_context()
            self.view.go_to(event.number)
        self._show_state()

    def on_job_failed(self, event: JobFailed) -> None:
        """The disk did not answer; the banner says so. Pages and searches go on when it does."""
        self.view.ask_again()
        if event.key == "place":
            self._sought = ""
            self.say(f"could not look: {visible(event.why)}")
        if event.key == "save":
            self.say(f"not saved: {visible(event.why)}")

    def tick(self) -> None:
        self.view.show_times(self.console.now, self.console.face)
        self._show_state()

    # --- the state line ---------------------------------------------------------------------------------------------

    def _show_state(self) -> None:
        view, total = self.view, len(self._dense)
        line = Text(no_wrap=True, overflow="ellipsis")
        if view.following:
            self._seen_last = self._dense.bounds.last
            line.append(" ▶ FOLLOWING", "bold")
        else:
            line.append(" ‖ PAUSED", "bold reverse")
            new = view.row_count - view.index.row_of(self._seen_last + 1)
            line.append(f" ▼ {new:,} new" if new > 0 else "")
            if view.cursor is not None:
                line.append(f"  row {view.cursor + 1:,} of {view.row_count:,}")
        if self._search is not None:
            line.append(f"  {self._search.told(self._dense.bounds)}", "bold")
            line.append(" in context" if self._in_context else "")
        elif view.following:
            line.append(f"  {total:,} lines")
        if self._sought:
            line.append(f"  looking for {self._sought}, Esc stops", "bold")
        line.append(f"  times {'local' if self.console.face.local else 'UTC'}")
        self.state_bar.show(line)

    def on_log_view_moved(self, event: LogView.Moved) -> None:
        event.stop()
        self._show_state()

    # --- actions ----------------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        if self.view.following:
            self.view.pause()
        else:
            self.view.follow()

    def action_filter(self) -> None:
        self.prompt("filter", "/", self._typed, "text, !text, node:db1, source:/var/log/**")

    def action_back(self) -> None:
        if self._sought:
            self.console.fetcher.cancel("place")
            self._sought = ""
        else:
            self._filter("")
        self._show_state()

    def action_context(self) -> None:
        if self._search is None:
            self.say("no filter: type / and a text first")
        elif self._in_context:
            self._in_context = False
            self.view.show_index(self._search.matches, self._search.text)
        else:
            self.view.pause()
            self._show_in_context()
        self._show_state()

    def action_match(self, step: int) -> None:
        if self._search is None:
            self.say("no filter: type / and a text first")
            return
        at = self.view.current_id
        found = None if at is None else self._search.matches.neighbour(at, step)
        if found is None:
            self.say("no further match" + (" yet, still searching" if self._search.searching else ""))
        else:
            self.view.go_to(found)

    def action_error(self, step: int) -> None:
        self._sought = "the next error" if step > 0 else "the previous error"
        self.console.fetcher.submit("place", error_job(self.view.current_id, backward=step < 0))
        self._show_state()

    def action_time(self) -> None:
        zone = "local time" if self.console.face.local else "UTC"
        self.prompt("time", "@", hint=f"14:05, -2h, 2026-11-22T14:05 ({zone})")

    def action_origin(self) -> None:
        self.view.with_origin = not self.view.with_origin
        self.view.refresh()

    def action_save(self) -> None:
        self.prompt(
            "save", "save to: ", f"noroshi-log-{self.console.face.moment(self.console.now):%Y%m%d-%H%M%S}.jsonl"
        )

    def action_copy(self, as_json: bool) -> None:
        line = self.view.current
        if line is None:
            return
        if is_cut(line):
            self.say("the line is longer than what was copied; Enter opens all of it, y there copies it")
        if as_json:
            self.console.copy(escaped_json(json.dumps(log_json(line), ensure_ascii=False)))
        else:
            when = self.console.face.precise(line.observed_at)
            self.console.copy(visible(f"{when} {line.node} {line.source} {line.line}"))

    def show_only(self, typed: str) -> None:
        """Filter by this, as if typed."""
        self._filter(typed)
        self.view.follow()

    # --- messages of widgets ----------------------------------------------------------------------------------------

    def on_log_view_lines_wanted(self, event: LogView.LinesWanted) -> None:
        event.stop()
        self.console.fetcher.submit("page", lines_job(event.ids))

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        event.stop()
        line = self.view.current
        if line is not None:
            key = f"line {line.id}"
            fields = line_detail(line, self.console.now, self.console.face)
            self.console.push_screen(DetailScreen(key, fields, f"line {line.id:,} of {line.source}"))
            self.console.fetcher.submit("detail", line_job(line.id))

    def on_prompt_edited(self, event: Prompt.Edited) -> None:
        event.stop()
        if event.purpose == "filter":
            self.console.after_typing(lambda: self._filter(event.text))

    def on_prompt_closed(self, event: Prompt.Closed) -> None:
        event.stop()
        self.prompt_ended()
        self.view.focus()
        if event.purpose == "filter":
            self._filter(event.text if event.accepted else "")
        elif event.accepted and event.text.strip():
            self._go_to_time(event.text) if event.purpose == "time" else self._save(event.text)

    def _go_to_time(self, typed: str) -> None:
        try:
            instant = parse_when(typed, self.console.now, self.console.face)
        except ValueError as error:
            self.say(str(error))
            return
        self._sought = f"line at {visible(typed)}"
        self.console.fetcher.submit("place", time_job(instant, typed))

    def _save(self, typed: str) -> None:
        which = self._search.which if self._search else LogFilter()
        self.say("saving …")
        self.console.fetcher.submit("save", save_job(which, Path(typed).expanduser()))

    def _filter(self, typed: str) -> None:
        typed = typed.strip()
        if typed == self._typed and (self._search is not None) == bool(typed):
            return
        self._typed, self._in_context = typed, False
        if self._search is not None:
            self._search.stop(self.console.fetcher)
            self._search = None
        if typed:
            which, text = parse_log(typed)
            self._search = Search(typed, which, text, self._dense.bounds)
            self._search.begin(self.console.fetcher)
            self.view.show_index(self._search.matches, text)
        else:
            self.view.show_index(self._dense, TextFilter())
        self._show_state()

    def _show_in_context(self) -> None:
        if self._search is not None:
            self._in_context = True
            self.view.show_index(self._dense, self._search.text)
