"""Status: the nodes, then all states by category, worst first."""

from __future__ import annotations

import json
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from noroshi.console.app.detail import TERMS, event_job, node_detail, silence_detail, state_detail, terms_job
from noroshi.console.app.filtering import named
from noroshi.console.app.screens.deciding import Deciding, acknowledgement, maintenance, silence
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.app.screens.filtered import FilteredScreen
from noroshi.console.app.state_rows import NodeRow, Rows, StateRow, build, shown
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.widgets.state_table import StateTable
from noroshi.console.holding import in_force
from noroshi.console.output import node_json, state_json
from noroshi.console.queries import Picture, Status
from noroshi.console.sanitise import escaped_json
from noroshi.console.severity import Severity, severity_of
from noroshi.store.model import FAILURE_EVENT
from noroshi.store.silences import Silence


class StatusScreen(FilteredScreen):
    """The table of fig. 4."""

    TITLE = "STATUS"
    TELLS_HOLDING = True
    FILTER_HINT = "text, or !text for rows without it"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "trouble(1)", "Trouble"),
        Binding("E", "trouble(-1)", "Previous trouble"),
        Binding("o", "fold", "Fold healthy"),
        Binding("L", "log_of_node", "Log of node"),
        Binding("T", "terms", "Who led"),
        Binding("v", "notifications", "Its notifications"),
        Binding("s", "holding", "Silences"),
        Binding("a", "acknowledge", "Acknowledge"),
        Binding("S", "silence", "Silence, maintenance"),
    ]
    HINTS = (
        ("?", "help"),
        ("q", "quit"),
        ("/", "filter"),
        ("e E", "trouble"),
        ("Enter", "all"),
        ("a", "ack"),
        ("v", "told"),
        (":", "more"),
    )
    HELP_LINES = (
        ("e  E", "next, previous row that tells of trouble"),
        ("Enter", "everything about the row, and what its name went through"),
        ("L", "the log of the row's node"),
        ("T", "who led and since when, newest first"),
        ("v", "who was told: the notifications of the row's event, or those to the node"),
        ("a", "acknowledge it: you look after it, repeats and escalations stop"),
        ("S", "silence the row's event for a while; on a node: its maintenance"),
        ("s", "what holds notifications back: silences, maintenance, flapping, limits; who acknowledged what"),
        ("o", "list the healthy rows of long groups, or fold them where not all rows fit"),
        ("/", "show only rows with this text; !text only those without; Esc clears"),
    )
    table: StateTable

    def __init__(self) -> None:
        super().__init__()
        self.table = StateTable()
        self._fold, self._fits = True, False
        self._deciding = Deciding(self)
        self._standing: tuple[Silence, ...] = ()
        self._shown = Rows((), 0, 0)

    def show_bars(self) -> None:
        super().show_bars()
        can_ask = self.console.led and not self.console.read_only
        self.key_bar.offer(self.HINTS, frozenset() if can_ask else frozenset("aS"))

    def show_picture(self, picture: Picture) -> None:
        self._standing = in_force(picture.status.holding.silences, self.console.now)
        self._shown = self._build(picture.status)
        self.table.show(self._shown, self.console.now, self.console.face, self.wanted, self.console.as_of)
        self._show_state()

    def _build(self, status: Status) -> Rows:
        """Folded only where not all of it fits."""
        now, face, height = self.console.now, self.console.face, self.table.size.height
        rows = build(status, self.wanted, False, now, face)
        self._fits = len(rows.rows) <= height
        return rows if self._fits or not self._fold else build(status, self.wanted, True, now, face)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self.show_again)

    def show_again(self) -> None:
        if self.console.picture is not None:
            self.show_picture(self.console.picture)

    def tick(self) -> None:
        picture, now = self.console.picture, self.console.now
        if picture is not None and in_force(picture.status.holding.silences, now) != self._standing:
            self.show_picture(picture)
        self.table.tick(self.console.now, self.console.face, self.console.as_of)

    def _show_state(self) -> None:
        self.state_bar.show(self.filter_line(self._shown.matched, self._shown.total))
        self.state_bar.display = bool(self.wanted.text)

    # --- actions ------------------------------------------------------------------------------------------------

    def action_trouble(self, step: int) -> None:
        if not self.table.next_trouble(step):
            self.say("nothing listed here tells of trouble")

    def action_fold(self) -> None:
        if self._fits:
            self.say("all rows fit on the screen: none is folded")
            return
        self._fold = not self._fold
        self.show_again()

    def action_log_of_node(self) -> None:
        row = self.table.current
        node = row.node.node if isinstance(row, NodeRow) else row.row.node if isinstance(row, StateRow) else None
        if node is None:
            self._say_no_row()
        else:
            self.console.show_log(named("node", node))

    def action_terms(self) -> None:
        self.console.push_screen(DetailScreen(TERMS, [("", "reading …")], "who led, newest first"))
        self.console.fetcher.submit("detail", terms_job)

    def action_notifications(self) -> None:
        row = self.table.current
        if isinstance(row, StateRow):
            self.console.show_notifications(named("event", row.row.event))
        elif isinstance(row, NodeRow):
            self.console.show_notifications(named("node", row.node.node))
        else:
            self._say_no_row()

    def action_acknowledge(self) -> None:
        row = self.table.current
        if isinstance(row, NodeRow):
            self.say("an event is acknowledged: its row server/… is below; S: maintenance of the node")
        elif not isinstance(row, StateRow):
            self._say_no_row()
        elif severity_of(row.state) is Severity.GOOD:
            self.say(f"it is {shown(row.state)}: there is nothing to acknowledge")
        else:
            self._deciding.begin(acknowledgement(row.row.event, row.state))

    def action_silence(self) -> None:
        row = self.table.current
        if isinstance(row, NodeRow):
            self._deciding.begin(maintenance(row.node.node))
        elif isinstance(row, StateRow):
            self._silence(row.row.event)
        else:
            self._say_no_row()

    def _silence(self, event: str) -> None:
        """Of just this event: what a silence covers is said by a pattern."""
        if event == FAILURE_EVENT:
            self.say("no silence covers it: it is how everybody learns that telling did not work")
        elif "*" in event:
            self.say("its name has a *, which a silence takes for any name: `noroshi silence add` shows what it covers")
        else:
            self._deciding.begin(silence(event))

    def answered(self, purpose: str, text: str) -> None:
        self._deciding.answered(purpose, text)

    def _say_no_row(self) -> None:
        """Neither a node nor a state is under the cursor."""
        if self.table.current is None:
            self.say_nothing_here()
        else:
            self.say("these rows are folded: o lists them")

    def stand_on(self, key: str) -> None:
        """Stand on the row with this key, also where a filter or folding hid it."""
        if not self.table.go_to(key):
            self._fold = False
            self.filter("")
            if not self.table.go_to(key):
                self.say("there is no such row any more")

    def action_copy(self, as_json: bool) -> None:
        row = self.table.current
        if as_json and isinstance(row, StateRow):
            self.console.copy(escaped_json(json.dumps(state_json(row.row), ensure_ascii=False)))
        elif as_json and isinstance(row, NodeRow):
            self.console.copy(escaped_json(json.dumps(node_json(row.node), ensure_ascii=False)))
        elif self.table.cursor is not None:
            self.console.copy(" ".join(self.table.row(self.table.cursor).plain.split()))
        else:
            self.say_nothing_here()

    # --- messages -------------------------------------------------------------------------------------------------

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        event.stop()
        row, face, now, as_of = self.table.current, self.console.face, self.console.now, self.console.as_of
        if isinstance(row, NodeRow):
            name = f"server/{row.node.node}"
            fields = node_detail(row.node, now, face, as_of)
            fields += silence_detail((one for one in self._standing if one.node == row.node.node), face)
        elif isinstance(row, StateRow):
            name = row.row.event
            fields = state_detail(row.row, now, face, row.as_of if as_of is None else as_of)
            fields += silence_detail((one for one in self._standing if one.covers_event(name, row.row.node)), face)
        else:
            self.action_fold()
            return
        self.console.push_screen(DetailScreen(f"event {name}", fields, name))
        self.console.fetcher.submit("detail", event_job(name))


__all__ = ["StatusScreen"]
