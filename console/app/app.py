"""The Textual app: starts the reading threads, keeps the last picture, shows it on the screen in front."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.driver import Driver
from textual.screen import Screen
from textual.timer import Timer

from noroshi.console.app import MOST
from noroshi.console.app.clipboard import send
from noroshi.console.app.commands import ConsoleCommands
from noroshi.console.app.detail_read import fields_of
from noroshi.console.app.freshness import Freshness, as_of, warning
from noroshi.console.app.messages import (
    Answered,
    DecisionAnswered,
    DetailRead,
    JobFailed,
    LeadershipSeen,
    LookedAgain,
    PictureRead,
    PlaceFound,
    ReadingBroke,
    RowsRead,
    RowsSaved,
    ScanStepped,
)
from noroshi.console.app.reading import Fetcher, Watcher, in_words
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.app.screens.help import HelpScreen
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.app.screens.notifications import NotificationsScreen
from noroshi.console.app.screens.paged import PagedScreen
from noroshi.console.app.screens.status import StatusScreen
from noroshi.console.app.screens.versions import VersionsScreen
from noroshi.console.app.widgets.bars import KeyBar
from noroshi.console.queries import Leadership, Picture, Queries
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface
from noroshi.store.clock import now_us

TICK = 1.0
CATCH_UP = 0.1
"""Seconds after which a terminal that was behind is looked at again."""
TYPING = 0.2
"""Seconds after the last key before a filter goes through the log."""


class NoroshiApp(App[None]):
    """The console of one cluster."""

    TITLE = "noroshi"
    CSS_PATH = "noroshi.tcss"
    COMMANDS: ClassVar = {ConsoleCommands}
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-high")]  # noqa: RUF012 - declared so by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show('status')", "Status"),
        Binding("2", "show('log')", "Log"),
        Binding("3", "show('notifications')", "Notifications"),
        Binding("4", "show('definitions')", "Definitions"),
        Binding("t", "local_time", "UTC/local"),
        Binding("question_mark", "help", "Help"),
        Binding("colon,ctrl+p", "command_palette", "Commands"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self,
        watching: Queries,
        fetching: Queries,
        asking: Queries,
        *,
        theme: str = "ansi-dark",
        local: bool = False,
        read_only: bool = False,
        driver_class: type[Driver] | None = None,
    ) -> None:
        # told here and not by the theme alone: Textual decides in this call how NO_COLOR takes colours away
        super().__init__(ansi_color=True, driver_class=driver_class)
        self.theme = theme
        self.face = Clockface(local)
        self.now = now_us()
        self.picture: Picture | None = None
        self.leadership: Leadership | None = None
        self.watcher = Watcher(watching, self.post_message)
        self.fetcher = Fetcher(fetching, self.post_message)
        self.asker = Fetcher(asking, self.post_message)
        self.read_only = read_only
        self.faults: list[Exception] = []
        """What went wrong first that is nobody's fault but ours, in the threads that read; MOST at most."""
        self.fault_count = 0
        self._gone_since: int | None = None
        self._started = time.monotonic()
        self._typing: Timer | None = None
        self._catching_up: Timer | None = None
        self._screens_by_name: dict[str, NoroshiScreen] = {}

    def on_mount(self) -> None:
        self._screens_by_name = {
            "status": StatusScreen(),
            "log": LogScreen(),
            "notifications": NotificationsScreen(),
            "definitions": DefinitionsScreen(),
        }
        for name, screen in self._screens_by_name.items():
            self.install_screen(screen, name)
        self.push_screen("status")
        self.set_interval(TICK, self._tick)
        self.watcher.start()
        self.fetcher.start()
        self.asker.start()

    def on_unmount(self) -> None:
        for thread in (self.watcher, self.fetcher, self.asker):
            thread.stop()

    # --- what the threads tell ------------------------------------------------------------------------------------

    def on_picture_read(self, event: PictureRead) -> None:
        self.now = now_us()
        self.picture = event.picture
        self._see(event.picture.status.leadership, self.now)
        self._show_picture()

    def _show_picture(self) -> None:
        """The newest there is, as soon as the terminal has taken what was drawn before: keys come first."""
        if self._catching_up is not None:
            self._catching_up.stop()
        if self.picture is None:
            return
        if self.is_behind:
            self._catching_up = self.set_timer(CATCH_UP, self._show_picture)
            return
        for screen in self._mounted():
            screen.show_picture(self.picture)
        if isinstance(front := self._front, DetailScreen) and front.renewal is not None:
            self.fetcher.submit("detail", front.renewal)
        self._show_bars()

    def on_leadership_seen(self, event: LeadershipSeen) -> None:
        self._see(event.leadership, event.at)
        self._refresh_front()

    def _see(self, leadership: Leadership, at: int) -> None:
        was_held = self.leadership is not None and self.leadership.held
        self.leadership = leadership
        if leadership.held:
            self._gone_since = None
        elif was_held:
            self._gone_since = at

    def on_reading_broke(self, event: ReadingBroke) -> None:
        """Nobody who watches a cluster is helped by a console that ends: it is told now, and whole when it is quit."""
        self.fault_count += 1
        if len(self.faults) < MOST:  # each holds the frames it came through, and a watch goes on for weeks
            self.faults.append(event.error)
        self.say(f"a fault of this console, please report it: {visible(in_words(event.error))}")

    def on_rows_read(self, event: RowsRead) -> None:
        self._paged(event.table).on_rows_read(event)

    def on_scan_stepped(self, event: ScanStepped) -> None:
        for screen in self._all_paged():
            screen.on_scan_stepped(event)

    def on_looked_again(self, event: LookedAgain) -> None:
        for screen in self._all_paged():
            screen.on_looked_again(event)

    def on_place_found(self, event: PlaceFound) -> None:
        self._paged(event.table).on_place_found(event)

    def on_job_failed(self, event: JobFailed) -> None:
        if event.key == "detail":
            self.say(f"the rest cannot be read: {visible(event.why)}")
        for screen in self._all_paged():
            screen.on_job_failed(event)

    def on_rows_saved(self, event: RowsSaved) -> None:
        self.say(f"{event.count} saved to {visible(event.path)}")

    def on_decision_answered(self, event: DecisionAnswered) -> None:
        event.by.ended(event)

    def on_detail_read(self, event: DetailRead) -> None:
        screen = self._front
        if not isinstance(screen, DetailScreen) or screen.key != event.key:
            return
        if (fields := fields_of(event, screen.fields, self.now, self.face)) is not None:
            screen.show(fields)

    def on_answered(self, event: Answered) -> None:
        if self._front is None:
            return
        if isinstance(event.screen, DefinitionsScreen | EditorScreen | VersionsScreen) and event.screen.is_attached:
            event.screen.on_answered(event)

    @property
    def is_behind(self) -> bool:
        """Whether the terminal has not taken yet what was drawn."""
        return getattr(self._driver, "is_behind", False)

    @property
    def led(self) -> bool:
        """Whether somebody holds the coordinator's role."""
        return self.leadership is not None and self.leadership.held

    def warning(self) -> str:
        """What the banner says now; empty while what is shown is up to date."""
        return warning(self._known, time.monotonic(), now_us(), self.face)

    @property
    def as_of(self) -> int | None:
        """The last instant of which the picture tells for sure, microseconds UTC; None while it is up to date."""
        return as_of(self._known, time.monotonic())

    @property
    def _known(self) -> Freshness:
        status = self.picture.status if self.picture else None
        written = (status.written_at, len(status.nodes)) if status else (None, 0)
        return Freshness(self.watcher.health, self._started, self.leadership, self._gone_since, *written)

    def say(self, text: str) -> None:
        """Tell something in passing, on whatever is in front; `text` is safe."""
        for bar in self._front.query(KeyBar) if self._front else ():
            bar.tell(text)

    # --- what the operator wants ------------------------------------------------------------------------------------

    def action_show(self, name: str) -> None:
        screen = self._screens_by_name[name]
        if self.screen is not screen and self._standing:
            self.switch_screen(name)

    def action_next_screen(self) -> None:
        if not self._standing:
            return
        names = list(self._screens_by_name)
        at = next(at for at, name in enumerate(names) if self._screens_by_name[name] is self.screen)
        self.action_show(names[(at + 1) % len(names)])

    def action_local_time(self) -> None:
        self.face = Clockface(not self.face.local)
        self._refresh_front()
        self.say("times are local now" if self.face.local else "times are UTC now")

    def action_help(self) -> None:
        if isinstance(screen := self.screen, NoroshiScreen):
            self.push_screen(HelpScreen(screen.TITLE, screen.HELP_LINES, standing=screen.STANDING))

    def action_theme(self) -> None:
        self.theme = "ansi-light" if self.theme == "ansi-dark" else "ansi-dark"

    def action_help_quit(self) -> None:
        """Ctrl+C, which ends nothing here."""
        self.say("nothing was ended: q quits, and Ctrl+Q does so from anywhere")

    async def action_quit(self) -> None:
        """At once, unless something typed is not saved."""
        unsaved = [screen for screen in self._editors() if screen.unsaved]
        if unsaved:
            unsaved[-1].ask_to_leave(self.exit)
        else:
            self.exit()

    def action_command_palette(self) -> None:
        if self._standing:
            self.push_screen(CommandPalette(id="--command-palette", placeholder="what to do, or where to go"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """None of Textual's own: those that make sense here are in `ConsoleCommands`."""
        return ()

    def show_log(self, typed: str) -> None:
        """The log, filtered."""
        self.action_show("log")
        self.call_later(lambda: self.log_screen.show_only(typed))

    def show_terms(self) -> None:
        """Who led, over the status screen."""
        self.action_show("status")
        self.call_later(self.status_screen.action_terms)

    def show_holding(self) -> None:
        """What holds notifications back, over the screen they are listed on."""
        self.action_show("notifications")
        self.call_later(self.notifications_screen.action_holding)

    def show_line(self, number: int) -> None:
        """The log, standing on the line with this id."""
        self.action_show("log")
        self.call_later(lambda: self.log_screen.stand_on(number))

    def show_definition(self, name: str) -> None:
        """The definitions, standing on one."""
        self.action_show("definitions")
        self.call_later(lambda: self.definitions_screen.stand_on(name))

    def show_notifications(self, typed: str) -> None:
        """The notifications, filtered."""
        self.action_show("notifications")
        self.call_later(lambda: self.notifications_screen.show_only(typed))

    def definition_saved(self, what: str) -> None:
        """An edit is in the database: show it in the list, and say so."""
        self.say(f"{visible(what)} saved")
        self.definitions_screen.saved(what)

    def show_row(self, key: str) -> None:
        """The status screen, standing on a row."""
        self.action_show("status")
        self.call_later(lambda: self.status_screen.stand_on(key))

    def after_typing(self, action: Callable[[], None]) -> None:
        """Do it once no key was pressed for a moment."""
        self.typing_ended()
        self._typing = self.set_timer(TYPING, action)

    def typing_ended(self) -> None:
        """What was to be done after a moment is not to be done any more."""
        if self._typing is not None:
            self._typing.stop()

    @work(thread=True)
    def copy(self, text: str) -> None:
        """Send text to the clipboard, the way that can work here, and say what became of it."""
        said = send(text, lambda sent: self.call_from_thread(self.copy_to_clipboard, sent))
        self.call_from_thread(self.say, said)

    # --- time goes on -----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.now = now_us()
        if not self.is_behind:
            self._refresh_front()

    def _refresh_front(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, NoroshiScreen) and screen.is_mounted:
                screen.tick()
        self._show_bars()

    def _show_bars(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, NoroshiScreen) and screen.is_mounted:
                screen.show_bars()

    def _mounted(self) -> list[NoroshiScreen]:
        """The standing screens that were shown once, and those on top of them."""
        on_top = [screen for screen in self.screen_stack if isinstance(screen, NoroshiScreen) and not screen.STANDING]
        return [screen for screen in [*self._screens_by_name.values(), *on_top] if screen.is_mounted]

    def _editors(self) -> list[EditorScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, EditorScreen)]

    @property
    def _front(self) -> Screen[Any] | None:
        """The screen in front; None once the app ends, when what the threads have told may still come in."""
        return self.screen_stack[-1] if self.screen_stack else None

    @property
    def _standing(self) -> bool:
        """Whether one of the screens is in front that the number keys lead to."""
        return isinstance(self.screen, NoroshiScreen) and self.screen.STANDING

    @property
    def definitions_screen(self) -> DefinitionsScreen:
        return cast(DefinitionsScreen, self._screens_by_name["definitions"])

    def _paged(self, name: str) -> PagedScreen[Any, Any]:
        return cast("PagedScreen[Any, Any]", self._screens_by_name[name])

    def _all_paged(self) -> list[PagedScreen[Any, Any]]:
        return [screen for screen in self._screens_by_name.values() if isinstance(screen, PagedScreen)]

    @property
    def notifications_screen(self) -> NotificationsScreen:
        return cast(NotificationsScreen, self._screens_by_name["notifications"])

    @property
    def log_screen(self) -> LogScreen:
        return cast(LogScreen, self._screens_by_name["log"])

    @property
    def status_screen(self) -> StatusScreen:
        return cast(StatusScreen, self._screens_by_name["status"])
