"""What every screen has: the header, the warning that data is old, a prompt, the footer, and the keys shared by all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from noroshi.console.app.header import header
from noroshi.console.app.holding_detail import HOLDING, holding_job
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.widgets.bars import Bar, Hints, KeyBar, Prompt, StaleBanner
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.holding import summary
from noroshi.console.queries import Picture

if TYPE_CHECKING:
    from noroshi.console.app.app import NoroshiApp


class NoroshiScreen(Screen[None]):
    """Subclasses give `body`, the widget that has the keys, and take pictures of the system as they come."""

    TITLE = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("y", "copy(False)", "Copy"),
        Binding("Y", "copy(True)", "Copy as JSON"),
        Binding("tab", "app.next_screen", "Next screen"),
        Binding("escape", "back", "Clear"),
    ]
    STANDING: ClassVar[bool] = True
    """Whether it is one of those the number keys lead to and from; one that is not is left by its own keys."""
    TELLS_HOLDING: ClassVar[bool] = False
    """Whether it says what keeps notifications back; `s` then shows all of that."""
    HINTS: ClassVar[Hints] = ()
    """What the last line offers."""
    HELP_LINES: ClassVar[Hints] = ()
    """All keys of this screen, for the help."""

    def __init__(self) -> None:
        super().__init__()
        # kept, not looked up: a timer may still fire while the app takes the screen apart
        self.header_bar = Bar(id="header")
        self.stale_banner = StaleBanner(id="stale")
        self.holding_bar = Bar(id="holding")
        self.state_bar = Bar(id="state")
        self.entry = Prompt(id="prompt")
        self.key_bar = KeyBar(self.HINTS)

    @property
    def console(self) -> NoroshiApp:
        return cast("NoroshiApp", self.app)

    def compose(self) -> ComposeResult:
        yield self.header_bar
        yield self.stale_banner
        yield self.holding_bar
        yield self.body()
        yield self.state_bar
        yield self.entry
        yield self.key_bar

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
        width, watched = self.size.width, console.as_of is None
        line = header(self.TITLE, status, console.leadership, console.now, console.face, width, watched=watched)
        self.header_bar.show(line)
        self.stale_banner.show(console.warning())
        held = summary(status.holding, console.now) if status and self.TELLS_HOLDING else ""
        self.holding_bar.show(f" ○ {held}; s shows what is held back" if held else "")
        self.holding_bar.set_class(bool(held), "-held")

    def action_holding(self) -> None:
        """What keeps notifications back, whole, kept up to date while it is open."""
        screen = DetailScreen(HOLDING, [("", "reading …")], "WHAT HOLDS NOTIFICATIONS BACK")
        screen.renewal = holding_job
        self.console.push_screen(screen)
        self.console.fetcher.submit("detail", holding_job)

    def prompt(self, purpose: str, label: str, text: str = "", hint: str = "") -> None:
        """Ask the operator for a line; `hint`, which is safe, stands there until something is typed."""
        self.entry.open(purpose, label, text, hint)
        self.key_bar.show_hints((("Enter", "done"), ("Esc", "cancel")))

    def prompt_ended(self) -> None:
        """The operator has answered, or not wanted to."""
        self.key_bar.restore()

    def say_nothing_here(self) -> None:
        """A key was pressed that is for a row, and there is none."""
        self.say("there is no row here yet: Esc takes a filter back")

    def on_line_view_empty(self, event: LineView.Empty) -> None:
        event.stop()
        self.say_nothing_here()

    def say(self, text: str) -> None:
        """Tell something in passing; `text` is safe."""
        self.key_bar.tell(text)
