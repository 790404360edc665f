"""Something to read and a question: the keys that answer it; Esc and Enter say no, or go back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from noroshi.console.app.widgets.bars import Bar, Hints, KeyBar
from noroshi.console.app.widgets.text_view import Line, TextView
from noroshi.console.sanitise import visible


class ChoiceScreen(ModalScreen[str]):
    """Gives the key chosen, or an empty string for no: nothing is ever done by Enter, Esc or q."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "refuse", "No", priority=True),
    ]

    def __init__(self, question: str, lines: Iterable[Line], choices: Hints, refusal: str = "no, go back") -> None:
        super().__init__()
        self._question, self._choices, self._refusal = question, choices, refusal
        self.view = TextView(lines)

    def compose(self) -> ComposeResult:
        yield Bar(id="header")
        yield self.view
        yield KeyBar((*self._choices, ("Esc Enter", self._refusal)))

    def on_mount(self) -> None:
        self.query_one("#header", Bar).show(f" {visible(self._question)}")

    def on_key(self, event: events.Key) -> None:
        if event.character and event.character in dict(self._choices):
            event.stop()
            self.dismiss(event.character)

    def action_refuse(self) -> None:
        self.dismiss("")
