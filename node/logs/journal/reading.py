"""Reads the journal for one rule: which journalctl runs, what of its output is wanted, what of it is on the disk.

Rules: nothing is read that could not be sent, or that would not fit: journalctl then waits at its pipe, and one that
waits for long is ended, for it holds files open that were removed. One that ends (it may crash when a file is rotated)
is started again, after a pause that grows while nothing comes of it; only then it is told. What is selected is on the
disk before it may be sent; a cursor that moved past unselected entries only is saved now and then.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Sequence

from noroshi.node.core.backoff import Backoff
from noroshi.node.logs.journal.backlog import Backlog, Line
from noroshi.node.logs.journal.child import Child
from noroshi.node.logs.journal.course import Course, Phase, Verdict
from noroshi.node.logs.journal.entries import FIELDS, Entry, covers, decode, line_of, literal, source_of
from noroshi.node.logs.journal.saved import Place, Standing
from noroshi.node.logs.messages import JournalRule
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.selection import Selection
from noroshi.node.monitors.program import command, ending

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY = 60.0
"""Seconds after which a journalctl has done well, whatever it printed."""
STRIKES = 3
"""So many times it may end for nothing before it is told."""

SAVE = 5.0
"""Seconds between two savings of a cursor that moved past unselected entries."""
SAVE_AGAIN = 1.0
"""Seconds until what could not be saved is saved again."""
ENDS_WITHIN = 0.5
"""Seconds between the end of a journalctl's output and its own."""

IDLE = 10.0
"""Seconds a journalctl may wait at its pipe."""


class Journal:
    """One rule. `earlier` are the rules before it on the same journal: what they cover is theirs."""

    def __init__(
        self,
        rule: JournalRule,
        earlier: Sequence[JournalRule],
        place: Place,
        selection: Selection,
        counts: Counter[str],
        reports: Reports,
    ) -> None:
        self._rule, self._earlier, self._place, self._selection = rule, earlier, place, selection
        self._counts, self._reports = counts, reports
        standing = place.standing or Standing(secrets.token_bytes(16), 0, None)
        self.backlog = Backlog(standing.stream, rule.deferred, standing.last, standing.waiting)
        self._course = Course(standing.cursor, standing.inclusive)
        self._saved = standing
        self._save_due = self._read_at = self._started = self._start_due = 0.0
        self._save_failed = False
        self._backoff, self._strikes = Backoff(FIRST_PAUSE, LONGEST_PAUSE), 0
        self.child: Child | None = None
        if place.damaged:
            reports.journal_damaged(place.damaged)

    # --- one turn ---

    def wanted(self, *, leader: bool) -> bool:
        """Whether there is anywhere to put what would be read."""
        return self._course.cursor is None or ((leader or self._rule.deferred) and self.backlog.room)

    def turn(self, now: float, now_us: int, *, leader: bool) -> bool:
        """Start, read, save; whether there may be more at once."""
        more = False
        if self.wanted(leader=leader):
            self._read_at = now
            more = self._read(now, now_us) if self.child is not None else self._start(now)
        elif self.child is not None and now - self._read_at > IDLE:
            self._end()
        self._save_if_due(now)
        return more

    def due(self, now: float, *, leader: bool) -> float:
        """When `turn` is wanted next, if nothing comes."""
        if self.backlog.unsaved or self._standing != self._saved:
            return max(self._save_due, now)
        return self._start_due if self.child is None and self.wanted(leader=leader) else float("inf")

    def close(self) -> None:
        """End what runs and keep where it stands."""
        self._end()
        self._save_due = 0.0
        self._save_if_due(0.0)

    # --- the child ---

    def _start(self, now: float) -> bool:
        if now < self._start_due:
            return False
        program = command(self._rule.command, "journalctl")
        if program is None:
            self._failed("is not installed", now, at_once=True)
            return False
        try:
            self.child = Child([*program, "--output=json", "--all", f"--output-fields={FIELDS}", *self._arguments])
        except OSError as error:
            self._failed(f"could not be started: {error.strerror}", now, at_once=True)
        self._started = now
        return False

    @property
    def _arguments(self) -> list[str]:
        scope = []
        if self._course.phase in (Phase.READ, Phase.FOLLOW):
            if all(literal(unit) for unit in self._rule.units):
                scope += [f"--unit={unit}" for unit in self._rule.units]
            if self._rule.priority is not None:
                scope.append(f"--priority={self._rule.priority}")
        return [*self._course.arguments, *scope]

    def _read(self, now: float, now_us: int) -> bool:
        child = self.child
        if child is None:
            return False
        lines = child.lines()
        if lines is None:
            self._ended(child, now)
            return True
        self._take(lines, now_us)
        if self.child is child:
            self._listen(child, now)
        return bool(lines)

    def _ended(self, child: Child, now: float) -> None:
        status, said = child.end(ENDS_WITHIN), child.said
        self.child = None
        well = status == 0 and "No journal files" not in said
        phase, verdict = self._course.phase, self._course.ended(well=well)
        if verdict is Verdict.FAILED:
            self._failed(f"ended with {ending(status)} ({phase.value})" + (f": {said}" if said else ""), now)
        else:
            self._stepped(verdict)

    def _stepped(self, verdict: Verdict) -> None:
        self._start_due = 0.0
        if verdict is Verdict.GAP:
            self._reports.journal_gap()

    def _failed(self, how: str, now: float, *, at_once: bool = False) -> None:
        self._counts["journal restarts"] += 1
        if now - self._started > STEADY:
            self._backoff.reset()
            self._strikes = 0
        self._strikes += 1
        self._start_due = now + self._backoff.next()
        log.info("journalctl %s", how)
        if at_once or self._strikes >= STRIKES:
            self._reports.journal_unreadable(how)

    def _listen(self, child: Child, now: float) -> None:
        """What it complains of while it runs: that it sees only a part, or nothing."""
        if child.dropped:
            self._reports.journal_too_long(child.dropped)
            child.dropped = 0
        said = child.said
        if "not seeing messages" in said:
            self._reports.journal_partial()
        elif "No journal files" in said and self._course.phase is Phase.FOLLOW:
            self._reports.journal_unreadable("found no journal files")
        elif now - self._started > LONGEST_PAUSE:
            self._well()
            self._reports.journal_whole()

    def _well(self) -> None:
        self._backoff.reset()
        self._strikes = 0
        self._reports.journal_readable()

    def _end(self) -> None:
        if self.child is not None:
            self.child.end()
            self.child = None
            self._course.restart()

    # --- what it prints ---

    def _take(self, lines: list[bytes], now_us: int) -> None:
        found: list[Line] = []
        for line in lines:
            entry = self._entry(line)
            if entry is None:
                continue
            verdict = self._course.entry(entry.cursor)
            if verdict in (Verdict.STEP, Verdict.GAP):
                self._step(verdict)
                return
            if verdict is Verdict.TAKE and (taken := self._line(entry)) is not None:
                found.append(taken)
        self._counts["journal entries"] += len(lines)
        self.backlog.add(self._selected(found), now_us)

    def _step(self, verdict: Verdict) -> None:
        """This journalctl has said what was asked."""
        if self.child is not None:
            self.child.end()
            self.child = None
        self._stepped(verdict)

    def _entry(self, line: bytes) -> Entry | None:
        try:
            return decode(line)
        except (ValueError, RecursionError):
            if line.startswith(b"{"):
                self._counts["journal entries not understood"] += 1
                self._reports.journal_odd(self._counts["journal entries not understood"])
            return None

    def _line(self, entry: Entry) -> Line | None:
        rule = self._rule
        if not covers(rule.units, rule.priority, entry):
            return None
        if any(covers(other.units, other.priority, entry) for other in self._earlier):
            return None
        text = line_of(entry)
        return None if text is None else Line(source_of(entry), entry.time, text)

    def _selected(self, found: list[Line]) -> list[Line]:
        if not found:
            return []
        self._well()
        lines = iter(found)
        wanted = self._selection.of([line.text for line in found])
        for event in self._selection.ran_out:
            self._reports.ran_out("the journal", event)
        self._selection.ran_out.clear()
        self._counts["lines"] += len(wanted)
        return [next(line for line in lines if line.text is text) for text in wanted]

    # --- the disk ---

    @property
    def _standing(self) -> Standing:
        course, backlog = self._course, self.backlog
        return Standing(backlog.stream, backlog.last, course.cursor, course.inclusive, backlog.parts)

    def _save_if_due(self, now: float) -> None:
        standing = self._standing
        at_once = self.backlog.unsaved or (standing.cursor is not None and self._saved.cursor is None)
        if standing == self._saved or (now < self._save_due and not (at_once and not self._save_failed)):
            return
        self._save_failed = not self._save(standing)
        self._save_due = now + (SAVE_AGAIN if self._save_failed else SAVE)

    def _save(self, standing: Standing) -> bool:
        place = self._place.path.name
        try:
            self._place.save(standing)
        except OSError as error:
            self._reports.journal_unsaved(place, error)
            return False
        self._saved = standing
        self.backlog.saved()
        self._reports.journal_saved(place)
        return True
