"""One definition being written: its YAML, below or beside it what is wrong, or who would be told now.

While the text has the keys, they type; Esc gives them to the pane, where each is an action (no terminal swallows
plain letters), and Enter or `i` goes back to typing. Nothing typed is lost: every change is kept as a draft on the
operator's own disk, leaving and quitting ask, and a conflict changes nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import TextArea

from noroshi.console.app.definition_detail import compared, conflict_lines, problem_line
from noroshi.console.app.definition_jobs import (
    Conflict,
    Done,
    DraftChecked,
    Failed,
    Opened,
    Rehearsed,
    Steps,
    answering,
    checking,
    saving,
)
from noroshi.console.app.draft import Base, Checked, difference, lines_apart
from noroshi.console.app.drafts import Draft
from noroshi.console.app.messages import Answered
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.widgets.bars import Bar
from noroshi.console.app.widgets.text_view import Line, TextView
from noroshi.console.app.widgets.yaml_area import YamlArea, safe_text
from noroshi.console.queries import Picture
from noroshi.console.sanitise import visible
from noroshi.store import definitions
from noroshi.store.changes import unversioned
from noroshi.store.model import Definition

TYPING = (("Esc", "keys, leave"), ("^S", "save"), ("^Z", "undo"), ("^Y", "redo"))
KEYS = (
    ("Enter", "type on"),
    ("s", "save"),
    ("z", "undo"),
    ("Z", "redo"),
    ("q", "leave"),
    ("?", "help"),
)


class EditorScreen(NoroshiScreen, inherit_bindings=False):
    """`found` is what is edited, `first` the text it begins with; `continued`: with the draft instead."""

    TITLE = "EDIT"
    STANDING = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - declared so by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "keys", "Keys", priority=True),
        Binding("ctrl+s,s", "save", "Save"),
        Binding("z", "undo", "Undo"),
        Binding("Z,ctrl+y", "redo", "Redo"),
        Binding("i", "type", "Type on"),
        Binding("q", "leave", "Leave"),
    ]
    HINTS = TYPING
    HELP_LINES = (
        ("Esc", "from typing to the keys below"),
        ("i  Enter", "type on; Enter on a problem goes to its line"),
        ("s  Ctrl+S", "save: the difference is shown first"),
        ("z  Ctrl+Z", "undo"),
        ("Z  Ctrl+Y", "redo"),
        ("j k  arrows", "scroll the pane"),
        ("q  Esc", "leave; what was typed is kept as a draft until it is saved or discarded"),
        ("", "comments are for you alone: the cluster keeps what the text means"),
    )

    def __init__(self, found: Opened, first: str, *, continued: bool) -> None:
        super().__init__()
        self._found, self._first = found, safe_text(first)
        self._base = found.base
        draft = found.draft if continued else None
        if draft is not None and draft.seen != found.base.seen:
            self._base = Base(found.base.name, draft.seen, found.before_draft)
        self.text = YamlArea(draft.text if draft is not None else first)
        self.pane = TextView([Line("checking …")], id="pane")
        self.title_bar = Bar(id="editing")
        self._checked: Checked | None = None
        self._told: tuple[str, ...] = ()
        self._kept, self._not_kept = self.text.text, ""
        """The text that is known to be safe, and why what is typed is not."""
        self._elsewhere: tuple[int, ...] = ()
        self._save_when_checked = self._saving = self._given_up = False

    def compose(self) -> ComposeResult:
        yield self.header_bar
        yield self.stale_banner
        yield self.title_bar
        yield Container(self.text, self.pane, id="editor")
        yield self.key_bar

    def on_mount(self) -> None:
        self.text.focus()
        self._check()

    def on_unmount(self) -> None:
        """However it ends: what is typed and not saved is still there next time."""
        self.keep_draft()
        self._found.claim.end()

    @property
    def unsaved(self) -> bool:
        """Whether something was typed that is neither in the database nor given up."""
        return self.text.text != self._first and not self._given_up

    # --- checked as it is typed -------------------------------------------------------------------------------------

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._show_title()
        self.console.after_typing(self._check)

    def show_picture(self, picture: Picture) -> None:
        """The cluster changed, so those who would be told may be others."""
        self._check()

    def tick(self) -> None:
        """The times shown here are those of dialogs."""

    def show_bars(self) -> None:
        super().show_bars()
        self._show_title()

    def _check(self) -> None:
        keep = self.unsaved and self.text.text != self._kept  # until it is: this may take the place of one that would
        self._ask("check", checking(self._draft(), self._base, self._found.claim, keep=keep))

    def _draft(self) -> Draft:
        found = self._found
        return Draft(found.cluster, found.base.name, found.kind, self._base.seen, self.text.text, self.console.now)

    def _ask(self, key: str, steps: Steps) -> None:
        self.console.asker.submit(key, answering(self, key, steps))

    def on_answered(self, event: Answered) -> None:
        """What this screen asked for; a check of a text that was changed since is passed over."""
        match event.answer:
            case DraftChecked(checked, not_kept, elsewhere):
                self._see_kept(checked.text, not_kept)
                self._see_elsewhere(elsewhere)
                if checked.text == self.text.text:
                    self._checked = checked
                    self._told = () if checked.definition is None else self._told
                    self._show_pane()
                    self._save_if_wanted()
            case Rehearsed(one, lines):
                if self._checked is not None and self._checked.definition == one:
                    self._told = lines
                    self._show_pane()
            case Done(what):
                self._saved(what)
            case Conflict(_, _, mine):
                self._saving = False
                self._show_conflict(event.answer, mine)
            case Failed("check", what):
                self.pane.show([Line(visible(f"✖ cannot be checked: {what}"), "degraded")])
            case Failed(_, what):
                self._saving = False
                self._not_saved(what)

    def _see_kept(self, text: str, not_kept: str | None) -> None:
        if not_kept is not None:
            self._not_kept = not_kept
            self._kept = self._kept if not_kept else text

    def _see_elsewhere(self, processes: tuple[int, ...]) -> None:
        """Drafts are apart, and a save on top of another is a conflict: nothing is lost, but one would like to know."""
        if processes and not self._elsewhere:
            self.say("another console of yours edits this too; each keeps a draft of its own")
        self._elsewhere = processes
        self._show_title()

    def _not_saved(self, what: str) -> None:
        lines = [Line(visible(line)) for line in what.splitlines()]
        lines += [Line(""), Line("What you typed is still here. Nothing is asked again by itself: save once more.")]
        self.console.push_screen(ChoiceScreen("NOT SAVED", lines, (), "back to the text"))

    def _show_pane(self) -> None:
        checked = self._checked
        if checked is None:
            return
        if checked.problems:
            count = len(checked.problems)
            title = "1 PROBLEM" if count == 1 else f"{count} PROBLEMS"
            lines = [Line(f"{title}: nothing can be saved", "heading"), *map(problem_line, checked.problems)]
        else:
            told = self._told or ("…",)
            lines = [Line("NO PROBLEM.  WHO WOULD BE TOLD NOW", "heading"), *map(Line, told)]
        self.pane.show(lines)
        self._show_title()

    def _show_title(self) -> None:
        base = self._base
        name = "a new definition" if base.name is None else visible(base.name)
        line = Text(" ", no_wrap=True, overflow="ellipsis").append(name, "bold")
        line.append(f" v{base.seen}" if base.seen and base.name is not None else "")
        if self._saving:
            line.append("  saving …", "bold")
        else:
            line.append("  unsaved" if self.unsaved else "  unchanged")
        if self.unsaved and self._not_kept:
            line.append(f"  NO DRAFT IS KEPT: {visible(self._not_kept)}", "bold")
        if self._elsewhere:
            line.append(f"  ALSO OPEN in process {', '.join(map(str, self._elsewhere))}", "bold")
        if self._checked is not None and base.name is not None and self._checked.seen > base.seen:
            line.append(f"  v{self._checked.seen} IS THERE NOW: saving shows both", "bold")
        if not self.console.led:
            line.append("  NO COORDINATOR: saving waits for one", "bold")
        self.title_bar.show(line)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def on_descendant_focus(self) -> None:
        typing = self.text.has_focus
        self.set_class(not typing, "-keys")
        self.key_bar.offer(TYPING if typing else KEYS)

    def action_keys(self) -> None:
        """From typing to the keys; from the keys out."""
        if self.text.has_focus:
            self.add_class("-keys")
            self.pane.focus()
        else:
            self.action_leave()

    def action_type(self) -> None:
        self.remove_class("-keys")
        self.text.focus()

    def action_undo(self) -> None:
        self.text.undo()

    def action_redo(self) -> None:
        self.text.redo()

    def on_line_view_opened(self, event: TextView.Opened) -> None:
        event.stop()

    def on_text_view_chosen(self, event: TextView.Chosen) -> None:
        event.stop()
        self.action_type()
        if isinstance(event.place, tuple):
            line, column = event.place
            last = self.text.document.line_count - 1
            row = min(line - 1, last)
            self.text.move_cursor((row, min(max(0, column - 1), len(self.text.document.get_line(row)))), center=True)

    def on_text_view_nowhere(self, event: TextView.Nowhere) -> None:
        event.stop()
        self.action_type()

    # --- saving -------------------------------------------------------------------------------------------------------

    def action_save(self) -> None:
        checked = self._checked
        if self._saving:
            self.say("it is being saved: one moment")
        elif checked is None or checked.text != self.text.text:
            self._save_when_checked = True
            self._check()
            self.say("checking first …")
        elif checked.definition is None:
            self.say(f"{len(checked.problems)} to be mended first: Esc, then Enter on it goes there")
        elif not (changed := difference(self._base.definition, checked.definition)):
            self.say("nothing differs from what is in force")
        elif not self.console.led:
            self.say("not saved: no coordinator, saving waits for one; the draft is kept")
        else:
            self._confirm(checked, checked.definition, changed)

    def _save_if_wanted(self) -> None:
        if self._save_when_checked:
            self._save_when_checked = False
            self.action_save()

    def _confirm(self, checked: Checked, one: Definition, changed: list[str]) -> None:
        what = f"SAVE {one.name}" + (f", changing v{self._base.seen}" if self._base.definition else "")
        question = f"{what}?  y: yes, save   Esc, Enter: no"
        screen = ChoiceScreen(question, compared(changed), (("y", "yes, save"),))
        self.console.push_screen(screen, partial(self._save, checked, one))

    def _save(self, checked: Checked, one: Definition, chosen: str | None) -> None:
        """Just what was checked and shown."""
        if chosen != "y":
            return
        # a name that was removed once has versions already
        seen = checked.seen if self._base.name is None else self._base.seen
        self._saving = True
        self._show_title()
        self._ask("change", saving(checked.text, one, Base(self._base.name, seen, self._base.definition)))

    def _saved(self, what: str) -> None:
        self._saving = False
        self._drop_draft()
        console = self.console
        self.dismiss()
        console.call_later(console.definition_saved, what)

    def _drop_draft(self) -> None:
        """A check under way does not bring it back."""
        self._given_up = True
        self._found.claim.end(forget=True)

    # --- somebody else was faster -------------------------------------------------------------------------------------

    def _show_conflict(self, answer: Conflict, mine: Definition | None) -> None:
        theirs = answer.theirs
        kept = "take theirs" if theirs.definition is not None else "leave it removed"
        choices = (("m", "mine, on top of theirs"), ("t", kept))
        lines = conflict_lines(answer, mine, self.console.face, self.console.now)
        question = f"CONFLICT  m: go on with mine on top of v{theirs.version}   t: {kept}   Esc: back"
        screen = ChoiceScreen(question, lines, choices, "back to the text")
        self.console.push_screen(screen, partial(self._settle, answer))

    def _settle(self, answer: Conflict, chosen: str | None) -> None:
        theirs = answer.theirs
        if not chosen:
            return
        if chosen == "t" and theirs.definition is None:
            self.dismiss()
            return
        name = theirs.name if theirs.definition is not None else self._base.name
        self._base = Base(name, theirs.version, theirs.definition)
        if theirs.definition is not None:
            self._first = safe_text(definitions.export([unversioned(theirs.definition)]))
        if chosen == "t":
            self.text.replace_all(self._first)
            self.say("theirs; undo brings yours back")
        else:
            self.say(f"yours, now on top of v{theirs.version}: save again to see the difference")
        self._checked = None
        self._check()

    # --- leaving ------------------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        self.ask_to_leave(self.dismiss)

    def ask_to_leave(self, leave: Callable[[], object]) -> None:
        """Leave at once where nothing would be lost; else ask what becomes of the text."""
        if not self.unsaved:
            self._drop_draft()
            leave()
            return
        kept = "It is kept as a draft: the next edit of this definition offers it."
        if self._not_kept:
            kept = f"NO DRAFT IS KEPT, leaving loses it: {self._not_kept}"
        lines = [Line("What you typed is not saved."), Line(visible(kept)), Line("")]
        lines += compared(self._unsaved_lines())
        question = "LEAVE?  l: leave, keep the draft   D: discard what was typed   Esc, Enter: stay"
        choices = (("l", "leave, keep the draft"), ("D", "discard"))
        self.console.push_screen(ChoiceScreen(question, lines, choices, "stay"), partial(self._left, leave))

    def _unsaved_lines(self) -> list[str]:
        return lines_apart(self._first.splitlines(), self.text.text.splitlines())

    def _left(self, leave: Callable[[], object], chosen: str | None) -> None:
        if chosen == "D":
            self._drop_draft()
        elif chosen == "l":
            self.keep_draft()
        if chosen:
            leave()

    def keep_draft(self) -> None:
        """Write the draft now: there may be no later."""
        if not self.unsaved:
            return
        try:
            self._found.claim.keep(self._draft())
        except OSError as error:
            self._not_kept = str(error)
