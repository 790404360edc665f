"""The bars around the lists: who leads and how old the data is, the warning, the prompt, the state of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from noroshi.console.sanitise import visible


class Bar(Static):
    """One line of safe text; repaints only when it changes."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("", markup=False, **arguments)
        self.shown = Text()

    def show(self, text: Text | str) -> None:
        """Show a rich Text (or a plain string), never markup; the strings in it are sanitised already."""
        shown = Text(text, no_wrap=True, overflow="ellipsis") if isinstance(text, str) else text
        if shown != self.shown:
            self.shown = shown
            self.update(shown)


class StaleBanner(Bar):
    """Says that what is shown is old, on as many lines as it takes; takes no room while there is nothing to say."""

    def show(self, text: Text | str) -> None:
        super().show(Text(text) if isinstance(text, str) else text)
        self.display = bool(self.shown.plain)


class SafeInput(Input):
    """What is pasted passes the sanitiser too: it may have come from a log."""

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.insert_text_at_cursor(visible(event.text.splitlines()[0]) if event.text else "")


class Prompt(Horizontal):
    """One line to type in, shown while it is needed. What it is for stands before it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Done", priority=True),
        Binding("escape", "cancel", "Cancel"),
    ]

    @dataclass
    class Edited(Message):
        """The text changed while typing."""

        purpose: str
        text: str

    @dataclass
    class Closed(Message):
        """Enter (`accepted`) or Escape."""

        purpose: str
        text: str
        accepted: bool

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.purpose = ""

    def compose(self) -> ComposeResult:
        yield Static("", markup=False, id="prompt-label")
        yield SafeInput(id="prompt-input", compact=True, select_on_focus=False)

    def open(self, purpose: str, label: str, text: str = "", hint: str = "") -> None:
        """Ask; the answer comes as `Closed` with this purpose."""
        self.purpose = purpose
        self.query_one("#prompt-label", Static).update(label)
        self.query_one("#prompt-label").styles.width = cell_len(label)
        entry = self.query_one(Input)
        entry.placeholder = hint
        with entry.prevent(Input.Changed):
            entry.value = text
        entry.cursor_position = len(text)
        self.display = True
        entry.focus()
        self.screen.refresh_bindings()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Edited(self.purpose, event.value))

    def action_accept(self) -> None:
        self._close(True)

    def action_cancel(self) -> None:
        self._close(False)

    def _close(self, accepted: bool) -> None:
        self.display = False
        self.screen.refresh_bindings()
        self.post_message(self.Closed(self.purpose, self.query_one(Input).value, accepted))
