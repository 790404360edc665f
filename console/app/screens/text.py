"""Something to read, which may grow while it is read; Esc, q or Enter closes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from noroshi.console.app.widgets.bars import Bar, KeyBar
from noroshi.console.app.widgets.text_view import Line, TextView
from noroshi.console.sanitise import visible

if TYPE_CHECKING:
    from noroshi.console.app.app import NoroshiApp


class TextScreen(ModalScreen[None]):
    """`key` says what it is about, so that what comes later finds it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("y", "copy", "Copy"),
    ]

    def __init__(self, key: str, title: str, lines: Iterable[Line]) -> None:
        super().__init__()
        self.key, self._title = key, title
        self.view = TextView(lines)

    def compose(self) -> ComposeResult:
        yield Bar(id="header")
        yield self.view
        yield KeyBar((("Esc", "close"), ("y", "copy all")))

    def on_mount(self) -> None:
        self.query_one("#header", Bar).show(f" {visible(self._title)}")

    def show(self, lines: Iterable[Line]) -> None:
        """Show these instead."""
        self.view.show(lines)

    def action_copy(self) -> None:
        cast("NoroshiApp", self.app).copy("\n".join(line.text for line in self.view.lines))
