"""Everything about one row, wrapped, scrolled and copied; Esc or q closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from noroshi.console.app.detail import Fields
from noroshi.console.app.reading import Job
from noroshi.console.app.widgets.bars import Bar, Hints, KeyBar
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.wrapping import wrap
from noroshi.console.sanitise import visible, visible_lines

if TYPE_CHECKING:
    from noroshi.console.app.app import NoroshiApp

_NAME = 15


class DetailView(LineView):
    """Names and texts, each text wrapped to the width; made once for a width, so that 1 MiB scrolls like ten lines."""

    def __init__(self, fields: Fields) -> None:
        super().__init__(id="detail")
        self._fields = fields
        self._rows: list[tuple[str, str]] = []
        self._width = 0

    @property
    def row_count(self) -> int:
        return len(self._rows)

    def is_selectable(self, y: int) -> bool:
        return False

    def show(self, fields: Fields) -> None:
        """Show these instead."""
        self._fields = fields
        self._wrap()

    def row(self, y: int) -> Text:
        name, text = self._rows[y]
        return Text(f" {name:<{_NAME}} ", self.style_of("muted")).append(text, self.style_of("good"))

    def action_move(self, by: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + by, animate=False)

    def action_page(self, by: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + by * self.size.height, animate=False)

    def on_resize(self, event: events.Resize) -> None:
        if event.size.width != self._width:
            self._wrap()

    def _wrap(self) -> None:
        self._width = self.size.width
        room = max(10, self.scrollable_content_region.width - _NAME - 3)
        self._rows = [row for name, text in self._fields for row in _wrapped(visible(name), text, room)]
        self.set_extent(0)
        self.refresh()


class DetailScreen(ModalScreen[None]):
    """Shows `fields`; what is fetched for `key` is added by `show`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("y", "copy", "Copy"),
    ]

    HINTS: ClassVar[Hints] = (("Esc", "close"), ("y", "copy all"))

    def __init__(self, key: str, fields: Fields, title: str) -> None:
        super().__init__()
        self.key = key
        self.fields = fields
        self.renewal: Job | None = None
        """Reads it again when the database changed, for what may change while it is open."""
        self._title = title

    @property
    def console(self) -> NoroshiApp:
        return cast("NoroshiApp", self.app)

    def compose(self) -> ComposeResult:
        yield Bar(id="header")
        yield DetailView(self.fields)
        yield KeyBar(self.HINTS)

    def on_mount(self) -> None:
        self.query_one("#header", Bar).show(f" {visible(self._title)}")

    def show(self, fields: Fields) -> None:
        """Show these instead."""
        self.fields = fields
        self.query_one(DetailView).show(fields)

    def action_copy(self) -> None:
        text = "\n".join(f"{visible(name)}: {visible(text)}" if name else visible(text) for name, text in self.fields)
        self.console.copy(text)


def _wrapped(name: str, text: str, width: int) -> list[tuple[str, str]]:
    pieces = [piece for line in visible_lines(text) for piece in wrap(line, width)]
    return [(name if not at else "", piece) for at, piece in enumerate(pieces)]
