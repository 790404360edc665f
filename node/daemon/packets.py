"""Sends this node's periodic packets and hears those of the others (design sections 2 and 4).

Role: the sockets and the clock around `core.membership` and `core.packet`: one PUB, one SUB for each peer.
Rules: one event loop, nothing here blocks or touches a disk. A SUB whose peer is silent for the down time is closed and
opened again, since it would stay deaf to a host that vanished without a FIN. The schedule is monotonic and drops what
it missed; after a pause all sockets are read empty before anybody is judged. What does not belong here (junk, another
protocol, cluster or node) is counted by peer and reason, logged once a minute, and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zmq
import zmq.asyncio

from noroshi.node.core.membership import Change, Membership, Observation, PeerState, Twin, roster_of
from noroshi.node.core.packet import TO_COORDINATOR, Header, Packer, Packet, Role, Run, decode, runs
from noroshi.node.daemon.subscriptions import Complaints, Subscriptions, cannot_bind
from noroshi.node.wire import sockets
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL, Views
from noroshi.store.clock import now_us
from noroshi.store.config import Cluster

log = logging.getLogger(__name__)

GOODBYES = 2
GOODBYE_SPACING = 0.05
"""Seconds."""
GOODBYE_MS = 2000
"""Milliseconds that the goodbye is given to leave this host: one that stood still for a moment is no failed one."""

_LEAST_SLEEP = 0.001
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Callbacks:
    """What the daemon does with what is heard; all are called from the loop and must not block."""

    items: Callable[[str, bytes, list[Run]], None]
    """Node, incarnation, what its packet held for this node, and for the coordinator where this node leads (of this
    node's own packets too). Items may come more than once: streams have sequences."""
    change: Callable[[str, PeerState, PeerState], None]
    """A peer's state as this node alone sees it: node, old, new."""
    acknowledged: Callable[[Mapping[bytes, int]], None] = lambda positions: None
    """Positions up to which own streams may be forgotten."""
    left: Callable[[tuple[Run, ...]], None] = lambda carried: None
    """These went out in a packet."""
    notice: Callable[[Observation], None] = lambda observation: None
    """A peer's restart, or a second host of its name."""
    period: Callable[[float], None] = lambda now: None
    """Once a period, after its packet."""
    oversized: Callable[[str], None] = lambda what: None
    """What holds up a stream, for it fits no packet: told once."""
    led: Callable[[float], None] = lambda now: None
    """A packet says that another leads than before, or that its node leads no more: told at once, for what was raised
    waits for it."""


class PacketExchange:
    """`open`, then `run` in a task until `stop`; all from one loop.

    `packer` takes the streams to send (call `poke` when something was raised), `membership` knows who is there.
    """

    def __init__(
        self,
        cluster: Cluster,
        own: str,
        incarnation: bytes,
        context: zmq.asyncio.Context,
        callbacks: Callbacks,
        keys: Keyring | None = None,
    ) -> None:
        self._cluster, self._own, self._incarnation = cluster, cluster.node(own), incarnation
        self._keys = keys
        self._interval = cluster.heartbeat.interval
        self._callbacks = callbacks
        # Plain sockets of the given context: a read that finds nothing must not cost a future.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.shadow(context)
        self.membership = Membership(cluster.names, own, incarnation, cluster.heartbeat, time.monotonic())
        self.packer = packer_of(cluster, own)
        self.complaints = Complaints(cluster)
        self.sent = self.heard = self.reopened = 0
        peers = [node for node in cluster.nodes if node.name != own]
        self._subscriptions = Subscriptions(self._context, peers, self._take, self._fail, keys)
        self._publisher: zmq.Socket[bytes] | None = None
        self._role: Role = "none"
        self._term, self._endpoint = 0, ""
        self._due = self._period_at = self._wake_at = time.monotonic()
        self._wake = asyncio.Event()
        self._oversized: set[bytes] = set()
        self._failure: Exception | None = None
        self._stopping = False

    # --- life ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take this node's endpoint. Raises NoroshiError where it cannot be bound. Nobody is heard before `run`."""
        try:
            self._publisher = sockets.publisher(self._context, self._own.packets, self._keys)
        except zmq.ZMQError as error:
            raise cannot_bind(self._own, error) from error

    async def run(self) -> None:
        """Listen, send and judge until `stop`. Raises what a callback raised."""
        if not self._stopping:
            self._subscriptions.open()
        self._due = self._period_at = self._wake_at = time.monotonic()
        while not self._stopping:
            self._wake.clear()
            self._cycle(time.monotonic())
            await self._sleep()
            if self._failure is not None:
                raise self._failure

    async def stop(self, *, goodbye: bool = True) -> None:
        """A planned stop says goodbye, so that it is told apart from a failure; then everything is closed."""
        self._stopping = True
        self._wake.set()
        if goodbye and self._publisher is not None:
            self._role = "leaving"
            for _ in range(GOODBYES):
                self._send(time.monotonic())
                await asyncio.sleep(GOODBYE_SPACING)
        self._subscriptions.close()
        if self._publisher is not None:
            self._publisher.close(linger=GOODBYE_MS if goodbye else 0)
            self._publisher = None

    # --- for the daemon --------------------------------------------------------------------------------------

    def set_role(self, role: Role, term: int = 0, endpoint: str = "") -> None:
        """What the packets say of this node from now on; a new leader says so at once. A goodbye is not taken back."""
        if self._role == "leaving":  # a coordinator that ends meanwhile is no news
            return
        self._role, self._term, self._endpoint = role, term, endpoint
        self.membership.set_own_role(term if role == "leader" else 0, endpoint)
        if role == "leader":
            self._due = self._period_at = time.monotonic()
            self._wake.set()

    def acknowledge(self, positions: Mapping[bytes, int]) -> None:
        """What was taken of others' streams, told in the next packets; of own ones, told at once."""
        self.packer.acknowledge({s: at for s, at in positions.items() if not self.packer.owns(s)})
        self._acknowledged(positions, self._own.name, leads=self._role == "leader")

    def poke(self) -> None:
        """Something was raised: under `flush` a packet may be due."""
        if self.packer.due(time.monotonic()) < self._wake_at:
            self._wake.set()

    def views(self) -> Views:
        """For the coordinator's judge."""
        return self.membership.views(time.monotonic())

    # --- sending ---------------------------------------------------------------------------------------------

    def _cycle(self, now: float) -> None:
        if now > self._wake_at + self._interval / 2:
            self._subscriptions.drain()
        self._tell(self.membership.tick(now))
        for name in self.membership.silent(now):
            self._subscriptions.reopen(name)
            self.reopened += 1
        leader = self.membership.leader(now)
        self.packer.follow(leader and (leader.node, leader.incarnation, leader.term))
        self._send_if_due(now)
        wake_at = min(self._due, self._period_at, self.packer.due(now), self.membership.next_deadline(now))
        self._wake_at = max(wake_at, now + _LEAST_SLEEP)

    def _send_if_due(self, now: float) -> None:
        if now >= self._due:
            self._due = self._next(self._due, now)
            self._send(now)
        elif self.packer.due(now) <= now:
            self._due = now + self._interval
            self._send(now, early=True)
        if now >= self._period_at:  # whatever leaves early: the coordinator judges by what it is told then
            self._period_at = self._next(self._period_at, now)
            self._warn_of_oversized()
            self._callbacks.period(now)

    def _next(self, at: float, now: float) -> float:
        """What was missed is dropped: a resumed process must not send its backlog of packets."""
        return at + self._interval if at + self._interval > now else now + self._interval

    def _send(self, now: float, *, early: bool = False) -> None:
        self.sent += 1
        packed = self.packer.pack(self._header(), now, early=early)
        if self._publisher is not None:
            self._publisher.send(packed.data, zmq.NOBLOCK)  # a PUB drops what a peer does not read
        if packed.carried:
            self._callbacks.left(packed.carried)
            self._take_own(packed.carried)
        if packed.finished:
            self._callbacks.acknowledged(packed.finished)

    def _take_own(self, carried: tuple[Run, ...]) -> None:
        """Nobody hears their own packets: what this node has for its own coordinator, or itself, goes over here."""
        wanted = {self._own.name, TO_COORDINATOR} if self._role == "leader" else {self._own.name}
        own = [run for run in carried if run.to in wanted]
        if own:
            self._callbacks.items(self._own.name, self._incarnation, own)

    def _warn_of_oversized(self) -> None:
        for stream in self.packer.oversized.keys() - self._oversized:
            item = f"item {self.packer.oversized[stream]} of deferred stream {stream.hex()}"
            hint = "set heartbeat.packet in cluster.yaml as large as it was when the item was raised"
            what = f"{item} is too big for a packet and holds up what follows: {hint}"
            log.error("%s", what)
            self._callbacks.oversized(what)
        self._oversized = set(self.packer.oversized)

    def _header(self) -> Header:
        return Header(
            PROTOCOL,
            self._cluster.name,
            self._own.name,
            self._incarnation,
            self.sent,
            now_us(),
            self._role,
            self._term,
            self._endpoint,
            self.membership.roster,
            self.membership.view(),
        )

    async def _sleep(self) -> None:
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(max(0.0, self._wake_at - time.monotonic()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()

    # --- hearing ---------------------------------------------------------------------------------------------

    def _take(self, name: str, frames: list[bytes]) -> None:
        now = time.monotonic()
        self.heard += 1
        try:
            packet = _decode(frames)
        except BadMessage as error:
            self.complaints.note(name, "junk", str(error), now)
            return
        if self._belongs(name, packet.header, now):
            before = self.membership.leader(now)
            self._tell(self.membership.heard(packet.header, now))
            if self.membership.leader(now) != before:
                self._callbacks.led(now)
            self._take_contents(packet, now)

    def _belongs(self, name: str, header: Header, now: float) -> bool:
        if header.cluster != self._cluster.name:
            why = f"it is of cluster {header.cluster!r}, this is {self._cluster.name!r}: two clusters share an address"
            self.complaints.note(name, "cluster", why, now)
        elif header.node != name:
            why = (
                f"it says it is node {header.node!r}: see `node` in the node file there, and addresses in cluster.yaml"
            )
            self.complaints.note(name, "node", why, now)
        else:
            if header.roster != self.membership.roster:
                why = (
                    "its cluster.yaml names other nodes, or in another order: restart the daemons that read the old one"
                )
                self.complaints.note(name, "roster", why, now)
            return True
        return False

    def _take_contents(self, packet: Packet, now: float) -> None:
        header = packet.header
        if not self.membership.is_current(header.node, header.incarnation):
            self.complaints.counts[header.node, "incarnation"] += 1
            return
        if packet.acks:
            leader = self.membership.leader(now)
            leads = leader is not None and (leader.node, leader.incarnation) == (header.node, header.incarnation)
            self._acknowledged(packet.acks, header.node, leads=leads)
        mine = runs(packet, self._own.name, leads=self._role == "leader")
        if mine:
            self._callbacks.items(header.node, header.incarnation, mine)

    def _acknowledged(self, acks: Mapping[bytes, int], sender: str, *, leads: bool) -> None:
        moved = self.packer.acknowledged(acks, sender, leads=leads, now=time.monotonic())
        if moved:
            self._callbacks.acknowledged(moved)

    def _tell(self, observations: list[Observation]) -> None:
        for observation in observations:
            if isinstance(observation, Change):
                self._callbacks.change(observation.node, observation.old, observation.new)
                continue
            if isinstance(observation, Twin):
                log.error(
                    "two daemons call themselves %s: %s is listened to, %s is not; give one of them another name",
                    *(observation.node, observation.kept.hex(), observation.other.hex()),
                )
            self._callbacks.notice(observation)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._wake.set()


def _decode(frames: list[bytes]) -> Packet:
    if len(frames) != 1:
        raise BadMessage(f"{len(frames)} frames where a packet is one")
    return decode(frames[0])


def packer_of(cluster: Cluster, own: str) -> Packer:
    """For this node's packets. Raises NoroshiError where `heartbeat.packet` is too small for the cluster."""
    view, endpoint = bytes((len(cluster.nodes) + 3) // 4), max((node.coordinator for node in cluster.nodes), key=len)
    roster = roster_of(cluster.names)
    largest = Header(
        PROTOCOL, cluster.name, own, bytes(8), _MOST, _MOST, "leaving", _MOST, endpoint, max(roster, 2**16), view
    )
    return Packer(largest, max(len(name.encode()) for name in cluster.names), cluster.heartbeat)
