"""Which files are followed, and which of them have something new.

Rules: files are polled by stat, those being written more often; directories by their time of change, and the wildcards
every few seconds. What a change means is decided in `position`. A rotated file stays followed for as long as it exists,
for its writer may be slow to let go of it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from posixpath import dirname

from noroshi.node.logs.chains import Chains
from noroshi.node.logs.directory import irregular, last_line_start, list_directory, stat_of
from noroshi.node.logs.follower import Follower, Replaced, shown
from noroshi.node.logs.messages import Rule, Timing
from noroshi.node.logs.places import SHARE, Place, Rules, View, signature, view
from noroshi.node.logs.position import Begin, Continue, Decision, End, Position, digest, reconcile
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.saved import State
from noroshi.node.logs.selection import Selection

BUDGET = 8 * 1024 * 1024
"""Bytes of lines that may wait to be sent, over all files."""

WRITTEN = 5.0
"""Seconds for which a file that grew is looked at often."""

LET_GO = 60.0
"""Seconds without a change until the descriptor of a rotated file is given back."""

ROTATED = 10
"""A rotated file without a descriptor is looked at each so many times that others are."""

STALLED = 1.0
"""Seconds until a file is read again that gave an error."""

Select = Callable[[Rule], Selection]


class Watcher:
    """Follows what the rules name. `select` makes the selection of one file; `counts` is shared with the monitor."""

    def __init__(self, rules: Sequence[Rule], timing: Timing, select: Select, counts: Counter[str], reports: Reports):
        self._rules, self._timing, self._select = rules, timing, select
        self._counts, self._reports = counts, reports
        self._files = Rules([rule.path for rule in rules], ())
        self._places: dict[str, Place] = {}
        self._chains = Chains(timing.partial)
        self._active: dict[Follower, None] = {}
        self._suspect: set[str] = set()
        self._born = 0
        self._round = 0
        self._quiet_due = self._rescan_due = self._active_due = 0.0
        self.unsaved = False
        """Whether something has to be saved before it may be sent."""
        self.moved = False
        """Whether positions have moved since they were saved."""

    # --- what is saved ---

    def restore(self, state: State, now: float) -> None:
        """Begin where an earlier life ended. What no rule names any more is forgotten."""
        self._files = Rules([rule.path for rule in self._rules], state.patterns)
        for position in sorted(state.positions, key=lambda position: position.born):
            if self._files.has(position.source):
                self._follow(position, now).durable = True

    def positions(self) -> list[Position]:
        return [follower.position for follower in self._chains if not follower.ended]

    @property
    def patterns(self) -> frozenset[str]:
        """The patterns that were looked at."""
        return frozenset(self._files.looked_at)

    def saved(self) -> None:
        """What `positions` and `patterns` gave is on the disk."""
        self.unsaved = self.moved = False
        for follower in self._chains:
            follower.durable = True

    # --- looking ---

    def due(self) -> float:
        """When `poll` is wanted next."""
        return min(self._quiet_due, self._active_due if self._active else self._quiet_due)

    def poll(self, now: float) -> None:
        """Look at whatever is due."""
        if now >= self._rescan_due:
            self._rescan(now)
        if now >= self._quiet_due:
            self._poll_all(now)
        elif now >= self._active_due:
            self._poll_files(list(self._active), now)
            self._rest(now)
        self._active_due = now + self._timing.active
        self._look_at_suspects(now)

    def _rescan(self, now: float) -> None:
        started = time.perf_counter()
        found = self._files.expand()
        self._places = {path: self._places.get(path) or Place(path) for path in found}
        failed: set[int] = set()
        for path, numbers in found.items():
            self._places[path].rules = numbers
            if not self._look(self._places[path], now, forced=False):
                failed.update(numbers)
        self._looked(failed)
        self._rescan_due = now + max(self._timing.rescan, SHARE * (time.perf_counter() - started))

    def _looked(self, failed: set[int]) -> None:
        """The patterns have had their first look; one that names a single file only if its directory could be read."""
        for number, glob in enumerate(self._files.globs):
            if glob.literal and irregular(glob.pattern):
                self._reports.irregular(glob.pattern)
            if self._files.first_look(number) and not (glob.literal and number in failed):
                self._files.looked_at.add(glob.pattern)
                self.unsaved = True

    def _poll_all(self, now: float) -> None:
        self._round += 1
        self._quiet_due = now + self._timing.quiet
        slow = self._round % ROTATED == 0
        self._poll_files([f for f in self._chains if slow or f.descriptor is not None or not f.rotated], now)
        self._rest(now)
        for follower in [follower for follower in self._chains if follower.rotated or follower.ended]:
            self._let_go(follower, now)
        for place in self._places.values():
            if now >= place.not_before and place.changed():
                self._look(place, now, forced=False)

    def _poll_files(self, followers: Iterable[Follower], now: float) -> None:
        for follower in followers:
            try:
                seen = stat_of(follower.handle)
            except OSError:
                self._suspects(follower)
                continue
            if (
                seen.st_size != follower.size
                or seen.st_mtime_ns != follower.modified
                or seen.st_ino != follower.identity.inode
            ):
                self._changed(follower, seen, now)

    def _changed(self, follower: Follower, seen: os.stat_result, now: float) -> None:
        try:
            same = follower.saw(seen, now)
        except OSError as error:
            self._unreadable(follower, error, now)
            return
        if same:
            self._active[follower] = None
        else:
            self._suspects(follower)

    def _suspects(self, follower: Follower) -> None:
        if not follower.ended and not follower.absent:
            self._suspect.add(dirname(follower.path))

    def _rest(self, now: float) -> None:
        """Files that are no longer written are looked at less often."""
        for follower in list(self._active):
            busy = follower.has_more or follower.pending or (follower.partial and follower.rotated)
            if not busy and now - follower.grown_at > WRITTEN:
                del self._active[follower]

    def _let_go(self, follower: Follower, now: float) -> None:
        """Close, or forget, what is read to its end."""
        if follower.pending or not (follower.ended or follower.drained):
            return
        if follower.ended or _removed(follower):
            self._forget(follower)
        elif now - follower.grown_at > LET_GO and follower.descriptor is not None:
            follower.close()
            if not follower.linked:
                self._forget(follower)

    def _look_at_suspects(self, now: float) -> None:
        suspects, self._suspect = self._suspect, set()
        for path in suspects:
            place = self._places.get(path)
            if place is None:
                place = Place(path, resumed=False)
            self._look(place, now, forced=True)

    # --- deciding ---

    def _look(self, place: Place, now: float, *, forced: bool) -> bool:
        """See what the directory means; False where it cannot be read."""
        started = time.perf_counter()
        followers = self._chains.in_directory(place.path)
        try:
            if forced or self._differs(place, followers):
                self._decide(place, followers, now)
        except OSError as error:
            self._reports.unreadable(shown(place.path), error)
            return False
        self._reports.readable(shown(place.path))
        place.not_before = now + SHARE * (time.perf_counter() - started)
        return True

    def _differs(self, place: Place, followers: Sequence[Follower]) -> bool:
        if place.signature is None:
            return True
        listing = list_directory(place.path)
        return listing is None or signature(self._files, place, followers, listing) != place.signature

    def _decide(self, place: Place, followers: Sequence[Follower], now: float) -> None:
        seen, decisions = self._reconcile(place, followers)
        gone = _gone(decisions)
        if gone:  # a name that moves while the directory is listed may be missed: look twice
            seen, again = self._reconcile(place, followers)
            decisions = [decision for decision in again if not _gone([decision]) - gone]
        place.signature = None
        if seen is None:
            _without_directory(followers)
            return
        settled = self._apply(decisions, seen, now) and seen.steady
        decided = {decision.known.stream for decision in decisions if not isinstance(decision, Begin)}
        for follower in followers:
            follower.absent = follower.stream not in decided and follower.descriptor is None
        place.resumed = False
        place.signature = seen.signature if settled else None

    def _reconcile(self, place: Place, followers: Sequence[Follower]) -> tuple[View | None, list[Decision]]:
        seen = view(self._files, place, followers)
        if seen is None:
            return None, []
        known = [follower.known for follower in followers]
        return seen, reconcile(known, seen.facts, seen.listing.device, self._files.single(place), resumed=place.resumed)

    def _apply(self, decisions: Iterable[Decision], seen: View, now: float) -> bool:
        """Do as decided; False where a file changed hands meanwhile and has to be looked at again."""
        followers = {follower.stream: follower for follower in self._chains}
        settled = True
        for decision in decisions:
            match decision:
                case Continue(known, fact):
                    follower = followers[known.stream]
                    follower.place(fact)
                    follower.linked = fact.identity in seen.linked
                case End(known, lost, truncated):
                    follower = followers[known.stream]
                    self._end(follower, lost, truncated)
                case Begin():
                    follower = self._begin(decision, now)
            settled = self._ready(follower, now) and settled
        return settled

    def _end(self, follower: Follower, lost: int | None, truncated: bool) -> None:
        follower.end()
        self.moved = True
        if lost != 0:
            self._reports.gap(shown(follower.source), lost, truncated)

    def _begin(self, begin: Begin, now: float) -> Follower:
        fact, head = begin.fact, begin.fact.head or b""
        offset = _end_of(begin) if begin.at_end else 0
        self._born += 1
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
            born=self._born,
        )
        self.unsaved = True
        return self._follow(position, now)

    def _follow(self, position: Position, now: float) -> Follower:
        rule = self._rules[self._files.of_path(position.source)]
        follower = Follower(position, self._select(rule), rule.deferred, self._counts)
        follower.grown_at = now
        self._born = max(self._born, position.born)
        self._chains.add(follower)
        return follower

    def _ready(self, follower: Follower, now: float) -> bool:
        """Open what is to be read; False where its name is another file's by now."""
        if follower.ended or (follower.rotated and not follower.has_more and not follower.partial):
            return True
        if follower.has_more or follower.partial:
            self._active[follower] = None
        return self._open(follower, now)

    def _open(self, follower: Follower, now: float) -> bool:
        try:
            same = follower.open()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._unreadable(follower, error, now)
            return True
        self._reports.readable(shown(follower.path))
        return same

    def _unreadable(self, follower: Follower, error: OSError, now: float) -> None:
        self._reports.unreadable(shown(follower.path), error)
        follower.close()
        follower.not_before = now + STALLED

    def _forget(self, follower: Follower) -> None:
        follower.close()
        self._active.pop(follower, None)
        self._chains.remove(follower)
        self.moved = True

    # --- reading ---

    def __len__(self) -> int:
        return len(self._chains)

    def read(self, now: float, now_us: int, *, leader: bool) -> bool:
        """Read one block of each source that has something; False where nothing was read.

        Without a leader only what is deferred is read: the file is the spool.
        """
        room = BUDGET - sum(prepared.weight for follower in self._active for prepared in follower.pending)
        read = False
        for follower in list(self._chains.readers(self._active, now)):
            if room > 0 and follower.room and now >= follower.not_before and (leader or follower.deferred):
                before = self._counts["bytes"]
                read = self._read(follower, now, now_us) or read
                room -= self._counts["bytes"] - before
        return read

    def _read(self, follower: Follower, now: float, now_us: int) -> bool:
        if follower.descriptor is None and not (self._open(follower, now) and follower.descriptor is not None):
            self._suspects(follower)
            return False
        try:
            follower.read(now_us, whole=self._chains.completes(follower, now))
        except Replaced:
            self._suspects(follower)
            return False
        except OSError as error:
            self._unreadable(follower, error, now)
            return False
        self.moved = True
        for event in follower.selection.ran_out:
            self._reports.ran_out(shown(follower.source), event)
        follower.selection.ran_out.clear()
        return True

    def sendable(self, now: float, *, deferred: bool) -> Iterator[Follower]:
        """Those with a part that may be sent now."""
        return (follower for follower in self._active if follower.deferred == deferred and follower.may_send(now))


def _gone(decisions: Iterable[Decision]) -> set[bytes]:
    """The streams whose files were not found."""
    return {d.known.stream for d in decisions if isinstance(d, End) and not d.truncated}


def _without_directory(followers: Iterable[Follower]) -> None:
    for follower in followers:
        follower.linked = follower.descriptor is None


def _removed(follower: Follower) -> bool:
    return follower.descriptor is not None and os.fstat(follower.descriptor).st_nlink == 0


def _end_of(begin: Begin) -> int:
    """Where the end is: a rotated file is done with, while the current one's unfinished line is still to come."""
    fact = begin.fact
    if fact.head is None or fact.path != begin.source:
        return fact.size
    try:
        return last_line_start(fact.path, fact.size)
    except OSError:
        return fact.size
