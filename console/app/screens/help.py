"""The keys of a screen, and what the shapes mean; Esc, q or ? closes it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from noroshi.console.app.screens.detail import DetailView
from noroshi.console.app.widgets.bars import Bar, KeyBar

Lines = tuple[tuple[str, str], ...]

EVERYWHERE: Lines = (
    ("1 2 3 4  Tab", "status, log, notifications, definitions; the next of them"),
    ("arrows  j k", "up, down; PgUp PgDn or b; g G first, last"),
    ("y  Y", "copy the row; as JSON"),
    ("t", "times in UTC or local"),
    (":  Ctrl+P", "commands by name; go to a node"),
    ("?  q", "this help; quit"),
)
ABOVE: Lines = (
    ("t", "times in UTC or local"),
    ("?", "this help"),
)
"""On a screen that lies above those: its own keys lead out of it first."""
SHAPES: Lines = (
    ("✖", "DOWN, ERROR: trouble now"),
    ("◐ ▲ ?", "SUSPECT, DEGRADED; WARNING; UNKNOWN"),
    ("◆", "a state in the user's own word"),
    ("○", "STOPPED: it said goodbye"),
    ("●", "UP, OK"),
)


class HelpScreen(ModalScreen[None]):
    """One list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "Close"),
    ]

    def __init__(self, title: str, lines: Lines, *, standing: bool) -> None:
        super().__init__()
        self._title, self._lines = title, (*lines, ("", ""), *(EVERYWHERE if standing else ABOVE))

    def compose(self) -> ComposeResult:
        yield Bar(id="header")
        yield DetailView([*self._lines, ("", ""), *SHAPES])
        yield KeyBar((("Esc", "close"),))

    def on_mount(self) -> None:
        self.query_one("#header", Bar).show(f" HELP: {self._title}")
