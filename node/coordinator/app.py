"""The coordinator process: takes the role, then drains, decides, commits once, answers (design section 2).

Exit status: 0 asked to stop, or the daemon's link closed; 3 another node leads; 4 deposed by a newer term; 1 failed.
Rules: nothing is answered or sent before its turn is committed; an I/O error on the shared disk is final, a full disk
is not: then nothing is acknowledged until there is space again.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import zmq

from noroshi.node.coordinator.deliveries import DeliverySockets
from noroshi.node.coordinator.desk import Desk, Item, Term
from noroshi.node.coordinator.intake import Asked, Intake
from noroshi.node.coordinator.link import Link, LinkClosed
from noroshi.node.coordinator.search import BoundedSearch
from noroshi.node.coordinator.turn import Turn
from noroshi.node.exits import EXIT_DEPOSED, EXIT_ROLE_TAKEN
from noroshi.node.wire import sockets
from noroshi.node.wire.messages import Answer, Beat, Heard, Leading, Positions, Refused, Views
from noroshi.store.clock import now_us
from noroshi.store.config import Cluster, NodeConfig, load_cluster, load_node
from noroshi.store.errors import Deposed, DiskFull, NoroshiError, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.writer import Identity, Writer, lead

log = logging.getLogger(__name__)

IDLE = 1.0
"""Seconds; a turn without work looks after the WAL."""
FULL_PAUSE = 0.5
"""Seconds between tries to commit while the shared disk is full."""


def run(config: Path) -> int:
    """Lead, if the lock is free. Raises NoroshiError for what the operator must mend."""
    node = load_node(config)
    layout = Layout(node.shared)
    cluster = load_cluster(layout.cluster)
    with ExitStack() as stack:
        link, hello = Link.connect(node.run / "coordinator.sock", timeout=5.0)
        stack.callback(link.close)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.destroy, 0)
        # The port first: a node whose port is taken must not win the role over and over.
        intake = Intake(_bind(context, node, cluster), cluster.name, frozenset(cluster.names))
        identity = Identity(node.node, cluster.node(node.node).coordinator, hello.incarnation, os.getpid())
        try:
            writer = lead(layout, identity)
        except RoleTaken as error:
            log.info("%s", error)
            return EXIT_ROLE_TAKEN
        stack.callback(writer.close)
        with closing(Coordinator(node, cluster, writer, link, intake)) as coordinator:
            return coordinator.run()


def _bind(context: zmq.Context[zmq.Socket[bytes]], node: NodeConfig, cluster: Cluster) -> zmq.Socket[bytes]:
    endpoint = cluster.node(node.node).coordinator
    try:
        return sockets.router(context, endpoint)
    except zmq.ZMQError as error:
        raise NoroshiError(
            "cannot listen as the coordinator",
            on=endpoint,
            why=str(error),
            hint="another program has the port (ss -ltnp), or the address is not this host's: see cluster.yaml",
        ) from error


class Coordinator:
    """The loop; what is decided in it is the desk's."""

    def __init__(self, node: NodeConfig, cluster: Cluster, writer: Writer, link: Link, intake: Intake) -> None:
        self._writer, self._link, self._intake = writer, link, intake
        self._term = Term(node.node, writer.term, cluster.node(node.node).coordinator, cluster, Layout(node.shared))
        self._poller = zmq.Poller()
        self._deliveries = DeliverySockets(intake.socket.context, self._poller, cluster)
        self._search = BoundedSearch()
        self._desk: Desk | None = None
        self._kept: list[Item] = []
        self._full_until = 0.0
        self._stopping = False
        self._wake = _wake_on_signals(self._stop)
        for source in (intake.socket, link.fileno(), self._wake.fileno()):
            self._poller.register(source, zmq.POLLIN)

    def run(self) -> int:
        """Until asked to stop, the link closes, or a newer term stands; the exit status."""
        try:
            self._commit([])  # the take-over itself: restored, recorded, announced
            self._link.send(Leading(self._term.term, self._term.endpoint, now_us()))
            log.info("%s leads, term %d", self._term.node, self._term.term)
            while not self._stopping:
                self._cycle()
        except LinkClosed as error:
            log.info("the daemon's link ended (%s), and with it this coordinator", error)
        except Deposed as error:
            log.error("%s", error)
            return EXIT_DEPOSED
        return 0

    def close(self) -> None:
        """Its own sockets; what it was given belongs to `run`."""
        self._deliveries.close()
        self._wake.close()

    def _stop(self) -> None:
        self._stopping = True

    def _cycle(self) -> None:
        ready = dict(self._poller.poll(math.ceil(self._patience() * 1000)))
        if self._wake.fileno() in ready:
            self._wake.recv(64)
        self._deliveries.push()
        items = self._kept + self._gather(ready)
        self._kept = []
        if time.monotonic() < self._full_until:
            self._decline(items)
        elif items or self._is_due():
            self._commit(items)
        self._writer.checkpoint_if_due(idle=not items)

    def _patience(self) -> float:
        """How long the poll may wait, seconds."""
        deadline = None if self._desk is None else self._desk.next_deadline()
        patience = IDLE if deadline is None else min(IDLE, max(0.0, deadline - time.monotonic()))
        retry = self._deliveries.push()
        return patience if retry is None else min(patience, retry)

    def _is_due(self) -> bool:
        if self._desk is None:
            return True
        deadline = self._desk.next_deadline()
        return deadline is not None and deadline <= time.monotonic()

    def _gather(self, ready: dict[object, int]) -> list[Item]:
        items: list[Item] = []
        if self._link.fileno() in ready:
            for message in self._link.receive():
                match message:
                    case Beat():
                        self._link.send(message)
                    case Views():
                        for view in message.views:
                            self._intake.bind(view.node, view.incarnation)
                        items.append(message)
                    case Heard():
                        items.append(message)
        if self._intake.socket in ready:
            items += self._intake.drain()
        return items + self._deliveries.receive(ready)

    def _commit(self, items: list[Item]) -> None:
        turn = Turn(time.monotonic(), now_us())
        try:
            with self._writer.transaction() as connection:
                desk = self._desk
                if desk is None:
                    desk = Desk(self._term, self._search, self._deliveries.reopen)
                    desk.restore(connection, turn)
                for item in items:
                    desk.work(connection, turn, item)
                desk.finish(connection, turn)
        except DiskFull as error:
            self._desk = None
            self._full(items, error)
        except (NoroshiError, LinkClosed):
            raise
        except Exception as error:
            self._desk = None
            self._split(items, error)
        else:
            self._desk = desk
            self._full_until = 0.0
            self._release(turn)

    def _release(self, turn: Turn) -> None:
        for route, reply in turn.replies:
            self._intake.reply(route, reply)
        for node, message in turn.deliveries:
            self._deliveries.send(node, message)
        if turn.positions:
            self._link.send(Positions(turn.positions))
        self._link.flush()

    def _full(self, items: list[Item], error: DiskFull) -> None:
        """Keep the role, acknowledge nothing, try again (design section 3)."""
        if self._full_until == 0.0:
            log.error("%s", error)
        self._full_until = time.monotonic() + FULL_PAUSE
        self._decline(items)

    def _decline(self, items: list[Item]) -> None:
        refusal = Refused("disk", "the shared disk is full", "free space there; everything is kept and sent again")
        for item in items:
            if isinstance(item, Asked):
                self._intake.reply(item.route, refusal)
            elif isinstance(item, Answer):
                self._kept.append(item)  # a node answers once; the rest comes again by itself

    def _split(self, items: list[Item], error: Exception) -> None:
        """Something in the turn cannot be worked on: each by itself, and that one is refused."""
        if not items:
            raise error
        if len(items) > 1:
            for item in items:
                self._commit([item])
            return
        log.error("cannot work on %s: set aside", type(items[0]).__name__, exc_info=error)
        if isinstance(items[0], Asked):
            self._intake.reply(items[0].route, Refused("bad-message", f"{type(error).__name__}: {error}"))


def _wake_on_signals(stop: Callable[[], None]) -> socket.socket:
    """SIGTERM and SIGINT only set a flag and wake the poll."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def handle(number: int, frame: object) -> None:
        del number, frame
        stop()

    signal.set_wakeup_fd(writing.detach())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return reading
