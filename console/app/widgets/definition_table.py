"""The table of fig. 8: a line a definition, below it a line a destination; nodes that cannot be told are marked."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from noroshi.console.app.definition_rows import (
    LEFT,
    DefinitionRow,
    DestinationRow,
    Heading,
    Row,
    Rows,
    extras,
    matched,
    options,
)
from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.state_rows import shown
from noroshi.console.app.widgets.cells import cut
from noroshi.console.app.widgets.keyed_table import KeyedTable
from noroshi.console.app.widgets.state_table import WIDE
from noroshi.console.severity import Severity, shape_of
from noroshi.console.times import Clockface, age

_AGE, _AUTHOR_MOST, _NODE_MOST, _MARK, _PROCEDURE = 5, 12, 20, 9, 7
_GAP = 2
_INDENT = 4


@dataclass(frozen=True)
class Columns:
    """Widths in cells, 0 for a column there is no room for."""

    name: int
    what: int
    version: int
    author: int
    age: int
    time: int
    node: int

    @property
    def right(self) -> tuple[int, ...]:
        return self.version, self.author, self.age, self.time


def fit_columns(rows: tuple[Row, ...], width: int, time_width: int) -> Columns:
    """Share out `width`: name and what it matches always; then version, age, author; when from WIDE up."""
    definitions = [row for row in rows if isinstance(row, DefinitionRow)]
    name = max((cell_len(shown(row.name)) for row in definitions), default=0)
    author = max((cell_len(shown(row.head.author)) for row in definitions), default=0)
    named = [row for row in rows if isinstance(row, DestinationRow) and row.destination.node is not None]
    node = max((cell_len(row.texts[0]) for row in named), default=0)
    version = max([3, *(len(f"v{row.head.version}") for row in definitions)]) if width >= 50 else 0
    author = min(max(author, 6), _AUTHOR_MOST) if width >= 60 else 0
    ages = _AGE if width >= 50 else 0
    time = time_width if width >= WIDE else 0
    right = sum(each + _GAP for each in (version, author, ages, time) if each)
    room = max(8, width - right - 1)
    name = min(max(name, 8), max(8, room * 2 // 5) if width >= 50 else room)
    return Columns(name, max(0, room - name - _GAP), version, author, ages, time, min(node, _NODE_MOST))


class DefinitionTable(KeyedTable[Row]):
    """Shows `Rows`; every row of a definition leads to it."""

    def __init__(self) -> None:
        super().__init__(id="definitions")
        self._rows = Rows((), 0, 0, 0)
        self._columns = Columns(8, 0, 0, 0, 0, 0, 0)
        self._now = 0
        self._face = Clockface()
        self._highlight = TextFilter()

    def show(self, rows: Rows, now: int, face: Clockface, highlight: TextFilter) -> None:
        """Show these rows; the cursor stays on what it was on."""
        at = self.current
        changed = (rows, face, highlight) != (self._rows, self._face, self._highlight)
        self._rows, self._now, self._face, self._highlight = rows, now, face, highlight
        if changed:
            self.refit()
            self._keep_cursor(at)
            self.refresh()

    def tick(self, now: int, face: Clockface) -> None:
        """Time goes on, or is shown otherwise: repaint where an age changed."""
        before = [self._age(row, self._now) for row in self.rows]
        refit, self._now, self._face = face != self._face, now, face
        if refit or before != [self._age(row, now) for row in self.rows]:
            self.fit()
            self.refresh()

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._rows.rows

    @property
    def current_name(self) -> str | None:
        """The definition the cursor stands on, or on a destination of."""
        row = self.current
        return row.name if isinstance(row, DefinitionRow | DestinationRow) else None

    def go_to(self, name: str) -> bool:
        """Stand on the definition of this name, if it is listed."""
        found = self.place_of(f"definition {name}")
        if found is not None:
            self.place_cursor(found)
            self._show_destinations(found)
        return found is not None

    def next_definition(self, step: int) -> bool:
        """Move to the next one, or back; its destinations come on the screen with it. False: there is none."""
        places = [at for at, row in enumerate(self.rows) if isinstance(row, DefinitionRow)]
        at = -1 if self.cursor is None else self.cursor
        ahead = [place for place in places if (place > at if step > 0 else place < at)]
        if ahead:
            found = ahead[0] if step > 0 else ahead[-1]
            self.place_cursor(found)
            self._show_destinations(found)
        return bool(ahead)

    def is_selectable(self, y: int) -> bool:
        return not isinstance(self.rows[y], Heading)

    def row(self, y: int) -> Text:
        row = self.rows[y]
        if isinstance(row, Heading):
            return self._heading(row)
        text = self._definition(row) if isinstance(row, DefinitionRow) else self._destination(row)
        for span in self._highlight.spans(text.plain):
            text.stylize(self.style_of("match"), *span)
        return text

    def _show_destinations(self, at: int) -> None:
        """Scroll so that what belongs to the definition is seen too, where it fits below it."""
        last = at
        while last + 1 < len(self.rows) and isinstance(self.rows[last + 1], DestinationRow):
            last += 1
        height = self.scrollable_content_region.height
        self.bring_on_screen(min(last, at + max(0, height - 1)))

    def fit(self) -> None:
        heads = [row.head for row in self.rows if isinstance(row, DefinitionRow)]
        time = max((len(self._face.short(head.created_at, self._now)) for head in heads), default=0)
        self._columns = fit_columns(self.rows, self.scrollable_content_region.width, max(4, time))

    def _keep_cursor(self, at: Row | None) -> None:
        name = at.name if isinstance(at, DefinitionRow | DestinationRow) else None
        found = self.place_of(at.key) if at else None
        if found is None:
            found = self.place_of(f"definition {name}")
        if found is None:
            found = self._selectable(self.cursor or 0, 1)
        self.cursor = found
        if found is not None:
            self.bring_on_screen(found)

    # --- one row ------------------------------------------------------------------------------------------------

    def _heading(self, row: Heading) -> Text:
        front = cut(f"{row.title.upper()}  {row.count}", self._columns.name + _GAP + self._columns.what)
        return Text(front + self._right(["VER", "AUTHOR", "AGE", "WHEN"]), self.style_of("heading"))

    def _definition(self, row: DefinitionRow) -> Text:
        head, columns = row.head, self._columns
        name = cut(shown(row.name), columns.name)
        if head.definition is None:
            what = cut("removed", columns.what)
            text = Text().append(name, self.style_of("muted"))
        else:
            about = (shown(matched(head.definition)), options(head.definition))
            what = cut("  · ".join(filter(None, about)), columns.what)
            text = Text().append(name, self.style_of("other"))
        text.append(f"{'':{_GAP}}{what}" if columns.what else "", self.style_of("good"))
        times = [age(head.created_at, self._now), self._face.short(head.created_at, self._now)]
        return text.append(self._right([f"v{head.version}", shown(head.author), *times]), self.style_of("good"))

    def _destination(self, row: DestinationRow) -> Text:
        node, state, procedure, application, _ = row.texts
        priority = str(row.destination.priority) if row.first else ""
        text = Text(f"{priority:>{_INDENT}}{'':{_GAP}}")
        if row.destination.node is None:
            text.append(cut(node, max(cell_len(node), self._columns.node + _GAP + _MARK)))
        else:
            text.append(cut(node, self._columns.node)).append(" " * _GAP).append(self._mark(state))
        text.append(" " * _GAP)
        how = "default, else system log" if row.destination.procedure == "default" else f"{procedure:{_PROCEDURE}}"
        more = extras(row.destination)
        return text.append(f"{how}  {application}" + (f"  ({more})" if more else ""))

    def _mark(self, state: str) -> Text:
        """What keeps a node from being told; a blank while it is up or nobody can tell."""
        if state in ("UP", ""):
            return Text(" " * _MARK)
        if state != LEFT:
            return self.state_text(state, state, _MARK)
        text = Text(f"{shape_of('DOWN')} LEFT", self.style_of(Severity.CRITICAL.name.lower()))
        return text.append(" " * (_MARK - text.cell_len))

    def _age(self, row: Row, now: int) -> str:
        return age(row.head.created_at, now) if isinstance(row, DefinitionRow) else ""

    def _right(self, texts: list[str]) -> str:
        """Version, author, age, and when where there is room."""
        return "".join(
            f"{'':{_GAP}}{cut(text, width, right=at in (0, 2))}"
            for at, (text, width) in enumerate(zip(texts, self._columns.right, strict=True))
            if width
        )
