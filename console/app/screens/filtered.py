"""A screen over one table that is held whole, of which a filter shows a part as it is typed."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.widget import Widget

from noroshi.console.app.filtering import TextFilter, parse_text
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.widgets.bars import Prompt
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.sanitise import visible


class FilteredScreen(NoroshiScreen):
    """Subclasses give `table`, and show by `show_again` what the filter `wanted` lets through."""

    FILTER_HINT: ClassVar[str] = ""
    """What the prompt of the filter shows while it is empty."""
    table: LineView

    def __init__(self) -> None:
        super().__init__()
        self.wanted = TextFilter()
        self._typed = ""

    def body(self) -> Widget:
        return self.table

    def show_again(self) -> None:
        """Show what was read last, by the filter that is there now."""
        raise NotImplementedError

    def filter(self, typed: str) -> None:
        """Show only this, as if typed; an empty string shows all."""
        self._typed, self.wanted = typed, parse_text(typed)
        self.show_again()

    def filter_line(self, matched: int, total: int) -> Text:
        """The state line's beginning: what is filtered by, and how much is left of how much; empty without a filter."""
        line = Text(no_wrap=True, overflow="ellipsis")
        if self.wanted.text:
            line.append(f" filter {visible(self._typed)}: {matched} of {total}", "bold")
            line.append("  Esc shows all")
        return line

    def action_filter(self) -> None:
        self.prompt("filter", "/", self._typed, self.FILTER_HINT)

    def action_back(self) -> None:
        self.filter("")

    def on_prompt_edited(self, event: Prompt.Edited) -> None:
        event.stop()
        if event.purpose == "filter":
            self.filter(event.text)

    def on_prompt_closed(self, event: Prompt.Closed) -> None:
        event.stop()
        self.prompt_ended()
        if event.purpose == "filter":
            self.filter(event.text if event.accepted else "")
        elif event.accepted:
            self.answered(event.purpose, event.text)

    def answered(self, purpose: str, text: str) -> None:
        """The operator typed this for something else than the filter, and Enter."""
