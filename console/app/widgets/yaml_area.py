"""The text of a definition while it is being written; what is pasted is made safe like everything from outside."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.widgets import TextArea

from noroshi.console.sanitise import visible_lines

_ACTIONS = {
    key: binding.action
    for binding in TextArea.BINDINGS
    if isinstance(binding, Binding)
    for key in binding.key.split(",")
}


def safe_text(text: str) -> str:
    """Its lines, each safe; ends of lines of other systems are ends of lines."""
    return "\n".join(visible_lines("\n".join(text.splitlines())))


class YamlArea(TextArea):
    """Tab indents by two spaces, Enter keeps the indentation; Esc is left to the screen."""

    def __init__(self, text: str) -> None:
        super().__init__(
            safe_text(text),
            id="text",
            tab_behavior="indent",
            show_line_numbers=True,
            compact=True,
            highlight_cursor_line=False,
            max_checkpoints=500,
        )
        self.indent_width = 2
        self.cursor_blink = False

    def replace_all(self, text: str) -> None:
        """This text instead, as one edit that undo takes back."""
        self.replace(safe_text(text), (0, 0), self.document.end)
        self.move_cursor((0, 0))

    async def _on_key(self, event: events.Key) -> None:
        """Every key of the text in its turn: a binding is looked for only after the event has bubbled up, and on a slow
        line letters that came with it would be typed before the cursor has moved."""
        event.prevent_default()
        if event.key in _ACTIONS:
            event.stop()
            await self.run_action(_ACTIONS[event.key])
        elif event.key == "enter":
            event.stop()
            row, column = self.selection.start
            before = self.document.get_line(row)[:column]
            self._replace_via_keyboard("\n" + before[: len(before) - len(before.lstrip(" "))], *self.selection)
        elif event.key != "escape":  # TextArea would move the focus, whose place is the screen's to say
            await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        text = safe_text(event.text) + ("\n" if event.text.endswith("\n") else "")
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)
