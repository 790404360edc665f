"""One filter over the log while it runs: what it found, how far it came, how it goes on."""

from __future__ import annotations

from itertools import count

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.line_index import MOST, SparseIndex
from noroshi.console.app.log_search import scan_job
from noroshi.console.app.messages import ScanStepped
from noroshi.console.app.reading import Fetcher
from noroshi.console.sanitise import visible
from noroshi.store.views import LogBounds, LogFilter

_generations = count(1)


class Search:
    """Goes back from the newest line, and on through the lines that come; both by steps of the fetcher."""

    def __init__(self, typed: str, which: LogFilter, text: TextFilter, bounds: LogBounds) -> None:
        self.generation = next(_generations)
        self.which, self.text = which, text
        self.matches = SparseIndex()
        self._typed = typed
        self._back = bounds.last + 1
        self._forth = bounds.last
        self._done = not bounds.last

    @property
    def searching(self) -> bool:
        """Whether older lines are still being looked through."""
        return not self._done

    def begin(self, fetcher: Fetcher) -> None:
        """Look through what is there."""
        if not self._done:
            fetcher.submit("older", scan_job(self.which, self._back, self.generation, backward=True))

    def go_on(self, fetcher: Fetcher) -> None:
        """Look through what came since; and again through what is older, should the disk have failed it."""
        fetcher.submit("newer", scan_job(self.which, self._forth, self.generation, backward=False))
        if not fetcher.has("older"):
            self.begin(fetcher)

    def stop(self, fetcher: Fetcher) -> None:
        """Forget it."""
        fetcher.cancel("older")
        fetcher.cancel("newer")

    def take(self, event: ScanStepped, fetcher: Fetcher) -> int:
        """Take one step's findings; how many rows came before the first.

        A search begun again before the last step of the one before it was told gives lines twice: they are passed over.
        """
        ids = [line.id for line in event.step.lines]
        if not event.backward:
            self.matches.add_newer(number for number in ids if number > self._forth)
            self._forth = max(self._forth, event.step.position)
            return 0
        added = self.matches.add_older(number for number in ids if number < self._back)
        self._back = min(self._back, event.step.position)
        self._done = self._done or event.step.done
        if self.matches.full:
            self._done = True
            fetcher.cancel("older")
        return added

    def told(self, bounds: LogBounds) -> str:
        """For the state line."""
        found = f"/{visible(self._typed)}: {len(self.matches):,}{'+' if len(self.matches) >= MOST else ''} found"
        if self._done:
            return found
        share = (bounds.last - self._back) * 100 // max(1, bounds.last - bounds.first + 1)
        return f"{found}, {max(0, share)} % searched"
