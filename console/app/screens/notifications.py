"""Notifications: who was told of what, when, by which attempts; under way and past."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget

from noroshi.console.app.filtering import with_status
from noroshi.console.app.line_index import DenseIndex
from noroshi.console.app.notification_detail import brief_detail, notification_job
from noroshi.console.app.notification_rows import chain, definition, subject
from noroshi.console.app.screens.deciding import Deciding, acknowledgement
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.screens.paged import PagedScreen
from noroshi.console.app.tables import UNTOLD, HistoryTable
from noroshi.console.app.widgets.bars import Bar
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.widgets.notification_view import NotificationView
from noroshi.console.queries import Picture
from noroshi.console.sanitise import visible
from noroshi.store.views import HistorySearch, Notification


class NotificationsScreen(PagedScreen[Notification, HistorySearch]):
    """Newest last, as in the log; those under way change in place."""

    TITLE = "NOTIFICATIONS"
    TELLS_HOLDING = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "acknowledge", "Acknowledge"),
        Binding("v", "subject", "Its event or line"),
        Binding("D", "definition", "Its definition"),
        Binding("p", "only('pending')", "Pending"),
        Binding("f", f"only('{','.join(UNTOLD)}')", "Failed"),
        Binding("d", "only('delivered')", "Delivered"),
        Binding("H", "only('held')", "Held back"),
        Binding("s", "holding", "Silences"),
    ]
    EMPTY = "  no notification yet: nothing has come that a definition matches; 4 shows them"
    FILTER_HINT = "text, !text, status:failed, event:app/*, node:db1"
    HINTS = (
        ("?", "help"),
        ("q", "quit"),
        ("/", "filter"),
        ("p f d H", "status"),
        ("Enter", "all"),
        ("a", "ack"),
        ("v", "event"),
        (":", "more"),
    )
    HELP_LINES = (
        ("Enter", "the chain of attempts, reasons, what a program printed"),
        ("a", "acknowledge its event: you look after it, repeats and escalations stop"),
        ("v", "to its event in the status, or its line in the log"),
        ("D", "to the definition that says who is told"),
        ("p f d H", "only pending, failed, delivered, held back; again: all"),
        ("s", "what holds notifications back: silences, maintenance, flapping, limits; who acknowledged what"),
        ("/", "only those with this text; !text without; status:failed event:app/* definition:x node:db1"),
        ("n  N", "next, previous one the filter found"),
        ("c", "those found in their context, and back"),
        ("e  E", "next, previous one that failed"),
        ("@", "go to a time: 14:05, -2h, 2026-11-22T14:05"),
        ("Space", "pause, or follow again; scrolling up pauses, G or the end follows"),
        ("w", "save those the filter found to a file, JSON lines"),
        ("✖ ▲ ◐ ○ ●", "failed; no answer in time; under way; held, skipped; delivered"),
    )
    view: NotificationView

    def __init__(self) -> None:
        super().__init__(HistoryTable())
        self.titles = Bar(id="titles")
        self._deciding = Deciding(self)

    def body(self) -> Widget:
        return Vertical(self.titles, self.view, id="titled")

    def make_view(self, index: DenseIndex) -> NotificationView:
        return NotificationView(index)

    def show_picture(self, picture: Picture) -> None:
        super().show_picture(picture)
        self.view.age()

    def show_bars(self) -> None:
        super().show_bars()
        can_ask = self.console.led and not self.console.read_only
        self.key_bar.offer(self.HINTS, frozenset() if can_ask else frozenset("a"))

    def more_state(self) -> str:
        pending = self.console.picture.pending if self.console.picture else 0
        return f"  ◐ {pending:,} pending" if pending else ""

    def none_found(self, typed: str) -> str:
        if typed.startswith("event:"):
            return "  nobody was told of it: no definition matches (4), or it is no longer kept"
        return super().none_found(typed)

    def in_words(self, row: Notification) -> str:
        when, status = self.console.face.precise(row.created_at), visible(row.status)
        return f"{when} {status} {definition(row)}  {subject(row)}  {chain(row, self.console.now)}"

    # --- actions ----------------------------------------------------------------------------------------------------

    def action_only(self, statuses: str) -> None:
        self.show_only(with_status(self._typed, statuses))

    def action_acknowledge(self) -> None:
        row = self.view.current
        if row is None:
            self.say("nothing to acknowledge")
        elif row.event is None:
            self.say("only an event can be acknowledged, and this tells of a line")
        else:
            self._deciding.begin(acknowledgement(row.event, row.state or ""))

    def action_subject(self) -> None:
        row = self.view.current
        if row is None:
            self.say_nothing_here()
        elif row.event is not None:
            self.console.show_row(f"state {row.event}")
        elif row.log_id is not None and row.source is not None:
            self.console.show_line(row.log_id)
        else:
            self.say("what it told of is no longer kept")

    def action_definition(self) -> None:
        row = self.view.current
        if row is not None and row.definition:
            self.console.show_definition(row.definition)
        elif row is not None:
            self.say("no definition was there for it: it was told to the coordinator's own node")
        else:
            self.say_nothing_here()

    # --- messages ---------------------------------------------------------------------------------------------------

    def on_notification_view_columns_changed(self, event: NotificationView.ColumnsChanged) -> None:
        event.stop()
        self.titles.show(self.view.columns.titles)

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        event.stop()
        row = self.view.current
        if row is not None:
            fields = brief_detail(row, self.console.now, self.console.face)
            self.console.push_screen(NotificationDetail(row, fields))
            self.console.fetcher.submit("detail", notification_job(row.id))
        else:
            self.say_nothing_here()

    def answered(self, purpose: str, text: str) -> None:
        if not self._deciding.answered(purpose, text):
            super().answered(purpose, text)


class NotificationDetail(DetailScreen):
    """One notification, kept up to date while it is open; what can be done with it is done in the list below it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "below('acknowledge')", "Acknowledge"),
        Binding("v", "below('subject')", "Its event or line"),
        Binding("D", "below('definition')", "Its definition"),
    ]
    HINTS = (
        ("Esc", "close"),
        ("a", "acknowledge"),
        ("v", "its event or line"),
        ("D", "its definition"),
        ("y", "copy all"),
    )

    def __init__(self, row: Notification, fields: list[tuple[str, str]]) -> None:
        super().__init__(f"notification {row.id}", fields, f"NOTIFICATION {row.id:,}  {subject(row)}")
        self.renewal = notification_job(row.id)

    def action_below(self, action: str) -> None:
        console = self.console
        self.dismiss()
        console.call_later(console.notifications_screen.run_action, action)
