"""A list of rows that are held whole and have keys, fitted in columns: what the state and definition tables share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from textual import events

from noroshi.console.app.widgets.line_view import LineView


class Keyed(Protocol):
    """A row that is known again by its key when all rows were made anew."""

    @property
    def key(self) -> str: ...


Row = TypeVar("Row", bound=Keyed)


class KeyedTable(LineView, Generic[Row]):
    """Subclasses give `rows`, fit their columns by `fit`, and give each row as it is shown."""

    @property
    def rows(self) -> Sequence[Row]:
        """All of them."""
        raise NotImplementedError

    def fit(self) -> None:
        """Share out the width among the columns: the rows, the width, or the way times are shown changed."""
        raise NotImplementedError

    @property
    def row_count(self) -> int:
        return len(self.rows)

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor is not None and self.cursor < len(self.rows) else None

    def place_of(self, key: str) -> int | None:
        """Where the row with this key is listed."""
        return next((at for at, row in enumerate(self.rows) if row.key == key), None)

    def refit(self) -> None:
        """The rows or the width changed."""
        self.fit()
        self.set_extent(self.size.width)

    def on_resize(self, event: events.Resize) -> None:
        self.refit()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()
