"""Definitions: the table of fig. 8; from here they are added, edited, removed, tested, and rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

import msgspec
from textual.binding import Binding, BindingType

from noroshi.console.app.definition_detail import compared, definition_lines, kept_draft, tested_lines
from noroshi.console.app.definition_jobs import (
    Conflict,
    Done,
    Failed,
    Heads,
    Opened,
    Permission,
    Rehearsed,
    Steps,
    Tested,
    answering,
    heads,
    opening,
    permission,
    rehearsing,
    removing,
    trying,
)
from noroshi.console.app.definition_rows import Rows, build
from noroshi.console.app.draft import copy_of, difference, template
from noroshi.console.app.drafts import Draft
from noroshi.console.app.messages import Answered
from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.app.screens.filtered import FilteredScreen
from noroshi.console.app.screens.text import TextScreen
from noroshi.console.app.screens.versions import VersionsScreen
from noroshi.console.app.widgets.definition_table import DefinitionTable
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.app.widgets.text_view import Line
from noroshi.console.queries import Picture
from noroshi.console.sanitise import escaped_json, visible
from noroshi.store import definitions
from noroshi.store.changes import unversioned
from noroshi.store.model import Definition
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.yamlfile import flow

WAITS = {"remove": "removing one", "test": "a test"}
"""Actions that need a coordinator at once; an edit can be prepared without."""
REMOVED = "it is removed already: 'e' begins it anew, 'v' rolls back"


class DefinitionsScreen(FilteredScreen):
    """Who is told of what."""

    TITLE = "DEFINITIONS"
    FILTER_HINT = "text, or !text for definitions without it"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit"),
        Binding("a", "add", "Add"),
        Binding("d", "remove", "Remove"),
        Binding("v", "versions", "Versions"),
        Binding("x", "test", "Test delivery"),
        Binding("n", "next(1)", "Next definition"),
        Binding("N", "next(-1)", "Previous definition"),
    ]
    HINTS = (
        ("?", "help"),
        ("q", "quit"),
        ("/", "filter"),
        ("Enter", "all"),
        ("e", "edit"),
        ("a", "add"),
        ("d", "del"),
        ("v", "versions"),
        ("x", "test"),
    )
    HELP_LINES = (
        ("Enter", "all of a definition, and who would be told now"),
        ("e", "edit it: checked as you type, the difference shown before it is saved"),
        ("a", "add one: of an event, of a log pattern, or a copy of this one"),
        ("d", "remove it (its versions stay; 'v' on it brings it back)"),
        ("v", "its versions: who changed what, when; roll back"),
        ("x", "test it: a marked, real delivery to each destination"),
        ("n  N", "next, previous definition"),
        ("/", "show only definitions with this text; !text only those without; Esc clears"),
        ("✖ LEFT", "the node is not in cluster.yaml any more: no answer would come"),
    )
    table: DefinitionTable

    def __init__(self) -> None:
        super().__init__()
        self.table = DefinitionTable()
        self._heads: tuple[VersionRow, ...] | None = None
        self._shown = Rows((), 0, 0, 0)
        self._tested = self._goal = self._unread = ""
        self._refused: str | None = None
        """Why nothing can be changed, empty where it can; None until that is known."""

    # --- what was read ----------------------------------------------------------------------------------------------

    def show_picture(self, picture: Picture) -> None:
        if self._refused is None:
            self._ask("permission", permission)
        self._ask("definitions", heads)
        self.show_again()

    def tick(self) -> None:
        self.table.tick(self.console.now, self.console.face)

    def show_bars(self) -> None:
        super().show_bars()
        self._show_state()

    def on_answered(self, event: Answered) -> None:
        """Whatever this screen asked for."""
        answer = event.answer
        match answer:
            case Heads(rows):
                changed, self._unread = bool(self._unread) or rows != self._heads, ""
                if changed:
                    self._heads = rows
                    self.show_again()
            case Permission(refused):
                self._refused = refused
                self._show_state()
            case Opened():
                self._opened(answer)
            case Rehearsed(one, lines):
                self._show_detail(one, lines)
            case Tested():
                self._show_test(answer)
            case Done(what):
                self.say(f"{visible(what)}: removed")
            case Conflict(theirs):
                self._show_conflict(theirs)
            case Failed("definitions" | "permission", what):  # nobody asked for it: it is asked again by itself
                self._unread = what
                self._show_state()
            case Failed(_, what):
                self.tell_failure(what)

    def saved(self, what: str) -> None:
        """An edit came back: stand on what was edited once it is listed."""
        self._goal = what.rpartition(" v")[0] or what
        self._ask("definitions", heads)

    def stand_on(self, name: str) -> None:
        """Stand on this definition, also where a filter hid it, as soon as it is listed."""
        self.filter("")
        if not self.table.go_to(name):
            self._goal = name

    def tell_failure(self, what: str) -> None:
        """Something asked for could not be done: that stays until it was read."""
        lines = [Line(visible(line)) for line in what.splitlines()]
        self.console.push_screen(ChoiceScreen("NOT DONE", lines, (), "close"))

    def _ask(self, key: str, steps: Steps) -> None:
        self.console.asker.submit(key, answering(self, key, steps))

    def show_again(self) -> None:
        picture, leadership = self.console.picture, self.console.leadership
        if picture is None or self._heads is None:
            return
        own = leadership.leader.node if leadership and leadership.held and leadership.leader else None
        states = {node.node: node.state for node in picture.status.nodes}
        self._shown = build(self._heads, states, own, self.wanted)
        self.table.show(self._shown, self.console.now, self.console.face, self.wanted)
        if self._goal and self.table.go_to(self._goal):
            self._goal = ""
        self._show_state()

    def _show_state(self) -> None:
        line = self.filter_line(self._shown.matched, self._shown.total)
        if not self.wanted.text and self._heads is not None and not self._heads:
            line.append(" no definitions: nobody is told; 'a' adds one")
        if self._shown.strangers:
            some = "1 definition names" if self._shown.strangers == 1 else f"{self._shown.strangers} definitions name"
            line.append(f"  ✖ {some} a node that left", "bold")
        if self._unread:
            line.append(f"  NOT READ {visible(self._unread)}", "bold")
        if why := "started with --read-only" if self.console.read_only else self._refused:
            line.append("  READ ONLY", "bold reverse").append(f" {visible(why)}")
        elif not self.console.led:
            line.append("  saving waits for a coordinator", "bold")
        self.state_bar.show(line)
        self.state_bar.display = bool(line.plain)
        self.key_bar.offer(self.HINTS, self._dimmed())

    # --- what is allowed now ------------------------------------------------------------------------------------------

    def _obstacle(self, action: str) -> str:
        """Why it cannot be done now: the last line shows its key dim, and a press says this. Empty: it can."""
        if self.console.read_only:
            return "this console was started with --read-only"
        if self._refused:
            return f"nothing can be changed from here: {visible(self._refused)}"
        if action in WAITS and not self.console.led:
            return f"there is no coordinator now: {WAITS[action]} waits for one"
        if action == "add" or self._current() is not None:
            return ""
        if self.table.current_name is None:
            return "there is no definition here: 'a' adds one"
        return "" if action == "edit" else REMOVED

    def _is_obstructed(self, action: str) -> bool:
        why = self._obstacle(action)
        if why:
            self.say(why)
        return bool(why)

    def _dimmed(self) -> frozenset[str]:
        keys = (("e", "edit"), ("a", "add"), ("d", "remove"), ("x", "test"))
        return frozenset(key for key, action in keys if self._obstacle(action))

    def _current(self) -> Definition | None:
        """The definition in force under the cursor."""
        head = self._current_head()
        return head.definition if head else None

    def _current_head(self) -> VersionRow | None:
        name = self.table.current_name
        return next((head for head in self._heads or () if head.name == name), None)

    # --- actions ----------------------------------------------------------------------------------------------------

    def action_next(self, step: int) -> None:
        if not self.table.next_definition(step):
            self.say(f"this is the {'last' if step > 0 else 'first'} definition listed")

    def action_copy(self, as_json: bool) -> None:
        one = self._current()
        if one is None:
            self.say("there is no definition in force here to copy")
        elif as_json:
            value = msgspec.to_builtins(one)
            self.console.copy(escaped_json(json.dumps(value, ensure_ascii=False)))
        else:
            self.console.copy(definitions.export([unversioned(one)]))

    def action_versions(self) -> None:
        name = self.table.current_name
        if name is None:
            self.say("there is no definition here")
        else:
            self.console.push_screen(VersionsScreen(name))

    def action_edit(self) -> None:
        head = self._current_head()
        if not self._is_obstructed("edit") and head is not None:
            kind = head.definition.kind if head.definition else "event"
            self._ask("open", opening(head.name, kind))

    def action_add(self) -> None:
        if self._is_obstructed("add"):
            return
        name = self.table.current_name if self._current() is not None else None
        choices = [("e", "of an event"), ("l", "of a log pattern")] + ([("c", "a copy")] if name else [])
        lines = [
            Line("A definition says who is told of what: in which order, on which node, by which program."),
            Line(""),
            Line("e  of an event: something is in a state, as DOWN, ERROR, or a word of your own"),
            Line("l  of a log pattern: a line came that a regular expression finds"),
            *([Line(visible(f"c  a copy of {name}, to be changed"))] if name else []),
        ]
        self.console.push_screen(ChoiceScreen("ADD a definition", lines, tuple(choices), "go back"), self._add)

    def _add(self, chosen: str | None) -> None:
        one = self._current()
        if chosen == "c" and one is not None:
            self._ask("open", opening(None, f"copy of {one.name}"))
        elif chosen:
            self._ask("open", opening(None, "event" if chosen == "e" else "log"))

    def action_remove(self) -> None:
        one = self._current()
        if not self._is_obstructed("remove") and one is not None:
            question = f"REMOVE {one.name} v{one.version}?  y: yes, remove it   Esc, Enter: no"
            screen = ChoiceScreen(question, compared(difference(one, None)), (("y", "yes, remove it"),))
            self.console.push_screen(screen, partial(self._remove, one))

    def _remove(self, one: Definition, chosen: str | None) -> None:
        if chosen == "y":
            self._ask("change", removing(one))

    def action_test(self) -> None:
        one = self._current()
        if self._is_obstructed("test") or one is None:
            return
        lines = [
            Line("Each destination gets a real delivery, marked as a test; no state changes, nothing else is told."),
            Line(""),
            *(Line(visible(line)) for line in definition_lines(one)),
        ]
        screen = ChoiceScreen(f"TEST {one.name}?  y: yes, deliver   Esc, Enter: no", lines, (("y", "yes, deliver"),))
        self.console.push_screen(screen, partial(self._test, one))

    def _test(self, one: Definition, chosen: str | None) -> None:
        if chosen == "y":
            self._tested = one.name
            self.console.push_screen(TextScreen(f"test {one.name}", f"TEST of {one.name}", [Line("delivering …")]))
            self._ask("test", trying(one.name))

    def _show_test(self, answer: Tested) -> None:
        screen = self.console.screen
        if isinstance(screen, TextScreen) and screen.key == f"test {self._tested}":
            screen.show(tested_lines(answer))

    def _show_conflict(self, theirs: VersionRow) -> None:
        when = self.console.face.full(theirs.created_at)
        self.tell_failure(
            f"{theirs.author} changed {theirs.name} to version {theirs.version} at {when}, after what you saw.\n"
            "Nothing was removed; look at it, then do it again."
        )

    # --- who is told ------------------------------------------------------------------------------------------------

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        event.stop()
        one = self._current()
        if one is None:
            self.action_versions()
            return
        head = self._current_head()
        lines = self._detail(one, head, ["…"])
        self.console.push_screen(TextScreen(f"definition {one.name}", f"{one.name} v{one.version}", lines))
        self._ask("detail", rehearsing(one))

    def _detail(self, one: Definition, head: VersionRow | None, told: Iterable[str]) -> list[Line]:
        lines = [Line(visible(line)) for line in definition_lines(one)]
        if head is not None:
            note = f"  ({head.note})" if head.note else ""
            when = self.console.face.full(head.created_at)
            lines = [Line(visible(f"v{head.version}  {head.author}  {when}{note}"), "other"), Line(""), *lines]
        return [*lines, Line(""), Line("WHO WOULD BE TOLD NOW", "heading"), *map(Line, told)]

    def _show_detail(self, one: Definition, told: tuple[str, ...]) -> None:
        screen = self.console.screen
        if isinstance(screen, TextScreen) and screen.key == f"definition {one.name}":
            head = next((head for head in self._heads or () if head.name == one.name), None)
            screen.show(self._detail(one, head, told))

    # --- editing ----------------------------------------------------------------------------------------------------

    def _opened(self, found: Opened) -> None:
        if self.console.screen is not self:  # asked for twice, or something else was opened meanwhile
            found.claim.end()
        elif found.draft is None or found.draft.text == self._first_text(found):
            self._open(found, "")
        else:
            self._offer(found, found.draft)

    def _offer(self, found: Opened, draft: Draft) -> None:
        lines = kept_draft(draft, found.base, self.console.now, self.console.face)
        choices = (("c", "continue it"), ("b", "begin anew"))
        question = "A DRAFT of yours is kept   c: continue it   b: begin anew   Esc: neither"
        self.console.push_screen(ChoiceScreen(question, lines, choices, "neither"), partial(self._with_draft, found))

    def _with_draft(self, found: Opened, chosen: str | None) -> None:
        if chosen:
            self._open(found, chosen)
        else:
            found.claim.end()

    def _open(self, found: Opened, chosen: str) -> None:
        self.console.push_screen(EditorScreen(found, self._first_text(found), continued=chosen == "c"))

    def _first_text(self, found: Opened) -> str:
        if found.base.definition is not None:
            return definitions.export([unversioned(found.base.definition)])
        copied = found.kind.removeprefix("copy of ")
        one = next((head.definition for head in self._heads or () if head.name == copied), None)
        if found.base.name is None and copied != found.kind and one is not None:
            return copy_of(one)
        text = template("log" if found.kind == "log" else "event", found.first_node)
        return text if found.base.name is None else text.replace("new-definition", flow(found.base.name))
