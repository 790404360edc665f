"""A screen over one table: live, paused, filtered, searched, jumped about in, saved."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import ClassVar, Generic, cast

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.line_index import DenseIndex
from noroshi.console.app.messages import JobFailed, LookedAgain, PlaceFound, RowsRead, ScanStepped
from noroshi.console.app.reading import Job
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.search import Search
from noroshi.console.app.table_jobs import rows_job, save_job, time_job, trouble_job
from noroshi.console.app.tables import Row, Table, Which
from noroshi.console.app.widgets.bars import Prompt
from noroshi.console.app.widgets.paged_view import PagedView
from noroshi.console.queries import Picture
from noroshi.console.sanitise import escaped_json, visible
from noroshi.console.times import parse_when
from noroshi.store.views import Bounds


class PagedScreen(NoroshiScreen, Generic[Row, Which]):
    """One list over the whole table; with a filter, over what it found. Subclasses give the table and the view."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause"),
        Binding("n", "match(1)", "Next match"),
        Binding("N", "match(-1)", "Previous match"),
        Binding("c", "context", "Matches in context"),
        Binding("e", "trouble(1)", "Trouble"),
        Binding("E", "trouble(-1)", "Previous trouble"),
        Binding("at", "time", "Time"),
        Binding("w", "save", "Save to file"),
    ]
    FILTER_HINT: ClassVar[str] = ""
    """What the prompt of the filter shows while it is empty."""
    EMPTY: ClassVar[str] = ""
    """What stands in place of the list while the table is empty."""

    def __init__(self, table: Table[Row, Which]) -> None:
        super().__init__()
        self.table = table
        self._dense = DenseIndex()
        self.view = self.make_view(self._dense)
        self._search: Search | None = None
        self._in_context = False
        self._typed = ""
        self._seen_last = 0
        self._sought = ""

    def make_view(self, index: DenseIndex) -> PagedView[Row]:
        """The list, over every row at first."""
        raise NotImplementedError

    def in_words(self, row: Row) -> str:
        """A row as it is copied, safe."""
        raise NotImplementedError

    def body(self) -> Widget:
        return self.view

    # --- what was read ----------------------------------------------------------------------------------------------

    def show_picture(self, picture: Picture) -> None:
        old, new = self._dense.bounds, self.table.bounds(picture)
        if new.last < old.last:
            self._begin_anew(new)
        elif new != old:
            with self.view.changing():
                self._dense.bounds = new
                if self._search is not None:
                    self._search.matches.keep_from(new.first)
        if self._search is not None and (new != old or self._search.is_unsettled):
            self._search.go_on(self.console.fetcher)
        self._show_state()

    def _begin_anew(self, bounds: Bounds) -> None:
        """Another database was put in place: nothing that was read or found is true any more."""
        typed = self._typed
        self._filter("")
        self._dense = DenseIndex(bounds)
        self.view.forget()
        self.view.show_index(self._dense, TextFilter())
        self.view.follow()
        self._filter(typed)

    def on_rows_read(self, event: RowsRead) -> None:
        self.view.add_rows(event.asked, cast("Iterable[Row]", event.rows))

    def on_scan_stepped(self, event: ScanStepped) -> None:
        if self._search is None or event.generation != self._search.generation:
            return
        if self.view.index is self._search.matches:
            self.view.add_rows((), cast("Iterable[Row]", event.found.rows))
        with self.view.changing():
            self._search.take(event, self.console.fetcher)
        self._show_state()

    def on_looked_again(self, event: LookedAgain) -> None:
        if self._search is not None and event.generation == self._search.generation:
            with self.view.changing():
                self._search.take_again(event)
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
        self.view.ask_again(at_once=not event.fault)
        if event.key == self._key("place"):
            self._sought = ""
            self.say(f"could not look: {visible(event.why)}")
        if event.key == self._key("save"):
            self.say(f"not saved: {visible(event.why)}; w asks for another place")

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
            line.append(f"  {total:,} {self.table.one if total == 1 else self.table.noun}")
        if self._sought:
            line.append(f"  looking for {self._sought}, Esc stops", "bold")
        view.say_of_nothing(self._nothing())
        line.append(self.more_state())
        line.append(f"  times {'local' if self.console.face.local else 'UTC'}")
        self.state_bar.show(line)

    def _nothing(self) -> str:
        if self._search is None:
            return self.EMPTY
        return "" if self._search.searching else self.none_found(self._typed)

    def none_found(self, typed: str) -> str:
        """What it means that a filter finds nothing; safe."""
        return "  nothing found; Esc shows all"

    def more_state(self) -> str:
        """What else the state line tells; safe."""
        return ""

    def on_paged_view_moved(self, event: PagedView.Moved) -> None:
        event.stop()
        self._show_state()

    # --- actions ----------------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        if self.view.following:
            self.view.pause()
        else:
            self.view.follow()

    def action_filter(self) -> None:
        self.prompt("filter", "/", self._typed, self.FILTER_HINT)

    def action_back(self) -> None:
        if self._sought:
            self.console.fetcher.cancel(self._key("place"))
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

    def action_trouble(self, step: int) -> None:
        if self.view.following:  # nobody has gone anywhere yet: the newest is meant, by either key
            self._seek_trouble(None, "newest", "", backward=True)
        elif step > 0:
            self._seek_trouble(self.view.current_id, "next", "further ", backward=False)
        else:
            self._seek_trouble(self.view.current_id, "previous", "earlier ", backward=True)

    def _seek_trouble(self, position: int | None, which: str, no: str, *, backward: bool) -> None:
        self._sought = f"the {which} {self.table.trouble_name}"
        self._submit("place", trouble_job(self.table, position, no, backward=backward))
        self._show_state()

    def action_time(self) -> None:
        zone = "local time" if self.console.face.local else "UTC"
        self.prompt("time", "@", hint=f"14:05, -2h, 2026-11-22T14:05 ({zone})")

    def action_save(self) -> None:
        when = f"{self.console.face.moment(self.console.now):%Y%m%d-%H%M%S}"
        self.prompt("save", "save to: ", f"noroshi-{self.table.name}-{when}.jsonl")

    def action_copy(self, as_json: bool) -> None:
        row = self.view.current
        if row is not None and as_json:
            self.console.copy(escaped_json(json.dumps(self.table.as_json(row), ensure_ascii=False)))
        elif row is not None:
            self.console.copy(self.in_words(row))
        else:
            self.say_nothing_here()

    def show_only(self, typed: str) -> None:
        """Filter by this, as if typed."""
        self._filter(typed)
        self.view.follow()

    def stand_on(self, number: int) -> None:
        """Stand on the row with this id, amid all the others."""
        self._filter("")
        self.view.go_to(number)
        self._show_state()

    # --- messages of widgets ----------------------------------------------------------------------------------------

    def on_paged_view_rows_wanted(self, event: PagedView.RowsWanted) -> None:
        event.stop()
        self._submit("page", rows_job(self.table, event.ids))

    def on_prompt_edited(self, event: Prompt.Edited) -> None:
        event.stop()
        if event.purpose == "filter":
            self.console.after_typing(lambda: self._filter(event.text))

    def on_prompt_closed(self, event: Prompt.Closed) -> None:
        event.stop()
        self.console.typing_ended()
        self.prompt_ended()
        if event.purpose == "filter":
            self._filter(event.text if event.accepted else "")
        elif event.accepted:
            self.answered(event.purpose, event.text)

    def answered(self, purpose: str, text: str) -> None:
        """The operator typed this, and Enter."""
        if purpose == "time" and text.strip():
            self._go_to_time(text)
        elif purpose == "save" and text.strip():
            self._save(text)

    def _go_to_time(self, typed: str) -> None:
        try:
            instant = parse_when(typed, self.console.now, self.console.face)
        except ValueError as error:
            self.say(str(error))
            return
        self._sought = f"{self.table.one} at {visible(typed)}"
        self._submit("place", time_job(self.table, instant, typed))

    def _save(self, typed: str) -> None:
        which = self._search.which if self._search else self.table.everything
        self.say("saving …")
        self._submit("save", save_job(self.table, which, typed.strip()))

    def _filter(self, typed: str) -> None:
        typed = typed.strip()
        if typed == self._typed and (self._search is not None) == bool(typed):
            return
        self._typed, self._in_context = typed, False
        if self._search is not None:
            self._search.stop(self.console.fetcher)
            self._search = None
        if typed:
            which, text = self.table.parse(typed)
            self._search = Search(typed, self.table, which, text, self._dense.bounds)
            self._search.begin(self.console.fetcher)
            self.view.show_index(self._search.matches, text)
        else:
            self.view.show_index(self._dense, TextFilter())
        self._show_state()

    def _show_in_context(self) -> None:
        if self._search is not None:
            self._in_context = True
            self.view.show_index(self._dense, self._search.text)

    def _submit(self, kind: str, job: Job) -> None:
        self.console.fetcher.submit(self._key(kind), job)

    def _key(self, kind: str) -> str:
        return f"{self.table.name} {kind}"
