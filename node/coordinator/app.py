"""The coordinator process: takes the role, then drains, decides, commits once, answers (design section 2).

Exit status: 0 asked to stop, or the daemon's link closed; 3 another node leads; 4 deposed by a newer term; 5 the
shared disk did not answer; 6 gave way to a node that hears more; 7 the database is damaged; 1 failed.
Rules: nothing is answered or sent before its turn is committed; an I/O error on the shared disk is final, a full disk
is not: then nothing is acknowledged until there is space again.
"""

from __future__ import annotations

import gc
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

from noroshi.node.coordinator.candidate import Candidate
from noroshi.node.coordinator.care import Care
from noroshi.node.coordinator.deliveries import DeliverySockets
from noroshi.node.coordinator.desk import Desk, Item, Noticed, Term
from noroshi.node.coordinator.former import has_ended, hold_for_life
from noroshi.node.coordinator.intake import Asked, Intake
from noroshi.node.coordinator.link import RETRY, Link, LinkClosed
from noroshi.node.coordinator.mender import Mender
from noroshi.node.coordinator.narrowing import Narrowing
from noroshi.node.coordinator.rivals import Rivals
from noroshi.node.coordinator.search import BoundedSearch
from noroshi.node.coordinator.turn import Turn
from noroshi.node.coordinator.watchdog import Watchdog, limit_for
from noroshi.node.exits import EXIT_DAMAGED, EXIT_DEPOSED, EXIT_ROLE_TAKEN, EXIT_YIELDED
from noroshi.node.wire import sockets
from noroshi.node.wire.gate import Gate
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import Answer, Beat, Busy, Heard, Hold, Leading, Left, Positions, Refused, Views
from noroshi.store.clock import now_us
from noroshi.store.config import Cluster, NodeConfig, load_cluster, load_node
from noroshi.store.errors import Damaged, Deposed, DiskFull, NoroshiError
from noroshi.store.layout import Layout
from noroshi.store.values import Spoilt
from noroshi.store.writer import Identity, Writer
from noroshi.store.writer_checkpoint import WAL_LIMIT

log = logging.getLogger(__name__)

IDLE = 1.0
"""Seconds; a turn without work looks after the WAL."""
HOLD_MOST, HOLD_WAL = 60.0, 256 * 1024 * 1024
"""Seconds for which a backup may put checkpoints off at once, and bytes of log up to which."""
CALM_WAL = 1024 * 1024
"""Bytes of log that are copied away as soon as the last notification under way has ended, so that it need not be done
while somebody waits for the next."""
FULL_PAUSE = 0.5
"""Seconds between tries to commit while the shared disk is full."""


STAND_BACK = "NOROSHI_STAND_BACK"
"""Environment: seconds before the lock is tried, set by the daemon after a leader gave way."""


def run(config: Path) -> int:
    """Lead, if the lock is or becomes free. Raises NoroshiError for what the operator must mend."""
    node = load_node(config)
    layout = Layout(node.shared)
    cluster = load_cluster(layout.cluster)
    with ExitStack() as stack:
        patience = cluster.heartbeat.down_time if cluster.coordinator == "external" else 0.0
        link, hello = Link.connect(node.run / "coordinator.sock", patience)
        stack.callback(link.close)
        stack.callback(os.close, hold_for_life(node.state))
        watchdog = stack.enter_context(closing(Watchdog()))
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.destroy, 0)
        if hello.keys is not None:
            gate = Gate(context, hello.keys)
            gate.start()
            stack.callback(gate.stop)
        # The port first: a node whose port is taken must not win the role over and over.
        intake = Intake(_bind(context, node, cluster, hello.keys), cluster.name, frozenset(cluster.names))
        identity = Identity(node.node, cluster.node(node.node).coordinator, hello.incarnation, os.getpid())
        stand_back = float(os.environ.get(STAND_BACK, "0"))
        try:
            writer = Candidate(layout, cluster, identity, link, watchdog, stand_back).win()
        except LinkClosed:
            return 0
        if writer is None:
            return EXIT_ROLE_TAKEN
        stack.callback(writer.close)
        term = Term(node.node, writer.term, identity.endpoint, cluster, layout, hello.item_most)
        with closing(Coordinator(term, writer, link, intake, watchdog, hello.keys)) as coordinator:
            return coordinator.run()


def _bind(
    context: zmq.Context[zmq.Socket[bytes]], node: NodeConfig, cluster: Cluster, keys: Keyring | None
) -> zmq.Socket[bytes]:
    endpoint = cluster.node(node.node).coordinator
    try:
        return sockets.router(context, endpoint, keys=keys)
    except zmq.ZMQError as error:
        raise NoroshiError(
            "cannot listen as the coordinator",
            on=endpoint,
            why=str(error),
            hint="another program has the port (ss -ltnp), or the address is not this host's: see cluster.yaml",
        ) from error


class Yielded(NoroshiError):
    """Another node shall lead: it has the network that this one lacks."""


class Coordinator:
    """The loop; what is decided in it is the desk's."""

    def __init__(
        self,
        term: Term,
        writer: Writer,
        link: Link,
        intake: Intake,
        watchdog: Watchdog,
        keys: Keyring | None = None,
    ) -> None:
        self._term, self._writer, self._link, self._intake = term, writer, link, intake
        self._watchdog = watchdog
        self._rivals = Rivals(term.layout, term.cluster, term.node, watchdog)
        self._poller = zmq.Poller()
        self._deliveries = DeliverySockets(intake.socket.context, self._poller, term.cluster, keys)
        self._search = BoundedSearch()
        self._care = Care(term, writer, watchdog)
        self._mender = Mender(writer, watchdog)
        self._desk: Desk | None = None
        self._kept: list[Item] = []
        self._narrowing = Narrowing()
        self._full_until = self._hold_until = 0.0
        self._outstanding = 0
        self._stopping = False
        self._wake = _wake_on_signals(self._stop)
        self._link_fd = link.fileno()
        for source in (intake.socket, self._link_fd, self._wake.fileno()):
            self._poller.register(source, zmq.POLLIN)

    def run(self) -> int:
        """Until asked to stop, the link closes, or a newer term stands; the exit status."""
        try:
            self._commit([])  # the take-over itself: restored, recorded, announced
            self._announce()
            log.info("%s leads, term %d", self._term.node, self._term.term)
            gc.freeze()  # what is here stays for life: no collection walks through it while an event waits
            while not self._stopping:
                self._cycle()
        except LinkClosed as error:
            log.info("the daemon's link ended (%s), and with it this coordinator", error)
        except Deposed as error:
            log.error("%s", error)
            return EXIT_DEPOSED
        except Damaged as error:
            log.critical("%s", error)
            return EXIT_DAMAGED
        except Yielded as error:
            log.error("%s", error)
            return EXIT_YIELDED
        return 0

    def close(self) -> None:
        """Its own sockets; what it was given belongs to `run`."""
        self._care.close()
        self._deliveries.close()
        self._wake.close()

    def _announce(self) -> None:
        self._link.send(Leading(self._term.term, self._term.endpoint, now_us()))

    def _stop(self) -> None:
        self._stopping = True

    def _cycle(self) -> None:
        ready = dict(self._poller.poll(math.ceil(self._patience() * 1000)))
        if self._wake.fileno() in ready:
            self._wake.recv(64)
        if self._link.lost:
            self._mend_link()
        self._deliveries.push()
        items = self._kept + self._gather(ready)
        self._kept = []
        if time.monotonic() < self._full_until:
            self._decline(items)
        elif items or self._is_due():
            self._commit(items)
        calmed = self._has_calmed()
        self._checkpoint(idle=calmed or not items)
        if time.monotonic() >= self._full_until:
            self._look_after()

    def _look_after(self) -> None:
        try:
            self._kept += self._care.step(time.monotonic(), now_us())
        except DiskFull as error:
            self._full([], error)

    def _has_calmed(self) -> bool:
        """The last delivery under way has just ended, and there is something to do that must not delay the next."""
        if self._desk is None:
            return False
        before, self._outstanding = self._outstanding, self._desk.outstanding
        return before > 0 == self._outstanding and self._writer.wal_size >= CALM_WAL

    def _checkpoint(self, idle: bool) -> None:
        size = self._writer.wal_size
        if (time.monotonic() < self._hold_until or self._care.holding) and size < HOLD_WAL:
            return
        limit = limit_for(size)
        if size > WAL_LIMIT:
            self._link.send(Busy(limit))
        try:
            with self._watchdog.watch("a checkpoint", limit):
                self._writer.checkpoint_if_due(idle)
        except DiskFull as error:
            self._full([], error)

    def _mend_link(self) -> None:
        """A daemon that a cluster manager's coordinator may wait for: hear it again once it is back."""
        if self._link_fd >= 0:
            self._poller.unregister(self._link_fd)
            self._link_fd = -1
        if self._link.mend():
            self._link_fd = self._link.fileno()
            self._poller.register(self._link_fd, zmq.POLLIN)
            self._announce()
            self._desk = None  # what waited there for a packet is lost: all that is unanswered is repeated

    def _patience(self) -> float:
        """How long the poll may wait, seconds."""
        deadline = None if self._desk is None else self._desk.next_deadline()
        care = max(self._care.next_at(), self._full_until)
        patience = min(IDLE, max(0.0, min(care, care if deadline is None else deadline) - time.monotonic()))
        retry = self._deliveries.push()
        if self._link.lost:
            patience = min(patience, RETRY)
        return patience if retry is None else min(patience, retry)

    def _is_due(self) -> bool:
        if self._desk is None:
            return True
        deadline = self._desk.next_deadline()
        return deadline is not None and deadline <= time.monotonic()

    def _gather(self, ready: dict[object, int]) -> list[Item]:
        items: list[Item] = []
        if self._link_fd in ready:
            for message in self._link.receive():
                match message:
                    case Beat():
                        self._link.send(message)
                    case Views():
                        self._look_around(message)
                        items.append(message)
                    case Heard() | Left():
                        items.append(message)
        if self._intake.socket in ready:
            asked = self._intake.drain()
            for each in asked:
                if isinstance(each.request.body, Hold):
                    self._hold_until = time.monotonic() + min(each.request.body.seconds, HOLD_MOST)
            items += asked
        return items + self._deliveries.receive(ready)

    def _look_around(self, views: Views) -> None:
        """Once a period: who speaks for which node, which former leaders have ended, whether to give way."""
        for view in views.views:
            self._intake.bind(view.node, view.incarnation)
        with self._watchdog.watch("the mark"):
            self._writer.former_ended(lambda owner: has_ended(owner, self._term.cluster, self._intake.bound))
        rival = self._rivals.look(views, time.monotonic())
        if rival is not None:
            heard, claim = rival
            raise Yielded(
                "giving way",
                why=f"{claim.node} claims the role and hears {claim.hears} nodes, this one {heard}",
                hint="look at the network of this node",
            )

    def _commit(self, items: list[Item]) -> None:
        """A turn; again after each thing in the database that had to be mended for it."""
        while not self._work(items):
            continue

    def _work(self, items: list[Item]) -> bool:
        """Whether that was all: committed, refused, or kept for later."""
        turn = Turn(time.monotonic(), now_us())
        try:
            with self._watchdog.watch("a commit"), self._writer.transaction() as connection:
                desk = self._desk
                if desk is None:
                    desk = Desk(self._term, self._search, self._deliveries.reopen)
                    desk.restore(connection, turn)
                desk.nodes.alive = self._rivals.alive
                for item in items:
                    desk.work(connection, turn, item)
                desk.finish(connection, turn)
        except DiskFull as error:
            self._desk = None
            self._full(items, error)
        except (NoroshiError, LinkClosed):
            raise
        except (UnicodeDecodeError, Spoilt) as error:
            self._desk = None
            return self._mend(items, error)
        except Exception as error:
            self._desk = None
            self._split(items, error)
        else:
            self._desk = desk
            self._full_until = 0.0
            self._release(turn)
        return True

    def _mend(self, items: list[Item], error: UnicodeDecodeError | Spoilt) -> bool:
        """Mend what keeps the turn from being worked on, if that is it; False: to be worked on again."""
        try:
            noticed = self._mender.mend(error, now_us())
        except DiskFull as full:
            self._full(items, full)
            return True
        if noticed is None:
            self._split(items, error)
            return True
        self._kept.append(noticed)
        return False

    def _release(self, turn: Turn) -> None:
        for node, message in turn.deliveries:  # first: somebody waits for these
            self._deliveries.send(node, message)
        for route, reply in turn.replies:
            self._intake.reply(route, reply)
        for carried in turn.carried:
            self._link.send(carried)
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
            elif isinstance(item, Answer | Noticed):
                self._kept.append(item)  # a node answers once; the rest comes again by itself

    def _split(self, items: list[Item], error: Exception) -> None:
        """Something in the turn cannot be worked on: that one item is refused, or set aside.

        Where not even a turn without any can be worked on it is none of theirs: what is refused here is set aside by
        its sender, so this coordinator ends instead.
        """
        if not items:
            raise error
        self._commit([])
        narrower = self._narrowing.of(items, error)
        for item in narrower:
            self._commit([item])
        if not narrower:
            log.error("cannot work on %s", type(items[0]).__name__, exc_info=error)
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
