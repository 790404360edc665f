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
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from noroshi.console.sanitise import visible

Hints = tuple[tuple[str, str], ...]
"""Keys and what they do, the most needed first: a narrow terminal cuts the rest."""


TOLD = 4.0
"""Seconds for which something said in passing stands at least."""
READ = 15
"""Characters read in a second by somebody who has just been woken."""


class Bar(Static):
    """One line of safe text; repaints only when it changes."""

    DEFAULT_CSS = """
    Bar {
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__("", markup=False, **arguments)
        self.shown = Text()

    def show(self, text: Text | str) -> None:
        """Show a rich Text (or a plain string), never markup; the strings in it are sanitised already."""
        shown = Text(text) if isinstance(text, str) else text
        if shown != self.shown:
            self.shown = shown
            self.update(shown)


class KeyBar(Bar):
    """The keys that matter here, one line. (Textual's Footer mounts a widget a key, at every change of screen.)"""

    def __init__(self, hints: Hints) -> None:
        super().__init__(id="keys")
        self._hints = hints
        self._instead: Hints | None = None
        self._dimmed: frozenset[str] = frozenset()
        self._told: Timer | None = None

    def on_mount(self) -> None:
        self.restore()

    def restore(self) -> None:
        """The keys given at the start."""
        self._instead = None
        self._show_keys()

    def offer(self, hints: Hints, dimmed: frozenset[str] = frozenset()) -> None:
        """These keys from now on, some of which cannot be used now; what was just said is left standing."""
        if (hints, dimmed) != (self._hints, self._dimmed):
            self._hints, self._dimmed = hints, dimmed
            if self._told is None:
                self._show_keys()

    def show_hints(self, hints: Hints) -> None:
        """These keys instead, until `restore`."""
        self._instead = hints
        self._show_keys()

    def tell(self, text: str) -> None:
        """Say something in passing, in the place of the keys, for as long as it takes to read; `text` is safe."""
        if self._told is not None:
            self._told.stop()
        self.set_class(True, "-told")
        self.show(Text(f" {text}", "bold"))
        self._told = self.set_timer(max(TOLD, len(text) / READ), self._show_keys)

    def _show_keys(self) -> None:
        if self._told is not None:
            self._told.stop()
        self._told = None
        self.set_class(False, "-told")
        line = Text()
        dimmed = self._dimmed if self._instead is None else frozenset[str]()
        for key, meaning in self._hints if self._instead is None else self._instead:
            line.append(f" {key} ", "dim" if key in dimmed else "bold reverse")
            line.append(f"{meaning} ", "dim" if key in dimmed else "none")
        self.show(line)


class StaleBanner(Bar):
    """Says that what is shown is old, on as many lines as it takes; takes no room while there is nothing to say."""

    DEFAULT_CSS = """
    StaleBanner {
        text-wrap: wrap;
    }
    """

    def show(self, text: Text | str) -> None:
        super().show(text)
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
        self._before: Widget | None = None

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
        self._before = self.screen.focused
        self.screen.set_focus(entry)  # at once, where `focus` would wait its turn

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Edited(self.purpose, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter comes by way of the input, behind what was typed before; a binding would overtake that."""
        event.stop()
        self._close(True)

    def action_cancel(self) -> None:
        self._close(False)

    def _close(self, accepted: bool) -> None:
        self.display = False
        self.screen.set_focus(self._before)
        self.post_message(self.Closed(self.purpose, self.query_one(Input).value, accepted))
