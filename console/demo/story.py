"""The story of `noroshi demo --once`: real happenings, and each consequence read back from the running system.

Rules: nothing is assumed. A step reads the database through the shared reader, the lock file, and what the notified
programs wrote; it holds only when all of it shows what was to be shown, within its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from noroshi.console.demo.cluster import DemoCluster
from noroshi.console.demo.files import NODES
from noroshi.console.output import state_json
from noroshi.node.client import raise_event
from noroshi.store import views
from noroshi.store.errors import NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.lock import LockRecord, is_held, read_lock
from noroshi.store.model import FAILURE_EVENT
from noroshi.store.reader import SharedReader

T = TypeVar("T")
Seen = dict[str, object]

POLL = 0.05
SETTLE = 1.0
"""Seconds for which 'once' must stay once."""


@dataclass(frozen=True)
class Step:
    """One observation: whether it held, after how long, and what was seen."""

    step: str
    ok: bool
    seconds: float
    seen: Seen


class NotSeen(Exception):
    """A step did not hold: what was waited for, and what stood there instead."""

    def __init__(self, wanted: str, last: object) -> None:
        self.seen: Seen = {"waited for": wanted, "last seen": last}
        super().__init__(wanted)


class Story:
    """Plays on a started cluster."""

    def __init__(self, cluster: DemoCluster) -> None:
        self._cluster = cluster
        self._layout = Layout(cluster.files.shared)
        self._reader = SharedReader(self._layout)

    def play(self) -> Iterator[Step]:
        """The steps, each as it ends; the first that does not hold ends the story."""
        for name, play in self._steps():
            begun = time.monotonic()
            try:
                seen, ok = play(), True
            except NotSeen as missing:
                seen, ok = missing.seen, False
            yield Step(name, ok, round(time.monotonic() - begun, 3), seen)
            if not ok:
                return

    def _steps(self) -> tuple[tuple[str, Callable[[], Seen]], ...]:
        return (
            ("all nodes are up and one leads", self._all_up),
            ("selected log lines reach the shared log, others do not", self._lines),
            ("an event starts the program of the first priority", self._first_priority),
            ("its node killed: DOWN is seen, the next priority is told", self._next_priority),
            ("the killed node comes back", lambda: self._comes_back("db2")),
            ("the leader killed: another leads, nothing lost or doubled", self._leader_killed),
            ("no destination works: the failure is an event, and told", self._failure),
        )

    # --- the steps ------------------------------------------------------------------------------------------------

    def _all_up(self) -> Seen:
        nodes = self._until("every node UP", self._states_if_all_up, 20)
        leader = self._until("a leader", self._leader, 10)
        return {"nodes": nodes, "leader": leader.node, "term": leader.term}

    def _lines(self) -> Seen:
        node = self._other_than(self._need_leader().node)
        written = ["error: disk 7", "all is well", "failed, but harmless", "error: disk 8", "fan 2 failed"]
        wanted = ["error: disk 7", "error: disk 8", "fan 2 failed"]
        with self._cluster.files.node(node).log.open("a") as log:
            log.writelines(line + "\n" for line in written)
        stored = self._until(f"exactly {wanted} of {node}", lambda: self._log_if(node, wanted), 10)
        return {"node": node, "written": written, "stored": stored}

    def _first_priority(self) -> Seen:
        self._raise("db1", "app/orders", "ERROR", "queue is full")
        told = self._until("db2 told", lambda: self._told("db2", "app/orders", "first"), 10)
        history = self._until("delivered in the history", lambda: self._delivered("orders", 1), 10)
        return {"told": {"db2": told}, "attempts": history}

    def _next_priority(self) -> Seen:
        self._cluster.kill("db2")
        down = self._until("server/db2 DOWN", lambda: self._state("server/db2", "DOWN"), 15)
        # Where db2 led, there is a new leader first.
        self._until("a leader", self._leader, 15)
        self._raise("db1", "app/orders", "ERROR", "queue is full, and db2 is gone")
        told = self._until("db3 told", lambda: self._told("db3", "app/orders", "second"), 10)
        history = self._until("delivered in the history", lambda: self._delivered("orders", 2), 10)
        return {"state": state_json(down), "told": {"db3": told}, "attempts": history}

    def _comes_back(self, node: str) -> Seen:
        self._cluster.start(node)
        up = self._until(f"server/{node} UP", lambda: self._state(f"server/{node}", "UP"), 15)
        return {"state": state_json(up)}

    def _leader_killed(self) -> Seen:
        old = self._need_leader()
        self._cluster.kill(old.node)
        self._raise(self._other_than(old.node), "app/billing/invoice", "ERROR", "raised while nobody led")
        new = self._until("another leader", lambda: self._leader_after(old), 15)
        self._until("the event told", lambda: self._delivered("in-turn", 1), 15)
        settled = time.monotonic() + SETTLE
        seen = self._until("stored once and told once, and it stays so", lambda: self._once_until(settled), 10)
        self._comes_back(old.node)
        return {"killed": old.node, "leader": new.node, "term": new.term, **seen}

    def _failure(self) -> Seen:
        leader = self._need_leader().node
        self._raise(self._other_than(leader), "app/hopeless", "ERROR", "nobody can be told")
        failed = self._until("the notification failed", lambda: self._notification("hopeless", "failed"), 15)
        event = self._until("the failure event", lambda: self._state(FAILURE_EVENT, "ERROR"), 10)
        notice = self._until("the failure's own notice", lambda: self._notice_of(failed.id), 10)
        told = self._until("the own node told", lambda: self._told(notice.attempts[-1].node, FAILURE_EVENT, "default"))
        return {
            "attempts": _attempts(failed),
            "event": state_json(event),
            "notice": {"status": notice.status, "attempts": _attempts(notice)},
            "told": {notice.attempts[-1].node: told},
        }

    # --- what is read back ----------------------------------------------------------------------------------------

    def _states_if_all_up(self) -> dict[str, str] | None:
        nodes = {row.node: row.state for row in self._reader.query(views.node_states)}
        return nodes if nodes == dict.fromkeys(NODES, "UP") else None

    def _leader(self) -> LockRecord | None:
        return read_lock(self._layout) if is_held(self._layout) else None

    def _need_leader(self) -> LockRecord:
        return self._until("a leader", self._leader, 15)

    def _leader_after(self, old: LockRecord) -> LockRecord | None:
        new = self._leader()
        return new if new is not None and new.node != old.node and new.term > old.term else None

    def _state(self, event: str, state: str) -> views.State | None:
        rows = self._reader.query(views.states)
        return next((row for row in rows if (row.event, row.state) == (event, state)), None)

    def _log_if(self, node: str, wanted: list[str]) -> list[str] | None:
        lines = self._reader.query(lambda connection: views.log_before(connection, None, 100))
        found = [line.line for line in lines if line.node == node]
        return found if found == wanted else None

    def _told(self, node: str, event: str, word: str) -> list[str] | None:
        calls = self._cluster.files.node(node).told()
        found = [delivery for delivery, name, _, words in calls if (name, words) == (event, word)]
        return found or None

    def _history(self, definition: str | None) -> tuple[views.Notification, ...]:
        which = views.HistoryFilter(definition=definition)
        return self._reader.query(lambda connection: views.notifications(connection, which, 100))

    def _notification(self, definition: str, status: str) -> views.Notification | None:
        return next((row for row in self._history(definition) if row.status == status), None)

    def _notice_of(self, failed: int) -> views.Notification | None:
        rows = self._history(None)
        return next((row for row in rows if row.failure_of == failed and row.status == "delivered"), None)

    def _delivered(self, definition: str, count: int) -> list[Seen] | None:
        rows = [row for row in self._history(definition) if row.status == "delivered"]
        return _attempts(rows[-1]) if len(rows) == count else None

    def _once_until(self, settled: float) -> Seen | None:
        """The event raised while nobody led: one row, one notification, one program started, until `settled`."""
        which = views.EventFilter(event="app/billing/invoice")
        stored = self._reader.query(lambda connection: views.events(connection, which, 100))
        notified = self._history("in-turn")
        told = {node: found for node in NODES if (found := self._told(node, "app/billing/invoice", "in-turn"))}
        counts = (len(stored), sum(row.count for row in stored), len(notified), sum(map(len, told.values())))
        if counts != (1, 1, 1, 1):
            raise NotSeen("one event, one notification, one program started", counts)
        seen: Seen = {"stored": 1, "notified": 1, "told": told, "attempts": _attempts(notified[0])}
        return seen if time.monotonic() >= settled else None

    # --- helpers --------------------------------------------------------------------------------------------------

    def _other_than(self, node: str) -> str:
        return next(name for name in self._cluster.running if name != node)

    def _raise(self, node: str, event: str, state: str, supplement: str) -> None:
        raise_event(event, state, supplement, socket=str(self._cluster.files.node(node).agent))

    def _until(self, wanted: str, probe: Callable[[], T | None], limit: float = 10.0) -> T:
        """Poll until the probe shows something; a daemon that ended by itself ends the wait."""
        deadline = time.monotonic() + limit
        last: object = None
        while time.monotonic() < deadline:
            try:
                seen = probe()
            except NoroshiError as error:  # no database yet, or a read that met a take-over
                seen, last = None, str(error)
            if seen is not None:
                return seen
            ended = self._cluster.ended()
            if ended is not None:
                raise NotSeen(wanted, f"the daemon of {ended}")
            time.sleep(POLL)
        raise NotSeen(wanted, last)


def _attempts(row: views.Notification) -> list[Seen]:
    return [
        {"priority": one.priority, "node": one.node, "outcome": one.outcome, "reason": one.reason}
        for one in row.attempts
    ]
