"""The node daemon: wires the parts of one server together, runs them, stops them in order.

Rules: one asyncio loop that never touches the shared disk and never runs a user's pattern. Parts are opened in the
order in which the later ones need the earlier, and closed the other way round; a part that fails to open ends the start
with an error that says what to do.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import cast

import zmq.asyncio

from noroshi.node.core.membership import Observation, PeerState, Twin
from noroshi.node.daemon.agent import Agent
from noroshi.node.daemon.deferring import Deferring, Spools, asker
from noroshi.node.daemon.deliveries import DeliveryServer
from noroshi.node.daemon.dropbox import DropBox
from noroshi.node.daemon.hearing import Hearing
from noroshi.node.daemon.intake import Intake
from noroshi.node.daemon.leadership import Callbacks as LinkCallbacks
from noroshi.node.daemon.leadership import CoordinatorLink, Leadership
from noroshi.node.daemon.logmonitor import LogMonitor
from noroshi.node.daemon.monitoring import Monitoring
from noroshi.node.daemon.packets import Callbacks as PacketCallbacks
from noroshi.node.daemon.packets import PacketExchange
from noroshi.node.daemon.probing import Prober
from noroshi.node.daemon.sender import Sender
from noroshi.node.daemon.signals import SignalEvents
from noroshi.node.daemon.spool import Limits, Loss, Spool
from noroshi.node.daemon.state import StateLock, await_former_coordinator, cluster_of, keys_of
from noroshi.node.daemon.systemd import ServiceManager
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.wire.gate import Gate
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL, Hello, Leading
from noroshi.node.wire.raising import Raise
from noroshi.store.config import Cluster, NodeConfig, check_pair, load_node
from noroshi.store.errors import ConfigError, NoroshiError

log = logging.getLogger(__name__)

ANSWER_LIMIT = 15.0
"""Seconds a coordinator may be silent before it is ended: longer than a disk that is merely slow."""
EXPIRE_EVERY = 60.0
"""Seconds between two looks for what a spool has kept too long."""


def run(config: Path) -> int:
    """Until SIGTERM or SIGINT; the exit status. Raises NoroshiError for what the operator must mend."""
    node = load_node(config)
    lock = StateLock(node)
    try:
        cluster = cluster_of(node)
        if cluster.coordinator == "automatic":
            await_former_coordinator(node)
        problems = check_pair(node, cluster)
        if problems:
            raise ConfigError(problems)
        asyncio.run(Daemon(node, cluster, keys_of(node, cluster)).run())
    finally:
        lock.release()
    return 0


class Daemon:
    """`run` does everything; `keys` with `security: curve`."""

    def __init__(self, node: NodeConfig, cluster: Cluster, keys: Keyring | None = None) -> None:
        self._node, self._cluster, self._keys = node, cluster, keys
        self._incarnation = secrets.token_bytes(8)
        self._systemd = ServiceManager()
        self._stopping = asyncio.Event()
        self._leader: tuple[str | None, int] = (None, 0)
        self._failure: BaseException | None = None
        self._raising: set[asyncio.Task[None]] = set()
        self._spools: list[Spool] = []
        self._logs_hold = True
        """No line may go to a leader yet."""
        self._monitoring: Monitoring | None = None
        self._expire_at = 0.0

    async def run(self) -> None:
        """Open the parts, run until asked to stop, close them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with AsyncExitStack() as parts:
            await self._open(parts)
            self._warn()
            self._systemd.ready(f"node {self._node.node} of cluster {self._cluster.name}")
            log.info("node %s of cluster %s is up", self._node.node, self._cluster.name)
            gc.freeze()  # what is here stays for life: no collection walks through it while an event waits
            await self._until_stopped()
            self._systemd.stopping()
        log.info("node %s has stopped", self._node.node)

    def _warn(self) -> None:
        if self._cluster.security == "none":
            log.warning("security is none in cluster.yaml: anybody who reaches the ports can take part")
        elif self._keys and (without := sorted(set(self._cluster.names) - self._keys.known.keys())):
            log.warning("no public key of %s: run `noroshi keygen` there, then restart this daemon", ", ".join(without))

    # --- opening --------------------------------------------------------------------------------------------------

    async def _open(self, parts: AsyncExitStack) -> None:
        context = zmq.asyncio.Context()
        parts.callback(context.destroy, 0)
        self._open_gate(parts, context)
        events = await self._spool(parts, "events")
        deferred = await self._spool(parts, "deferred")
        lines, outcomes = await self._spool(parts, "deferred-logs"), await self._spool(parts, "outcomes")
        self._open_packets(context)
        parts.push_async_callback(self._packets.stop, goodbye=False)
        self._intake = Intake(
            events,
            deferred,
            wanted=self._node.events.allows,
            deferred_most=self._packets.packer.largest_item,
        )
        self._open_notifier(parts, context, Spools(deferred, lines, outcomes))
        await self._deferring.lines.recall()
        self._sender = Sender(
            events,
            context,
            cluster=self._cluster.name,
            node=self._node.node,
            incarnation=self._incarnation,
            keys=self._keys,
            forgotten=self._say_again,
        )
        await self._open_leadership(parts)
        self._task(parts, self._sender.run())
        self._task(parts, self._deferring.at_once.run())
        await self._open_logs(parts)
        verbs = {**self._deferring.verbs, "peers": Hearing(self._packets.membership).peers}
        agent = await Agent.open(self._node.run, self._intake, verbs=verbs)
        parts.push_async_callback(agent.close)
        parts.callback(self._deferring.data.close)
        self._task(parts, DropBox(self._node.state / "drop", self._intake).run())
        self._monitoring = Monitoring.of(self._node, self._raise_event)
        self._monitoring.start()
        parts.push_async_callback(self._monitoring.stop)
        parts.callback(SignalEvents(self._node.signals, self._raise_event).close)
        # Last opened, first closed: the goodbye goes out before anything else of this node ends.
        self._packet_task = self._task(parts, self._packets.run())
        parts.push_async_callback(self._packets.stop)

    def _open_gate(self, parts: AsyncExitStack, context: zmq.asyncio.Context) -> None:
        """Before anything listens."""
        if self._keys is not None:
            gate = Gate(cast("zmq.Context[zmq.Socket[bytes]]", context), self._keys)
            gate.start()
            parts.callback(gate.stop)

    def _say_again(self) -> None:
        if self._monitoring is not None:
            self._monitoring.say_again()

    async def _spool(self, parts: AsyncExitStack, name: str) -> Spool:
        limits = Limits(self._node.spool.size, self._node.spool.age)
        folder, urgent = self._node.state / "spool" / name, name == "events"
        spool = await Spool.open(folder, limits=limits, on_loss=partial(self._lost, name), urgent=urgent)
        parts.push_async_callback(spool.close)
        self._spools.append(spool)
        return spool

    def _open_packets(self, context: zmq.asyncio.Context) -> None:
        callbacks = PacketCallbacks(
            items=lambda node, incarnation, runs: self._deferring.heard(node, runs),
            change=self._peer_changed,
            acknowledged=lambda positions: self._deferring.acknowledged(positions),
            left=lambda carried: self._deferring.left(carried),
            period=self._period,
            led=self._look_who_leads,
            notice=self._noticed,
            oversized=self._oversized,
        )
        self._packets = PacketExchange(
            self._cluster, self._node.node, self._incarnation, context, callbacks, self._keys
        )
        self._packets.open()

    def _open_notifier(self, parts: AsyncExitStack, context: zmq.asyncio.Context, spools: Spools) -> None:
        """With what rides in packets, before the first packet is looked at."""
        endpoint = self._cluster.node(self._node.node).notifier
        notifier = Notifier(self._node, self._cluster.name)
        prober = Prober(self._node, self._cluster, self._incarnation, self._packets.membership, self._keys)
        try:
            server = DeliveryServer(context, endpoint, notifier, self._keys, prober)
        except zmq.ZMQError as error:
            parts.push_async_callback(notifier.close)
            raise NoroshiError(
                "cannot listen for deliveries",
                on=endpoint,
                why=str(error),
                hint="another program has the port (ss -ltnp), or the address is not this host's: see cluster.yaml",
            ) from error
        self._deferring = Deferring(
            self._cluster.names,
            self._packets,
            spools,
            notifier,
            tell=lambda message: self._link.send(message),
            ask=asker(context, self._cluster.name, self._node.node, self._incarnation, self._keys),
        )
        parts.push_async_callback(self._deferring.deliveries.close)
        parts.push_async_callback(server.close)
        parts.push_async_callback(prober.close)
        self._task(parts, server.serve())

    async def _open_leadership(self, parts: AsyncExitStack) -> None:
        item_most = self._packets.packer.largest_item
        hello = Hello(PROTOCOL, self._cluster.name, self._node.node, self._incarnation, item_most, self._keys)
        callbacks = LinkCallbacks(self._leading, self._led, self._packets.acknowledge, self._deferring.carry)
        self._link = CoordinatorLink(self._node.run / "coordinator.sock", hello, callbacks)
        await self._link.start()
        parts.push_async_callback(self._link.stop)
        self._leadership = Leadership(self._link, self._node.file, ANSWER_LIMIT, self._cluster.heartbeat.down_time)
        parts.push_async_callback(self._leadership.stop)

    async def _open_logs(self, parts: AsyncExitStack) -> None:
        """Lines that an earlier life deferred go first, where a file's lines are no longer deferred."""
        defer = self._deferring.lines.defer
        self._logs = LogMonitor(
            self._node, self._cluster, self._incarnation, self._raise_event, defer=defer, keys=self._keys
        )
        await self._logs.start()
        parts.push_async_callback(self._logs.stop)
        deferred = [rule.deferred for rule in self._node.logs] + [rule.deferred for rule in self._node.journals]
        if self._deferring.lines.waiting and not all(deferred):
            self._task(parts, self._flush_deferred())
        else:
            self._release_logs()

    async def _flush_deferred(self) -> None:
        await self._deferring.lines.flush()
        self._release_logs()

    def _release_logs(self) -> None:
        self._logs_hold = False
        self._logs.leader_changed(self._leader[0])

    def _task(self, parts: AsyncExitStack, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[call-overload]
        task.add_done_callback(self._task_ended)
        parts.push_async_callback(_cancel, task)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself has failed: stop in order, and let a supervisor begin anew."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a part of the daemon failed; it stops", exc_info=error)
            self._failure = error
            self._stopping.set()

    # --- running --------------------------------------------------------------------------------------------------

    async def _until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), self._systemd.watchdog or None)
            except TimeoutError:
                self._systemd.alive()
        if self._failure is not None:
            raise NoroshiError("a part of the daemon failed", why=str(self._failure), hint="see the log above")

    def _period(self, now: float) -> None:
        """After each packet of the schedule."""
        self._leadership.heartbeat(self._packets.views())
        self._look_who_leads(now)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_EVERY
            for spool in self._spools:
                spool.expire(now)

    def _peer_changed(self, node: str, old: PeerState, new: PeerState) -> None:
        """At once and not at the next period: a leader's end is what a take-over waits for."""
        log.info("%s: %s -> %s", node, old.name, new.name)
        self._deferring.data.changed(node, new)
        self._look_who_leads(time.monotonic())

    def _look_who_leads(self, now: float) -> None:
        membership = self._packets.membership
        leader = membership.leader(now)
        self._follow(*((None, 0) if leader is None else (leader.endpoint, leader.term)))
        if self._cluster.coordinator == "automatic" and membership.should_try_lead(now):
            self._leadership.try_to_lead()

    def _follow(self, endpoint: str | None, term: int) -> None:
        """Events and lines go to whoever leads now."""
        if (endpoint, term) != self._leader:
            self._leader = (endpoint, term)
            self._sender.leader_changed(endpoint, term)
            self._deferring.at_once.leader_changed(endpoint)
            if not self._logs_hold:
                self._logs.leader_changed(endpoint)

    def _leading(self, leading: Leading) -> None:
        self._packets.set_role("leader", leading.term, leading.endpoint)
        self._follow(leading.endpoint, leading.term)

    def _led(self) -> None:
        self._packets.set_role("none")
        self._deferring.led()

    async def _raise_event(self, event: str, state: str, supplement: str) -> None:
        """An event of the daemon's own parts, kept like any other."""
        ticket = self._intake.take(Raise(event, state, supplement[:1000]))
        if ticket is not None:
            await ticket.safe()

    def _noticed(self, observation: Observation) -> None:
        """Two daemons of one name: the same words from every node that notices, so that it is told once."""
        if isinstance(observation, Twin):
            both = sorted((observation.kept.hex(), observation.other.hex()))
            self._raise_soon(
                f"monitor/{observation.node}/identity",
                "ERROR",
                f"two daemons call themselves {observation.node}, with incarnations {' and '.join(both)}: "
                "give one of them another name and address",
            )

    def _lost(self, spool: str, loss: Loss) -> None:
        """A spool had to drop: that is an event too, though the spool is the one that is full."""
        what = "events" if spool == "events" else f"items of the spool {spool}"
        self._raise_soon(f"monitor/{self._node.node}/spool", "ERROR", f"{loss.count} {what} lost by {loss.reason}")

    def _oversized(self, what: str) -> None:
        self._raise_soon(f"monitor/{self._node.node}/spool", "ERROR", what)

    def _raise_soon(self, event: str, state: str, supplement: str) -> None:
        task = asyncio.ensure_future(self._raise_event(event, state, supplement))
        self._raising.add(task)
        task.add_done_callback(self._raising.discard)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
