"""Words for what happens to the log monitor: each with what to do, kept as troubles, raised as events.

Rules: what is counted is in the words, so that an event that was put off says the sum.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from noroshi.node.logs.messages import Raise
from noroshi.node.logs.opening import StrangersLink
from noroshi.node.logs.selection import RanOut
from noroshi.node.logs.troubles import Troubles

SIMPLIFY = "simplify it in node.yaml: no repeat within a repeat"

log = logging.getLogger(__name__)


class Reports:
    """`raise_` hands an event to the daemon; `clock` gives monotonic seconds; `counts` is shared with the monitor."""

    def __init__(
        self, raise_: Callable[[Raise], None], clock: Callable[[], float], counts: Counter[str], *, unsure: bool
    ) -> None:
        self._raise, self._clock, self._counts = raise_, clock, counts
        self._troubles = Troubles(unsure=unsure)
        self._sums: Counter[str] = Counter()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self._troubles.any

    def settle(self) -> None:
        """Tell how things stand, if it is not known."""
        self._tell(self._troubles.settle())

    def tick(self) -> None:
        """Tell what was put off."""
        self._tell(self._troubles.tick(self._clock()))

    def gap(self, source: str, lost: int | None, truncated: bool) -> None:
        """What was written to `source` can no longer be read."""
        self._counts["gaps"] += 1
        self._counts["bytes lost"] += lost or 0
        key = f"gap {source}"
        self._sums[key] += lost or 0
        known = f"at least {self._sums[key]} bytes" if self._sums[key] else "an unknown number of bytes"
        how = "truncated" if truncated else "removed"
        hint = "keep the rotated files until they are read"
        self._passes(key, f"{source} was {how} before it was read to its end: {known} are lost ({hint})")

    def packed(self, path: str, why: str) -> None:
        """What is unread is in a compressed file of a kind that cannot be unpacked here, or in a damaged one."""
        self._counts["gaps"] += 1
        hint = "compress with gzip, bzip2, xz or zstd, which must be installed, or use delaycompress"
        words = f"{path} cannot be unpacked: lines in it that were not read are lost: {why}"
        self._passes(f"packed {path}", f"{words} ({hint})")

    def broken(self, path: str, why: str) -> None:
        """A compressed file came to an end before its time."""
        self._counts["gaps"] += 1
        hint = "see that the compressing program was not interrupted"
        self._passes(f"packed {path}", f"{path} cannot be unpacked to its end: {why}; the rest is lost ({hint})")

    def no_room(self, source: str, error: OSError) -> None:
        """What is compressed cannot be unpacked, for the node's own disk takes nothing."""
        words = f"what was compressed of {source} cannot be unpacked: {error.strerror}"
        self._stands(f"room {source}", f"{words} (free room on the disk of 'state'; it is tried again)", error=True)

    def unpackable(self, source: str) -> None:
        self._clear(f"room {source}")

    def ran_out(self, source: str, event: RanOut) -> None:
        """A pattern took too long on a line of `source`."""
        self._counts["patterns out of time"] += 1
        key = f"pattern {source} {event.pattern}"
        what = "blocks of lines" if event.slow else "lines"
        words = f"the pattern {event.pattern!r} ran out of time on {event.strikes} {what} of {source}"
        if event.set_aside:
            self._stands(key, f"{words} and is set aside there, so it holds no line back ({SIMPLIFY})", error=True)
            return
        last = "" if event.slow else f", the last of {event.length} characters"
        self._passes(key, f"{words}{last}; they were taken as selected ({SIMPLIFY})")

    def misread(self, source: str, misread: bool) -> None:
        """Whether a file is in another encoding than its rule names, so that no line of it ends."""
        key = f"encoding {source}"
        if not misread:
            self._clear(key)
            return
        words = f"{source} reads like UTF-8, and not as the encoding that its rule names: no line of it can be taken"
        self._stands(key, f"{words} (put 'encoding' right in node.yaml, and restart the daemon)", error=True)

    def unreadable(self, path: str, error: OSError) -> None:
        """A file or directory that is configured cannot be read."""
        hint = "give the daemon's user the right to read it"
        if isinstance(error, StrangersLink):
            hint = "let root or whoever owns the file make the link, or name the file itself under 'logs'"
        self._stands(f"read {path}", f"{path} cannot be read: {error.strerror} ({hint})")

    def irregular(self, path: str, irregular: bool) -> None:
        """Whether what a rule names is there and is no file."""
        key = f"irregular {path}"
        if irregular:
            self._stands(key, f"{path} is no regular file and is not followed (name a file under 'logs')")
        else:
            self._clear(key)

    def readable(self, path: str) -> None:
        self._clear(f"read {path}")

    def unsaved(self, error: OSError) -> None:
        """The positions could not be saved."""
        hint = "look at the disk of 'state'; new files wait until then"
        self._stands("save", f"the read positions cannot be saved: {error.strerror} ({hint})", error=True)

    def saved(self) -> None:
        self._clear("save")

    def damaged(self, why: str) -> None:
        """The saved positions could not be understood."""
        self._passes(
            "damaged",
            f"the saved read positions are damaged: {why}; files are followed from their end on, so what was written"
            " since the last acknowledgement is not sent (the damaged file is kept beside them)",
            error=True,
        )

    def refused(self, code: str, message: str, hint: str) -> None:
        """The coordinator takes no lines of this node."""
        self._counts["batches refused"] += 1
        words = f"the coordinator refuses the lines of this node ({code}): {message} ({hint})"
        self._stands("refused", words, error=True)

    def accepted(self) -> None:
        self._clear("refused")

    def not_set_aside(self, source: str, error: OSError) -> None:
        """There is no place for lines that the coordinator cannot take; they, and what follows them, wait."""
        hint = f"look at {error.filename or 'logs/aside'} in 'state'; it is tried again"
        words = f"lines of {source} that the coordinator cannot take cannot be set aside: {error.strerror} ({hint})"
        self._stands(f"no place {source}", words, error=True)

    def taken(self, source: str) -> None:
        """The coordinator has lines of `source`, so none before them waits to be set aside."""
        self._clear(f"no place {source}")

    def set_aside(self, source: str, lines: int, place: str, message: str) -> None:
        """The coordinator refused the same lines twice as bad."""
        self._clear(f"no place {source}")
        self._counts["lines set aside"] += lines
        self._passes(
            f"aside {source}",
            f"the coordinator cannot take {lines} lines of {source}: {message} (they are kept in {place})",
            error=True,
        )

    # --- the journal ---

    def journal_gap(self) -> None:
        """The entry that was read last is gone."""
        self._counts["gaps"] += 1
        hint = "raise SystemMaxUse in journald.conf"
        self._passes(
            "gap journal",
            "the entry that was read last is no longer in the journal: an unknown number after it may be lost;"
            f" it is followed from the oldest entry that is left ({hint})",
        )

    def journal_damaged(self, why: str) -> None:
        """What was saved of the journal could not be understood."""
        self._passes(
            "damaged journal",
            f"the saved position in the journal is damaged: {why}; it is followed from its end on, so what was written"
            " since the last acknowledgement is not sent (the damaged file is kept beside it)",
            error=True,
        )

    def journal_unkept(self, error: OSError) -> None:
        """There is no place for how far it was read."""
        hint = f"look at {error.filename or 'logs/journal'} in 'state'; the journal is read on from where it was"
        words = f"how far the journal was read cannot be kept: {error.strerror}"
        self._stands("journal place", f"{words} ({hint})", error=True)

    def journal_kept(self) -> None:
        self._clear("journal place")

    def journal_unsaved(self, place: str, error: OSError) -> None:
        """How far it was read could not be saved; `place` tells rules apart."""
        hint = "look at the disk of 'state'; new entries wait until then"
        words = f"how far the journal was read cannot be saved: {error.strerror} ({hint})"
        self._stands(f"save journal {place}", words, error=True)

    def journal_saved(self, place: str) -> None:
        self._clear(f"save journal {place}")

    def journal_unreadable(self, how: str) -> None:
        """journalctl gives nothing."""
        hint = "the daemon's user needs the group systemd-journal, or name the program by 'command' in node.yaml"
        if "not installed" in how or "could not be started" in how:
            hint = "install systemd, name the program by 'command' in node.yaml, or take the journal out of 'logs'"
        elif ("journal files" in how and "permissions" not in how) or "No such boot ID" in how:
            hint = "there is none yet: see that systemd-journald runs and that Storage in journald.conf is not none"
        self._stands("journal", f"the journal cannot be read: journalctl {how} ({hint})", error=True)

    def journal_readable(self) -> None:
        self._clear("journal")

    def journal_partial(self) -> None:
        """journalctl shows only what is the user's own."""
        words = "the journal is read only in part: journalctl shows the daemon's user no other's entries"
        self._stands("journal partial", f"{words} (give that user the group systemd-journal)")

    def journal_whole(self) -> None:
        self._clear("journal partial")

    def journal_too_long(self, entries: int) -> None:
        """Entries that were too long to be read."""
        self._sums["journal long"] += entries
        self._counts["gaps"] += entries
        words = f"{self._sums['journal long']} entries of the journal were too long to be read and are left out"
        self._passes("journal long", f"{words} (journalctl shows them whole)")

    def journal_odd(self, lines: int) -> None:
        """What was printed is no entry."""
        words = f"journalctl printed {lines} lines that are no entries of a journal; they are left out"
        self._passes("journal odd", f"{words} ('command' in node.yaml must print as journalctl --output=json does)")

    def _passes(self, key: str, words: str, *, error: bool = False) -> None:
        self._tell(self._troubles.passes(key, "ERROR" if error else "WARNING", words, self._clock()))

    def _stands(self, key: str, words: str, *, error: bool = False) -> None:
        self._tell(self._troubles.stands(key, "ERROR" if error else "WARNING", words, self._clock()))

    def _clear(self, key: str) -> None:
        self._tell(self._troubles.clear(key))

    def _tell(self, events: list[Raise]) -> None:
        for event in events:
            if event.state != "OK":
                log.warning("%s", event.supplement)
            self._raise(event)
