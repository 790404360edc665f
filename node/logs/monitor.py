"""The log monitor's loop (20b; spec 3.1): look, read, select, send, and move the positions on acknowledgement.

Rules: one thread, so that a pattern can be interrupted. A stream's id is on the disk before its first part is sent; a
position moves only once the coordinator (or the daemon's spool, for what is deferred) has the lines. Without a leader
nothing is read: the files are the spool. A part refused twice as bad is set aside on the disk, and the rest goes on.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

import zmq

from noroshi.node.logs.archives import Archives
from noroshi.node.logs.journal.backlog import Backlog
from noroshi.node.logs.journal.journals import Journals
from noroshi.node.logs.link import Link
from noroshi.node.logs.messages import Alive, Deferred, JournalRule, Leader, Rule, Settings, Taken, ToMonitor
from noroshi.node.logs.outgoing import PART, Outgoing
from noroshi.node.logs.reader import Reader
from noroshi.node.logs.reports import Reports
from noroshi.node.logs.roster import Roster
from noroshi.node.logs.saved import State, Store
from noroshi.node.logs.selection import Limits, Selection, Timer
from noroshi.node.logs.sender import Outcome, Sender, Sign
from noroshi.node.logs.watcher import Watcher
from noroshi.node.wire.messages import Acknowledged, LogPart, Refused
from noroshi.store.clock import now_us

log = logging.getLogger(__name__)

BUSY_PAUSE = 0.5
"""Seconds until a coordinator that is busy, or whose disk is full, is asked again."""

REFUSED_PAUSE = 1.0
REFUSED_LONG = 10.0
"""A node that is refused is told about after so many seconds: at a start the others may not know it yet."""

BAD_TWICE = 2


class Monitor:
    """Wires the parts together for one life of the process."""

    def __init__(self, settings: Settings, link: Link, store: Store) -> None:
        self._settings, self._timing, self._link, self._store = settings, settings.timing, link, store
        self._counts: Counter[str] = Counter()
        self._timer = Timer()
        state = store.load()
        unsure = settings.unsure or not state.clean
        self._reports = Reports(link.send, time.monotonic, self._counts, unsure=unsure)
        if state.damaged:
            self._reports.damaged(state.damaged)
        self._roster = Roster(settings.rules, self._select, self._timing.partial, self._counts, self._reports)
        self._roster.restore(state, time.monotonic())
        self._archives = Archives(self._roster, store.directory, self._reports, store.saved_at or time.time_ns())
        self._watcher = Watcher(self._roster, self._timing, self._reports, self._archives, self._counts)
        deferred = any(rule.deferred for rule in settings.rules)
        self._reader = Reader(self._roster, deferred, self._counts, self._reports)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._poller = zmq.Poller()
        sign = Sign(settings.cluster, settings.node, settings.incarnation)
        self._sender = Sender(self._context, self._poller, sign, self._timing.reply, settings.keys)
        self._journals = Journals(
            settings.journals, store.directory / "journal", self._select, self._poller, self._counts, self._reports
        )
        self._sent: dict[bytes, Outgoing | Backlog] = {}
        self._hold_until = self._save_due = self._beat_due = 0.0
        self._save_failed = False
        self._refused_since: float | None = None

    def run(self) -> None:
        """Until the daemon is gone."""
        try:
            self._watcher.poll(time.monotonic())
            self._reports.settle()
            while not self._link.closed:
                self._wait(self._turn())
            self._save(clean=self._reports.clean)
        finally:
            self._journals.close()
            self._sender.close()
            self._context.destroy(0)
            self._timer.close()

    # --- one turn ---

    def _turn(self) -> bool:
        """Do what there is to do; whether there is more to read at once."""
        now = time.monotonic()
        self._link.receive()
        while self._link.arrived:
            self._hear(self._link.arrived.popleft(), now)
        for outcome in self._sender.receive(now):
            self._settle(outcome, now)
        self._send(now)
        if now >= self._watcher.due():
            self._watcher.poll(now)
        read = self._reader.read(now, now_us(), leader=self._sender.leader)
        read = self._archives.turn(now, leader=self._sender.leader) or read
        read = self._journals.turn(now, now_us(), leader=self._sender.leader) or read
        self._save_if_due(now)
        self._send(now)
        self._beat()
        return read

    def _wait(self, more: bool) -> None:
        """Until something arrives or is due."""
        self._link.flush()
        self._poller.register(self._link.fileno(), zmq.POLLIN | (zmq.POLLOUT if self._link.stuck else 0))
        due = min(self._watcher.due(), self._sender.due(), self._beat_due)
        due = min(due, self._journals.watch(time.monotonic(), leader=self._sender.leader))
        if self._roster.moved:
            due = min(due, self._save_due)
        wait = 0.0 if more else max(0.0, due - time.monotonic())
        self._poller.poll(math.ceil(wait * 1000))

    def _beat(self) -> None:
        """A sign of life, and the troubles that time settles. Also called while a pattern takes long."""
        now = time.monotonic()
        if now >= self._beat_due:
            self._beat_due = now + self._timing.beat
            self._reports.tick()
            if not self._link.stuck:
                self._link.send(Alive(len(self._roster), dict(self._counts)))

    def _hear(self, message: ToMonitor, now: float) -> None:
        match message:
            case Leader(endpoint):
                self._hold_until = 0.0
                for outcome in self._sender.lead(endpoint):
                    self._settle(outcome, now)
            case Taken(stream, position):
                self._take(stream, position, now)
            case Settings():
                log.warning("settings came twice; the first stay")

    # --- sending ---

    def _send(self, now: float) -> None:
        while now >= self._hold_until and self._sender.free:
            parts = self._gather(now)
            if not parts:
                break
            self._sender.send(parts, now)
        for out in list(self._sendable(now, deferred=True)):
            self._link.send(Deferred(self._part_of(out)))

    def _gather(self, now: float) -> list[LogPart]:
        """A batch: parts of as many streams as fit, but one that was refused goes alone."""
        parts: list[LogPart] = []
        weight = 0
        for out in self._sendable(now, deferred=False):
            first = out.pending[0]
            if parts and (first.refusals or weight + first.weight > PART):
                continue
            parts.extend(self._parts_of(out, PART - weight))
            weight += first.weight
            if first.refusals:
                break
        return parts

    def _sendable(self, now: float, *, deferred: bool) -> Iterator[Outgoing | Backlog]:
        yield from self._reader.sendable(now, deferred=deferred)
        yield from self._journals.sendable(now, deferred=deferred)

    def _parts_of(self, out: Outgoing | Backlog, room: int) -> list[LogPart]:
        """Of a journal several, for each has the lines of one unit."""
        if isinstance(out, Outgoing):
            return [self._part_of(out)]
        self._sent[out.stream] = out
        return out.batch(room)

    def _part_of(self, out: Outgoing | Backlog) -> LogPart:
        self._sent[out.stream] = out
        return out.sending()

    # --- what came of it ---

    def _settle(self, outcome: Outcome, now: float) -> None:
        match outcome.reply:
            case Acknowledged(_, positions):
                self._refused_since = None
                self._reports.accepted()
                for part in outcome.parts:
                    position = positions.get(part.stream)
                    if position is not None and position >= part.end:
                        self._reports.taken(part.source)
                    self._take(part.stream, position, now)
            case Refused() as refused:
                self._refused(outcome.parts, refused, now)
            case _:
                self._counts["batches unanswered"] += 1
                self._not_taken(outcome.parts)

    def _take(self, stream: bytes, position: int | None, now: float) -> None:
        out = self._sent.pop(stream, None)
        if out is None:
            return
        if position is None:
            out.not_taken()
            out.not_before = now + REFUSED_PAUSE
            return
        out.taken(position, now)
        self._roster.moved = True

    def _not_taken(self, parts: tuple[LogPart, ...]) -> None:
        for part in parts:
            out = self._sent.pop(part.stream, None)
            if out is not None:
                out.not_taken()

    def _refused(self, parts: tuple[LogPart, ...], refused: Refused, now: float) -> None:
        if refused.code in ("bad-message", "definitions"):
            self._bad(parts, refused)
            return
        self._not_taken(parts)
        if refused.code == "not-leader":  # the daemon will say who is; should it not, this was too early to ask
            self._hold_until = now + self._timing.reply
        elif refused.code in ("busy", "disk"):
            self._hold_until = now + BUSY_PAUSE
        else:
            self._unwelcome(refused, now)

    def _unwelcome(self, refused: Refused, now: float) -> None:
        self._hold_until = now + REFUSED_PAUSE
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since >= REFUSED_LONG:
            self._reports.refused(refused.code, refused.message, refused.hint)

    def _bad(self, parts: tuple[LogPart, ...], refused: Refused) -> None:
        """One of the parts is bad: send each alone, and set aside what is refused again."""
        for part in parts:
            out = self._sent.pop(part.stream, None)
            if out is None:
                continue
            out.not_taken()
            out.pending[0].refusals += 1
            if out.pending[0].refusals >= BAD_TWICE:
                self._set_aside(out, refused.message)

    def _set_aside(self, out: Outgoing | Backlog, message: str) -> None:
        part = out.pending[0].part
        try:
            place = self._store.set_aside(part, message)
        except OSError as error:
            self._reports.not_set_aside(part.source, error)
            out.not_before = time.monotonic() + REFUSED_PAUSE
            return
        out.skip()
        self._roster.moved = True
        self._reports.set_aside(part.source, len(part.lines), str(place), message)

    # --- the rest ---

    def _save_if_due(self, now: float) -> None:
        """New streams at once, so that they may be sent; moved positions a few times a second."""
        at_once = self._roster.unsaved and not self._save_failed
        if at_once or (now >= self._save_due and (self._roster.unsaved or self._roster.moved)):
            self._save_failed = not self._save(clean=False)
            self._save_due = now + self._timing.save

    def _save(self, *, clean: bool) -> bool:
        try:
            self._store.save(State(self._roster.patterns, tuple(self._roster.positions()), clean))
        except OSError as error:
            self._reports.unsaved(error)
            return False
        self._roster.saved()
        self._reports.saved()
        return True

    def _select(self, rule: Rule | JournalRule) -> Selection:
        timing = self._timing
        limits = Limits(timing.block, timing.line, timing.strikes, timing.lines)
        start = rule.record.start if isinstance(rule, Rule) and rule.record is not None else None
        return Selection(rule.select, rule.except_, limits, self._timer, self._beat, start)


def wait_for(open_store: Callable[[], bool], seconds: float) -> bool:
    """Until the store is free: an earlier monitor may be about to end. Raises NoroshiError."""
    until = time.monotonic() + seconds
    while not open_store():
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True
