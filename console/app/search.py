"""One filter over a table while it runs: what it found, how far it came, how it goes on."""

from __future__ import annotations

from itertools import count
from typing import Any

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.line_index import MOST, SparseIndex
from noroshi.console.app.messages import LookedAgain, ScanStepped
from noroshi.console.app.reading import Fetcher
from noroshi.console.app.table_jobs import look_again_job, scan_job
from noroshi.console.app.tables import Table
from noroshi.console.sanitise import visible
from noroshi.store.views import Bounds

_generations = count(1)


class Search:
    """Goes back from the newest row, and on through the rows that come; both by steps of the fetcher.

    A row that may still change when it is passed is looked at again each time the search goes on.
    """

    def __init__(self, typed: str, table: Table[Any, Any], which: Any, text: TextFilter, bounds: Bounds) -> None:
        self.generation = next(_generations)
        self.which, self.text = which, text
        self.matches = SparseIndex()
        self._typed, self._table = typed, table
        self._back = bounds.last + 1
        self._forth = bounds.last
        self._done = not bounds.last
        self._open: set[int] = set()

    @property
    def searching(self) -> bool:
        """Whether older rows are still being looked through."""
        return not self._done

    @property
    def is_unsettled(self) -> bool:
        """Whether rows that were passed may have changed."""
        return bool(self._open)

    def begin(self, fetcher: Fetcher) -> None:
        """Look through what is there."""
        if not self._done:
            fetcher.submit(self._key("older"), self._scan(self._back, backward=True))

    def go_on(self, fetcher: Fetcher) -> None:
        """Look through what came since; and again through what is older, should the disk have failed it."""
        if self._open:
            again = look_again_job(self._table, self.which, tuple(sorted(self._open)), self.generation)
            fetcher.submit(self._key("again"), again)
        fetcher.submit(self._key("newer"), self._scan(self._forth, backward=False))
        if not fetcher.has(self._key("older")):
            self.begin(fetcher)

    def stop(self, fetcher: Fetcher) -> None:
        """Forget it."""
        for way in ("older", "newer", "again"):
            fetcher.cancel(self._key(way))

    def take(self, event: ScanStepped, fetcher: Fetcher) -> None:
        """Take one step's findings.

        A search begun again before the last step of the one before it was told gives rows twice: they are passed over.
        """
        found = event.found
        self._open.update(found.open)
        if not event.backward:
            self.matches.add_newer(number for number in found.ids if number > self._forth)
            self._forth = max(self._forth, found.position)
            return
        self.matches.add_older(number for number in found.ids if number < self._back)
        self._back = min(self._back, found.position)
        self._done = self._done or found.done
        if self.matches.full:
            self._done = True
            fetcher.cancel(self._key("older"))

    def take_again(self, event: LookedAgain) -> None:
        """Rows that changed since they were passed: those that no longer match go, others come."""
        self._open.difference_update(event.asked)
        self._open.update(event.open)
        for number in event.asked:
            self.matches.keep(number, number in event.matching)

    def told(self, bounds: Bounds) -> str:
        """For the state line."""
        found = f"/{visible(self._typed)}: {len(self.matches):,}{'+' if len(self.matches) >= MOST else ''} found"
        if self._done:
            return found
        share = (bounds.last - self._back) * 100 // max(1, bounds.last - bounds.first + 1)
        return f"{found}, {max(0, share)} % searched"

    def _scan(self, position: int, *, backward: bool) -> Any:
        return scan_job(self._table, self.which, position, self.generation, backward=backward)

    def _key(self, way: str) -> str:
        return f"{self._table.name} {way}"
