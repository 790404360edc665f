"""The coordinator's decisions on a real database, without its sockets: time by hand, deliveries caught, take-overs.

Role: for what goes beyond the engine alone. A turn is what the coordinator's loop makes of what arrived: worked on in
one transaction, its deliveries released after the commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from noroshi.node.coordinator.desk import Desk, Item, Noticed, Term
from noroshi.node.coordinator.intake import Asked
from noroshi.node.coordinator.mender import Mender
from noroshi.node.coordinator.search import BoundedSearch
from noroshi.node.coordinator.turn import Turn
from noroshi.node.coordinator.watchdog import Watchdog
from noroshi.node.wire.messages import (
    PROTOCOL,
    Answer,
    Carry,
    Deliver,
    EventBatch,
    ImportDefinitions,
    Reply,
    Report,
    Request,
    RequestBody,
)
from noroshi.store.config import Cluster, Heartbeat, NodeAddress
from noroshi.store.connection import Connection
from noroshi.store.layout import Layout
from noroshi.store.values import Spoilt
from noroshi.store.writer import Identity, lead

T = TypeVar("T")

BEGIN = 1_700_000_000_000_000
"""Microseconds UTC at which every test begins."""


class Crash(Exception):
    """The end of a transaction that is lost."""


class Coordinating:
    """One coordinator after the other on `shared`; nodes db1, db2, ...; periods of 1 s. Close it.

    `item_most`: bytes of the largest deferred delivery that rides in a packet.
    """

    def __init__(self, shared: Path, nodes: int = 4, item_most: int = 0) -> None:
        shared.mkdir(parents=True, exist_ok=True)
        self.layout = Layout(shared)
        addresses = tuple(NodeAddress(f"db{n}", "127.0.0.1", 7400 + 10 * n) for n in range(1, nodes + 1))
        self.cluster = Cluster(name="test", heartbeat=Heartbeat(1.0, 2, 4, 4096, "flush"), nodes=addresses)
        self.seconds = 0.0
        self.crashing = False
        """Every turn is lost once before its commit; then it is worked on again from the database."""
        self.deliveries: list[tuple[str, Deliver]] = []
        self.carried: list[Carry] = []
        """Those that wait for a packet, and are told to have left by `Left`."""
        self._item_most = item_most
        self._streams: dict[str, tuple[bytes, int]] = {}
        self._noticed: list[Noticed] = []
        self._watchdog = Watchdog()
        self._lead("db1")

    def _lead(self, node: str) -> None:
        identity = Identity(node, self.cluster.node(node).coordinator, b"12345678", os.getpid())
        self._writer = lead(self.layout, identity)
        self._mender = Mender(self._writer, self._watchdog)
        self._term = Term(node, self._writer.term, identity.endpoint, self.cluster, self.layout, self._item_most)
        self.desk: Desk | None = None
        self.turn()

    def take_over(self, node: str) -> None:
        """The coordinator is gone; `node` goes on from the database."""
        self._writer.close()
        self._lead(node)

    @property
    def node(self) -> str:
        """Whose coordinator it is."""
        return self._term.node

    def close(self) -> None:
        self._watchdog.close()
        self._writer.close()

    def turn(self, *items: Item) -> list[Reply]:
        """One turn; its replies. Its deliveries are kept in `deliveries`."""
        if self.crashing:
            with suppress(Crash):
                self._commit(items, crash=True)
            self.desk = None
        while (turn := self._commit_mending(items)) is None:
            self.desk = None
        self.deliveries += turn.deliveries
        self.carried += turn.carried
        if self._noticed:
            noticed, self._noticed = self._noticed, []
            self.turn(*noticed)
        return [reply for _, reply in turn.replies]

    def _commit_mending(self, items: tuple[Item, ...]) -> Turn | None:
        """As the coordinator: None where something had to be mended first, which is told after the turn."""
        try:
            return self._commit(items)
        except (UnicodeDecodeError, Spoilt) as error:
            noticed = self._mender.mend(error, BEGIN + round(self.seconds * 1_000_000))
            if noticed is None:
                raise
            self._noticed.append(noticed)
            return None

    def _commit(self, items: tuple[Item, ...], *, crash: bool = False) -> Turn:
        turn = Turn(self.seconds, BEGIN + round(self.seconds * 1_000_000))
        with self._writer.transaction() as connection:
            desk = self.desk
            if desk is None:
                desk = Desk(self._term, BoundedSearch(), lambda node: None)
                desk.restore(connection, turn)
            for item in items:
                desk.work(connection, turn, item)
            desk.finish(connection, turn)
            if crash:
                raise Crash
        self.desk = desk
        return turn

    def ask(self, body: RequestBody, node: str = "db1") -> Reply:
        """A request, and its reply."""
        (reply,) = self.turn(Asked([b"x"], Request(PROTOCOL, "test", node, b"", body)))
        return reply

    def define(self, text: str) -> Reply:
        return self.ask(ImportDefinitions(text, "definitions.yaml", "ann"))

    def event(self, event: str, state: str, supplement: str = "", node: str = "db4") -> None:
        """A report of `node`."""
        stream, last = self._streams.setdefault(node, (os.urandom(16), 0))
        self._streams[node] = stream, last + 1
        at = BEGIN + round(self.seconds * 1_000_000)
        self.ask(EventBatch(stream, last + 1, 1, [Report(last + 1, event, state, supplement, at)]), node)

    def answer(self, delivery: str, outcome: str, reason: str = "exit status 0") -> None:
        self.turn(Answer(delivery, outcome, reason))  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        """Time goes by in one step, then a turn."""
        self.seconds += seconds
        self.turn()

    def due_in(self) -> float | None:
        """Seconds until the desk wants a turn."""
        due = self.desk.next_deadline() if self.desk else None
        return None if due is None else due - self.seconds

    def query(self, function: Callable[[Connection], T]) -> T:
        """What the database holds."""
        with self._writer.transaction() as connection:
            return function(connection)
