"""What every screen has: the header, the warning that data is old, a prompt, the footer, and the keys shared by all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from noroshi.console.app.header import header
from noroshi.console.app.widgets.bars import Bar, Prompt, StaleBanner
from noroshi.console.queries import Picture

if TYPE_CHECKING:
    from noroshi.console.app.app import NoroshiApp


class NoroshiScreen(Screen[None]):
    """Subclasses give `body`, the widget that has the keys, and take pictures of the system as they come."""

    TITLE = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("y", "copy(False)", "Copy"),
        Binding("Y", "copy(True)", "Copy as JSON", show=False),
        Binding("tab", "app.next_screen", "Next screen", show=False),
        Binding("escape", "back", "Clear", show=False),
    ]
    HELP_LINES: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys and what they do, for the help."""

    def __init__(self) -> None:
        super().__init__()
        # kept, not looked up: a timer may still fire while the app takes the screen apart
        self.header_bar = Bar(id="header")
        self.stale_banner = StaleBanner(id="stale")
        self.state_bar = Bar(id="state")
        self.entry = Prompt(id="prompt")

    @property
    def console(self) -> NoroshiApp:
        return cast("NoroshiApp", self.app)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While the operator types, the footer offers only what ends that."""
        typing = self.entry.is_mounted and self.entry.display
        return not typing or action in ("cancel", "accept")

    def compose(self) -> ComposeResult:
        yield self.header_bar
        yield self.stale_banner
        yield self.body()
        yield self.state_bar
        yield self.entry
        yield Footer(show_command_palette=False, compact=True)

    def body(self) -> Widget:
        """The list that fills the screen."""
        raise NotImplementedError

    def show_picture(self, picture: Picture) -> None:
        """The system was read anew."""
        raise NotImplementedError

    def tick(self) -> None:
        """A second went by, or the way times are shown changed."""
        raise NotImplementedError

    def on_screen_resume(self) -> None:
        if self.console.picture is not None:
            self.show_picture(self.console.picture)
        self.show_bars()
        self.tick()

    def on_resize(self, event: events.Resize) -> None:
        self.show_bars()

    def show_bars(self) -> None:
        """Header and warning, by what the app knows now."""
        console = self.console
        status = console.picture.status if console.picture else None
        line = header(self.TITLE, status, console.leadership, console.now, console.face, self.size.width)
        self.header_bar.show(line)
        self.stale_banner.show(console.warning())

    def prompt(self, purpose: str, label: str, text: str = "", hint: str = "") -> None:
        """Ask the operator for a line."""
        self.entry.open(purpose, label, text, hint)

    def say(self, text: str) -> None:
        """Tell something in passing."""
        self.notify(text, markup=False, timeout=4)
