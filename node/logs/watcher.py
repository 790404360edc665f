"""Looks at the files of a roster and at the directories of the rules, and does as `position` decides.

Rules: files are polled by stat, those being written more often; directories by their time of change, and the wildcards
every few seconds. The first bytes of a file that was empty are not believed before its directory was looked at: they
may follow a rotation. A rotated file stays followed while it exists, for its writer may be slow to let go of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from noroshi.node.logs.archives import Archives
from noroshi.node.logs.directory import irregular
from noroshi.node.logs.follower import Follower, shown
from noroshi.node.logs.messages import Timing
from noroshi.node.logs.places import Place, View, differs, pause_after, unnamed, view
from noroshi.node.logs.position import Begin, Continue, Decision, End, reconcile
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.roster import Roster
from noroshi.store.clock import now_us

WRITTEN = 5.0
"""Seconds for which a file that grew is looked at often."""

RESTING = 30.0
"""Seconds without growth after which a file is looked at in every second round: most files of most nodes are such."""

LET_GO = 60.0
"""Seconds without a change until the descriptor of a rotated file is given back."""

ROTATED = 10
"""A rotated file without a descriptor is looked at each so many times that others are."""


class Watcher:
    """`poll` does what is `due`. `counts` is shared with the monitor."""

    def __init__(
        self, roster: Roster, timing: Timing, reports: Reports, archives: Archives, counts: Counter[str]
    ) -> None:
        self._roster, self._timing, self._reports, self._archives = roster, timing, reports, archives
        self._counts = counts
        self._places: dict[str, Place] = {}
        self._round = 0
        self._quiet_due = self._rescan_due = self._active_due = 0.0
        self._looked_us = self._looked_before_us = 0  # when the files were looked at in the last two rounds

    # --- looking ---

    def due(self) -> float:
        """When `poll` is wanted next."""
        return min(self._quiet_due, self._active_due if self._roster.active else self._quiet_due)

    def poll(self, now: float) -> None:
        """Look at whatever is due."""
        if now >= self._rescan_due:
            self._rescan(now)
        if now >= self._quiet_due:
            self._poll_all(now)
        elif now >= self._active_due:
            self._poll_files([f for f in self._roster.active if now - f.grown_at <= WRITTEN], now)
            self._rest(now)
        self._active_due = now + self._timing.active
        self._look_at_suspects(now)

    def _rescan(self, now: float) -> None:
        started = time.perf_counter()
        found = self._roster.rules.expand()
        self._places = {path: self._places.get(path) or Place(path) for path in found}
        failed: set[int] = set()
        followers = self._roster.chains.by_directory()
        for path, numbers in found.items():
            self._places[path].rules = numbers
            if not self._look(self._places[path], followers.get(path, []), now, forced=False):
                failed.update(numbers)
        self._looked(failed)
        self._rescan_due = now + max(self._timing.rescan, pause_after(time.perf_counter() - started))

    def _looked(self, failed: set[int]) -> None:
        """The patterns have had their first look; one that names a single file only if its directory could be read."""
        for number, glob in enumerate(self._roster.rules.globs):
            if glob.literal:
                self._reports.irregular(glob.pattern, irregular(glob.pattern))
            if self._roster.rules.first_look(number) and not (glob.literal and number in failed):
                self._roster.rules.looked_at.add(glob.pattern)
                self._roster.unsaved = True

    def _poll_all(self, now: float) -> None:
        self._round += 1
        self._quiet_due = now + self._timing.quiet
        files = list(self._roster.chains)
        past = [follower for follower in files if follower.rotated or follower.ended]  # asked of each only once
        if past and self._round % ROTATED:
            seldom = {follower for follower in past if follower.rotated and follower.descriptor is None}
            files = [follower for follower in files if follower not in seldom]
        turn = self._round % 2
        files = [f for n, f in enumerate(files) if n % 2 == turn or now - f.grown_at <= RESTING]
        looked_us = now_us()
        self._poll_files(files, now)
        self._looked_us, self._looked_before_us = looked_us, self._looked_us
        self._rest(now)
        for follower in past:
            self._let_go(follower, now)
        changed = [place for place in self._places.values() if now >= place.not_before and place.changed()]
        followers = self._roster.chains.by_directory() if changed else {}
        for place in changed:
            self._look(place, followers.get(place.path, []), now, forced=False)

    def _poll_files(self, followers: Iterable[Follower], now: float) -> None:
        look = os.stat  # with a thousand files each call here counts
        for follower in followers:
            try:
                seen = look(follower.handle)
            except OSError:
                self._roster.suspect(follower)
                continue
            if (
                seen.st_size != follower.size
                or seen.st_mtime_ns != follower.modified
                or seen.st_ino != follower.identity.inode
            ):
                self._changed(follower, seen, now)

    def _changed(self, follower: Follower, seen: os.stat_result, now: float) -> None:
        rests = now - follower.grown_at > RESTING
        follower.was_as_known(self._looked_before_us if rests else self._looked_us)
        if follower.empty and not follower.rotated:  # perhaps written, copied and truncated, and written again
            self._roster.suspect(follower)
            return
        try:
            same = follower.saw(seen, now)
        except OSError as error:
            self._roster.unreadable(follower, error, now)
            return
        if not same:
            self._roster.suspect(follower)
            return
        self._roster.active[follower] = None
        if follower.taken_back:
            self._reports.gap(shown(follower.source), follower.taken_back, truncated=True)
            follower.taken_back = 0

    def _rest(self, now: float) -> None:
        """Files that are no longer written are looked at less often."""
        for follower in list(self._roster.active):
            unfinished = follower.record_open or (follower.partial and follower.rotated)
            busy = follower.has_more or follower.out.pending or unfinished
            if not busy and now - follower.grown_at > WRITTEN:
                del self._roster.active[follower]

    def _let_go(self, follower: Follower, now: float) -> None:
        """Close, or forget, what is read to its end."""
        if follower.out.pending or not (follower.ended or follower.drained):
            return
        if follower.ended or _removed(follower):
            self._roster.forget(follower)
        elif now - follower.grown_at > LET_GO and follower.descriptor is not None:
            follower.close()
            if not follower.linked:
                self._roster.forget(follower)

    def _look_at_suspects(self, now: float) -> None:
        suspects, self._roster.suspects = self._roster.suspects, set()
        followers = self._roster.chains.by_directory() if suspects else {}
        for path in suspects:
            place = self._places.get(path) or Place(path, resumed=False)
            self._look(place, followers.get(path, []), now, forced=True)

    # --- deciding ---

    def _look(self, place: Place, followers: Sequence[Follower], now: float, *, forced: bool) -> bool:
        """See what the directory means for the followers in it; False where it cannot be read."""
        started = time.perf_counter()
        try:
            if forced or differs(self._roster.rules, place, followers):
                self._decide(place, followers, now)
        except OSError as error:
            self._reports.unreadable(shown(place.path), error)
            return False
        self._reports.readable(shown(place.path))
        place.not_before = now + pause_after(time.perf_counter() - started)
        self._counts["looks"] += 1
        return True

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
        decisions += self._compressed(followers, decisions)
        if not place.resumed:
            for follower in followers:
                follower.was_as_known(self._looked_us)
        settled = self._apply(decisions, seen, now) and seen.steady
        decided = _known(decisions)
        for follower in followers:
            follower.absent = follower.stream not in decided and follower.descriptor is None
        place.resumed = False
        place.signature, place.names = (seen.signature, seen.listing.names) if settled else (None, None)

    def _compressed(self, followers: Sequence[Follower], decisions: Sequence[Decision]) -> list[Decision]:
        """What may be on a disk that is not mounted, but is here in a compressed file."""
        decided = _known(decisions)
        missing = [one for one in followers if one.stream not in decided and one.descriptor is None]
        return [End(one.known, None, truncated=False) for one in missing if self._archives.has(one)]

    def _reconcile(self, place: Place, followers: Sequence[Follower]) -> tuple[View | None, list[Decision]]:
        seen = view(self._roster.rules, place, followers)
        if seen is None:
            return None, []
        known = [follower.known for follower in followers]
        return seen, reconcile(
            known, seen.facts, seen.listing.device, self._roster.rules.single(place), resumed=place.resumed
        )

    def _apply(self, decisions: Iterable[Decision], seen: View, now: float) -> bool:
        """Do as decided; False where a file changed hands meanwhile and has to be looked at again."""
        followers = {follower.stream: follower for follower in self._roster.chains}
        settled = True
        for decision in decisions:
            match decision:
                case Continue(known, fact):
                    follower = followers[known.stream]
                    if fact.size != follower.size:
                        follower.grown_at = now
                    successor = self._archives.instead(follower, fact, now)
                    if successor is not None:
                        follower = successor
                    else:
                        follower.place(fact)
                    follower.linked = fact.identity in seen.linked
                case End(known, lost, truncated):
                    follower = followers[known.stream]
                    if (lost == 0 and not truncated) or not self._archives.finish(follower, now):
                        self._roster.end(follower, lost, truncated)
                case Begin():
                    self._archives.before(decision, now)
                    follower = self._roster.begin(decision, now)
            settled = self._roster.ready(follower, now) and settled
        return settled


def _gone(decisions: Iterable[Decision]) -> set[bytes]:
    """The streams whose files were not found."""
    return {d.known.stream for d in decisions if isinstance(d, End) and not d.truncated}


def _known(decisions: Iterable[Decision]) -> set[bytes]:
    """The streams that something was decided of."""
    return {decision.known.stream for decision in decisions if not isinstance(decision, Begin)}


def _without_directory(followers: Iterable[Follower]) -> None:
    for follower in followers:
        follower.linked = follower.descriptor is None


def _removed(follower: Follower) -> bool:
    try:
        return unnamed(follower)
    except OSError:  # looked at, and told, with its directory
        return False
