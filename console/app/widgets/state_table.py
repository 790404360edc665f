"""The state table: nodes and states in one list, grouped, worst first; repaints only the rows that changed."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.state_rows import Folded, Heading, NodeRow, Row, Rows, StateRow, shown, tally, troubles
from noroshi.console.app.widgets.cells import cut
from noroshi.console.app.widgets.keyed_table import KeyedTable
from noroshi.console.severity import state_mark
from noroshi.console.times import Clockface, age, ago

WIDE = 120
_AGE, _COUNT, _STATE_MOST, _PAST_MOST, _NODE_MOST = 5, 5, 14, 18, 16
_GAP = 2


@dataclass(frozen=True)
class Columns:
    """Widths in cells, 0 for a column there is no room for; `time` is that of each of the two instants."""

    state: int
    event: int
    supplement: int
    node: int
    time: int
    age: int = _AGE
    count: int = _COUNT

    @property
    def front(self) -> int:
        """Event and supplement together."""
        return self.event + (_GAP + self.supplement if self.supplement else 0)


def fit_columns(rows: tuple[Row, ...], width: int, time_width: int, unwatched: str = "", now: int = 0) -> Columns:
    """Share out `width`: state and event always; then age, node, count, supplement; instants from WIDE up."""
    listed = [row for row in rows if isinstance(row, NodeRow | StateRow)]
    items = [row.texts for row in listed]
    agos = [unwatched or ago(row.as_of, now) for row in listed]
    marks = [state_mark(row.state, row.texts[0], since) for row, since in zip(listed, agos, strict=True)]
    state = max((cell_len(mark.text) for mark in marks), default=0)
    event = max((cell_len(texts[1]) for texts in items), default=0)
    node = max((cell_len(texts[2]) for texts in items if len(texts) > 2), default=0)
    most = _PAST_MOST if any(agos) else _STATE_MOST
    state, node = min(max(state, 9), most), min(max(node, 4), _NODE_MOST)
    time = time_width if width >= WIDE else 0
    count = _COUNT if width >= 50 else 0
    node = node if width >= 60 else 0
    fixed = state + _AGE + count + node + 2 * time + _GAP * (2 + bool(count) + bool(node) + 2 * bool(time))
    room = max(8, width - fixed - 1)
    event = min(event, room if width < 60 else max(16, room * 3 // 5))
    return Columns(state, event, max(0, room - event - _GAP), node, time, count=count)


class StateTable(KeyedTable[Row]):
    """Shows `Rows`; the ages in it are those of the last `show` or `tick`.

    `as_of`: the last instant of which they tell for sure, None while they are up to date.
    """

    def __init__(self) -> None:
        super().__init__(id="states")
        self._rows = Rows((), 0, 0)
        self._columns = Columns(9, 0, 0, 4, 0)
        self._now = 0
        self._face = Clockface()
        self._unwatched = ""
        self._highlight = TextFilter()
        self._painted: dict[int, Text] = {}

    def show(self, rows: Rows, now: int, face: Clockface, highlight: TextFilter, as_of: int | None = None) -> None:
        """Show these rows; the cursor stays on what it was on."""
        at = self.current
        before, self._rows = self._rows, rows
        self._now, self._face, self._highlight, self._unwatched = now, face, highlight, ago(as_of, now)
        self.refit()
        self._keep_cursor(at.key if at else None)
        if len(before.rows) != len(rows.rows):
            self._painted.clear()
            self.refresh()
        self._repaint_changed()

    def tick(self, now: int, face: Clockface, as_of: int | None = None) -> None:
        """Time goes on, or is shown otherwise: repaint the ages and instants that changed."""
        before = self._face, self._agos()
        self._now, self._face, self._unwatched = now, face, ago(as_of, now)
        if before != (self._face, self._agos()):
            self.fit()
        self._repaint_changed()

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._rows.rows

    def go_to(self, key: str) -> bool:
        """Stand on the row with this key, if it is listed."""
        at = self.place_of(key)
        if at is not None:
            self.place_cursor(at)
        return at is not None

    def next_trouble(self, step: int) -> bool:
        """Move to the next row that tells of trouble, round and round; False when there is none."""
        places = troubles(self.rows)
        if not places:
            return False
        at = -1 if self.cursor is None else self.cursor
        ahead = [place for place in places if (place > at if step > 0 else place < at)] or places
        self.place_cursor(ahead[0] if step > 0 else ahead[-1])
        return True

    def is_selectable(self, y: int) -> bool:
        return not isinstance(self.rows[y], Heading)

    def row(self, y: int) -> Text:
        text = self._painted[y] = self._make(y)
        return text

    def fit(self) -> None:
        oldest = min((row.row.observed_at for row in self.rows if isinstance(row, StateRow)), default=self._now)
        time = max(len("LAST REPORTED"), len(self._face.short(oldest, self._now)))
        width = self.scrollable_content_region.width
        self._columns = fit_columns(self.rows, width, time, self._unwatched, self._now)

    def _ago(self, row: NodeRow | StateRow) -> str:
        """How long nobody has watched it, empty while somebody does."""
        return self._unwatched or ago(row.as_of, self._now)

    def _agos(self) -> set[int]:
        """How wide these are."""
        return {len(self._ago(row)) for row in self.rows if isinstance(row, NodeRow | StateRow)}

    def _keep_cursor(self, key: str | None) -> None:
        if key is None:
            self.cursor = self._selectable(0, 1)
            return
        at = self.place_of(key)
        if at is None:
            self.cursor = self._selectable(self.cursor or 0, -1)
        elif at != self.cursor:
            moved = at - (self.cursor or 0)
            self.cursor = at
            self._painted.clear()
            if self.scroll_offset.y:
                self.scroll_to(y=self.scroll_offset.y + moved, animate=False)
            self.bring_on_screen(at)

    def _repaint_changed(self) -> None:
        top = self.scroll_offset.y
        for y in range(top, min(top + self.size.height, len(self.rows))):
            if self._make(y) != self._painted.get(y):
                self.refresh_line(y)

    # --- one row ------------------------------------------------------------------------------------------------

    def _make(self, y: int) -> Text:
        row = self.rows[y]
        if isinstance(row, Folded):
            were = f"rows that were healthy {self._unwatched} ago" if self._unwatched else "healthy rows"
            past = f", {row.past} of them not watched now" if row.past and not self._unwatched else ""
            return Text(f"  … {row.count} {were} folded{past}, press o to list them", self.style_of("muted"))
        if isinstance(row, Heading):
            return self._heading(row)
        text = self.state_text(row.state, row.texts[0], self._columns.state, self._ago(row))
        text.append(self._node_line(row) if isinstance(row, NodeRow) else self._state_line(row))
        for span in self._highlight.spans(text.plain):
            text.stylize(self.style_of("match"), *span)
        return text

    def _heading(self, row: Heading) -> Text:
        front = f"{shown(row.group).upper()}  {tally(row.counts, self._unwatched, row.past)}"
        titles = ["", "AGE", "", "SINCE", ""]
        if row.group != "nodes":
            titles = ["NODE", "AGE", "COUNT", "SINCE", "LAST REPORTED"]
        width = self._columns.state + _GAP + self._columns.front
        return Text(cut(front, width) + self._right(titles), self.style_of("heading"))

    def _node_line(self, row: NodeRow) -> str:
        node = row.node
        since = "" if node.since is None else self._face.short(node.since, self._now)
        _, name, _, note = row.texts
        columns, beside = self._columns, f"{'':{_GAP}}{note}"
        front = f"{cut(name, columns.event)}{beside}" if columns.supplement and note else name + beside * bool(note)
        return f"{'':{_GAP}}{cut(front, columns.front)}" + self._right(["", age(node.since, self._now), "", since, ""])

    def _state_line(self, row: StateRow) -> str:
        columns, state = self._columns, row.row
        _, event, node, supplement = row.texts
        front = f"{'':{_GAP}}{cut(event, columns.event)}"
        if columns.supplement:
            front += f"{'':{_GAP}}{cut(supplement, columns.supplement)}"
        times = [self._face.short(instant, self._now) for instant in (state.observed_at, state.seen_at)]
        return front + self._right([node, age(state.observed_at, self._now), str(state.count), *times])

    def _right(self, texts: list[str]) -> str:
        """The columns on the right: node, age, count, and the two instants where there is room."""
        columns = self._columns
        widths = (columns.node, columns.age, columns.count, columns.time, columns.time)
        return "".join(
            f"{'':{_GAP}}{cut(text, width, right=at in (1, 2))}"
            for at, (text, width) in enumerate(zip(texts, widths, strict=True))
            if width
        )
