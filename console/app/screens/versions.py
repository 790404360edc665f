"""The versions of one definition: who changed what, when; from here an older one is made the newest again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from noroshi.console.app.definition_detail import compared, definition_lines, version_lines
from noroshi.console.app.definition_jobs import (
    Conflict,
    Done,
    Failed,
    Steps,
    Versions,
    answering,
    rolling_back,
    versions,
)
from noroshi.console.app.draft import Base, difference
from noroshi.console.app.messages import Answered
from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.screens.text import TextScreen
from noroshi.console.app.widgets.bars import Bar, KeyBar
from noroshi.console.app.widgets.text_view import Line, TextView
from noroshi.console.sanitise import visible
from noroshi.store import changes
from noroshi.store.tables.definitions import VersionRow

if TYPE_CHECKING:
    from noroshi.console.app.app import NoroshiApp

HINTS = (("Esc", "close"), ("Enter", "all of this version"), ("r", "roll back to it"))


class VersionsScreen(ModalScreen[None]):
    """Newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("r", "roll_back", "Roll back"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self._definition = name
        self._rows: tuple[VersionRow, ...] = ()
        self.view = TextView([Line("reading …")])
        self.key_bar = KeyBar(HINTS)

    @property
    def console(self) -> NoroshiApp:
        return cast("NoroshiApp", self.app)

    def compose(self) -> ComposeResult:
        yield Bar(id="header")
        yield self.view
        yield self.key_bar

    def on_mount(self) -> None:
        self.query_one("#header", Bar).show(visible(f" VERSIONS of {self._definition}, newest first"))
        self._offer()
        self._ask(versions(self._definition))

    def _offer(self) -> None:
        self.key_bar.offer(HINTS, frozenset("r") if self._obstacle() else frozenset())

    def _obstacle(self) -> str:
        """Why nothing can be rolled back now; empty: it can."""
        if self.console.read_only:
            return "this console was started with --read-only"
        return "" if self.console.led else "there is no coordinator now: rolling back waits for one"

    def _ask(self, steps: Steps) -> None:
        self.console.asker.submit("versions", answering(self, "versions", steps))

    def on_answered(self, event: Answered) -> None:
        """What this screen asked for."""
        match event.answer:
            case Versions(_, rows):
                self._show(rows)
            case Done(what):
                self.key_bar.tell(f"{visible(what)} is in force now")
                self._ask(versions(self._definition))
            case Conflict(theirs):
                self._tell(f"{theirs.author} made version {theirs.version} meanwhile. Nothing was changed.")
                self._ask(versions(self._definition))
            case Failed(_, what):
                self._tell(what)

    def _tell(self, what: str) -> None:
        lines = [Line(visible(line)) for line in what.splitlines()]
        self.console.push_screen(ChoiceScreen("NOT ROLLED BACK", lines, (), "close"))

    def _show(self, rows: tuple[VersionRow, ...]) -> None:
        self._rows = rows
        self._offer()
        logged = zip(rows, changes.log(rows), strict=True)
        lines = version_lines(reversed(list(logged)), self.console.face, self.console.now)
        self.view.show(lines or [Line("no version is kept")])
        self.view.focus()
        self.view.action_to_start()

    def on_text_view_chosen(self, event: TextView.Chosen) -> None:
        event.stop()
        row = event.place
        if not isinstance(row, VersionRow):
            return
        lines = ["this version removed it"] if row.definition is None else definition_lines(row.definition)
        shown = [Line(visible(line)) for line in lines]
        self.console.push_screen(TextScreen(f"version {row.version}", f"{row.name} v{row.version}", shown))

    def action_roll_back(self) -> None:
        line = self.view.current
        row = line.place if line else None
        if why := self._obstacle():
            self.key_bar.tell(why)
            return
        if not isinstance(row, VersionRow) or not self._rows:
            self.key_bar.tell("there is no version here")
            return
        newest = self._rows[-1]
        if row.definition is None:
            self.key_bar.tell("this version removed it: 'd' in the list of definitions does that")
            return
        changed = difference(newest.definition, row.definition)
        if not changed:
            self.key_bar.tell(f"version {row.version} is the same as what is in force")
            return
        question = f"ROLL BACK {row.name} to v{row.version}?  y: yes   Esc, Enter: no"
        screen = ChoiceScreen(question, compared(changed), (("y", f"yes, as v{newest.version + 1}"),))
        self.console.push_screen(screen, partial(self._roll_back, row, newest))

    def _roll_back(self, wanted: VersionRow, newest: VersionRow, chosen: str | None) -> None:
        if chosen == "y" and wanted.definition is not None:
            self._ask(rolling_back(wanted.definition, Base(wanted.name, newest.version, newest.definition)))
