"""The files that are followed: how they come, where they are, how they go.

Rules: everything about one incarnation is in its follower; the roster has them all, knows which have something to do,
and what of them has to be saved.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from posixpath import dirname

from noroshi.node.logs.chains import Chains
from noroshi.node.logs.directory import last_line_start
from noroshi.node.logs.encodings import Encoding, encoding
from noroshi.node.logs.follower import Follower, shown
from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.messages import Rule
from noroshi.node.logs.opening import StrangersLink
from noroshi.node.logs.places import Rules
from noroshi.node.logs.position import Begin, Position, digest
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.saved import State
from noroshi.node.logs.selection import Selection
from noroshi.store.clock import now_us

STALLED = 1.0
"""Seconds until a file is read again that gave an error."""

PAST_MOST = 10_000
"""Sources without a file of which it is remembered what was read last."""

Select = Callable[[Rule], Selection]


class Roster:
    """`select` makes the selection of one file; `partial` is when a rotated file's last line counts as complete."""

    def __init__(
        self, rules: Sequence[Rule], select: Select, partial: float, counts: Counter[str], reports: Reports
    ) -> None:
        self._all_rules, self._select, self._counts, self._reports = rules, select, counts, reports
        self._limiters: dict[str, Limiter] = {}
        self._past: OrderedDict[str, Position] = OrderedDict()
        self._born = 0
        self.rules = Rules([rule.path for rule in rules], ())
        self.chains = Chains(partial)
        self.active: dict[Follower, None] = {}
        """Those being written, and those with something to read or to send."""
        self.suspects: set[str] = set()
        """Directories in which a file is not what it was."""
        self.unsaved = False
        """Whether something has to be saved before it may be sent."""
        self.moved = False
        """Whether positions have moved since they were saved."""

    def __len__(self) -> int:
        return len(self.chains)

    # --- what is saved ---

    def restore(self, state: State, now: float) -> None:
        """Begin where an earlier life ended. What no rule names any more is forgotten."""
        self.rules = Rules([rule.path for rule in self._all_rules], state.patterns)
        for position in sorted(state.positions, key=lambda position: position.born):
            if self.rules.has(position.source):
                self._follow(position, now).out.durable = True

    def positions(self) -> list[Position]:
        """What is gone is there as long as something of it waits: a copy may be found of it after a kill."""
        return [follower.position for follower in self.chains if not follower.ended or follower.out.pending]

    @property
    def patterns(self) -> frozenset[str]:
        """The patterns that were looked at."""
        return frozenset(self.rules.looked_at)

    def saved(self) -> None:
        """What `positions` and `patterns` gave is on the disk."""
        self.unsaved = self.moved = False
        for follower in self.chains:
            follower.out.durable = True

    # --- coming and going ---

    def begin(self, begin: Begin, now: float) -> Follower:
        """Follow a new incarnation; it has to be saved before any of it is sent."""
        fact, head = begin.fact, begin.fact.head or b""
        rule = self._all_rules[self.rules.of_path(begin.source)]
        offset = _end_of(begin, encoding(rule.encoding).of(head)) if begin.at_end else 0
        position = Position(
            stream=secrets.token_bytes(16),
            source=begin.source,
            path=fact.path,
            device=fact.device,
            inode=fact.inode,
            head_length=len(head),
            head=digest(head),
            offset=offset,
            stored=offset,
            size=fact.size,
            modified=fact.modified,
            born=self._born + 1,
        )
        self.unsaved = True
        return self._follow(position, now)

    def end(self, follower: Follower, lost: int | None, truncated: bool) -> None:
        """Its content is gone; `lost` as in `position.End`, of which what was read of the last record is not lost."""
        rescued = follower.rescue(now_us())
        if rescued and follower.out.pending:
            self.active[follower] = None
        follower.end()
        self.moved = True
        lost = lost and max(0, lost - rescued)
        if lost != 0 and not follower.refused:
            self._reports.gap(shown(follower.source), lost, truncated)

    def forget(self, follower: Follower) -> None:
        follower.close()
        self.active.pop(follower, None)
        self.chains.remove(follower)
        if all(other.path != follower.path for other in self.chains.of(follower.source)):
            self._reports.readable(shown(follower.path))
        if not self.chains.has(follower.source):
            self._limiters.pop(follower.source, None)
            self._past[follower.source] = follower.known
            while len(self._past) > PAST_MOST:
                self._past.popitem(last=False)
        self.moved = True

    def past(self, source: str) -> Position | None:
        """What was read last of a source that nothing is followed of."""
        return self._past.get(source)

    def _follow(self, position: Position, now: float) -> Follower:
        rule = self._all_rules[self.rules.of_path(position.source)]
        follower = Follower(position, rule, self._select(rule), self._counts, self._limiter(rule, position))
        follower.grown_at = now
        self._born = max(self._born, position.born)
        self.chains.add(follower)
        return follower

    def _limiter(self, rule: Rule, position: Position) -> Limiter | None:
        """The source's, which its incarnations share."""
        if rule.limit is None:
            return None
        since = position.caught_up_at or position.modified // 1000
        return self._limiters.setdefault(position.source, Limiter(rule.limit, since))

    # --- states of one ---

    def ready(self, follower: Follower, now: float) -> bool:
        """Open what is to be read; False where its name is another file's by now."""
        if follower.ended or (follower.rotated and not follower.has_more and not follower.partial):
            return True
        if follower.has_more or follower.partial:
            self.active[follower] = None
        return self.open(follower, now)

    def open(self, follower: Follower, now: float) -> bool:
        """Whether its name is still its own; that it could not be opened is reported."""
        try:
            same = follower.open()
        except FileNotFoundError:
            return False
        except OSError as error:
            follower.refused = isinstance(error, StrangersLink)
            self.unreadable(follower, error, now)
            return True
        follower.refused = False
        self._reports.readable(shown(follower.path))
        return same

    def unreadable(self, follower: Follower, error: OSError, now: float) -> None:
        """Reading it failed; it is tried again."""
        self._reports.unreadable(shown(follower.path), error)
        follower.close()
        follower.out.not_before = now + STALLED

    def suspect(self, follower: Follower) -> None:
        """It is not what it was: its directory has to be looked at."""
        if not follower.ended and not follower.absent:
            self.suspects.add(dirname(follower.path))


def _end_of(begin: Begin, written_in: Encoding) -> int:
    """Where the end is: a rotated file is done with, while the current one's unfinished line is still to come."""
    fact = begin.fact
    end = fact.size - fact.size % len(written_in.newline)
    if fact.head is None or fact.path != begin.source:
        return end
    try:
        return last_line_start(fact.path, fact.size, written_in.newline)
    except OSError:
        return end
