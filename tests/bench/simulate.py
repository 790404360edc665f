"""Packets, membership and the vote for 1 to 300 nodes in virtual time, printed as a table.

    python tests/bench/simulate.py [--nodes 1,3,50] [--seconds 60] [--seed 1]

The cores are the real ones (`Membership`, `Packer`, `Judge`), every packet is really packed and decoded; only sockets
and clocks are simulated. Node 1 leads. Every 15 s another node is killed and comes back 8 s later.

Columns: `down`, `back`: seconds from the death (the return) to the declaration, median and worst. `false`: DOWN
declared of a node that had not been silent for the down time. `paths`: path DOWN declared. `sent`: packets a second
and node, each of which goes to all others. `bytes`: of a packet, mean. `items`: deferred items that arrived, of those
raised. `cpu`, `leader`: what the cores take of one processor on a node, and on the leader's node with the vote, in
percent.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from noroshi.node.core.deferred import Buffer, Inbox, Outgoing
from noroshi.node.core.judge import Judge
from noroshi.node.core.membership import Membership, roster_of
from noroshi.node.core.packet import TO_COORDINATOR, Header, Kind, Packer, Packet, decode, runs
from noroshi.store.config import Heartbeat

SIZES = (1, 2, 3, 5, 10, 50, 100, 300)
KILL_EVERY, GONE_FOR = 15.0, 8.0
SETTLED = 6.0
"""Seconds after the start, from when on nodes are killed and all that is declared is counted."""


@dataclass(frozen=True)
class Scenario:
    """`loss` of each packet to each node; `pauses` a period and node, of so many seconds; deferred items a second."""

    name: str
    loss: float = 0.0
    pauses: float = 0.0
    pause_seconds: tuple[float, float] = (0.5, 3.0)
    deferred: float = 0.0


SCENARIOS = (
    Scenario("clean"),
    Scenario("loss 5 %", loss=0.05),
    Scenario("loss 20 %", loss=0.20),
    Scenario("pauses", pauses=0.01),
    Scenario("long pauses", pauses=0.005, pause_seconds=(5.0, 12.0)),
    Scenario("100/min deferred", deferred=100 / 60),
)


@dataclass
class Meter:
    """Processor time of what is done under it."""

    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds += time.process_time() - began


@dataclass
class Node:
    """One daemon and its fate."""

    name: str
    index: int
    membership: Membership
    packer: Packer
    incarnation: bytes
    due: float
    buffer: Buffer
    sequence: int = 0
    alive: bool = True
    paused_until: float = 0.0
    waiting: list[Packet] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)


@dataclass
class Result:
    """One row of the table."""

    nodes: int
    scenario: Scenario
    down: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    false: int = 0
    paths: int = 0
    sent: int = 0
    sent_bytes: int = 0
    raised: int = 0
    arrived: int = 0
    cpu: float = 0.0
    leader_cpu: float = 0.0
    node_seconds: float = 0.0

    def row(self) -> str:
        items = f"{self.arrived}/{self.raised}" if self.raised else "-"
        return (
            f"{self.nodes:5d}  {self.scenario.name:16s}  {_spread(self.down):>11s}  {_spread(self.back):>11s}  "
            f"{self.false:5d}  {self.paths:5d}  {self.sent / self.node_seconds:5.2f}  "
            f"{self.sent_bytes / max(self.sent, 1):6.0f}  {items:>11s}  {self.cpu:6.3f}  {self.leader_cpu:6.3f}"
        )


HEADINGS = (
    f"{'nodes':>5s}  {'scenario':16s}  {'down':>11s}  {'back':>11s}  {'false':>5s}  {'paths':>5s}  {'sent':>5s}  "
    f"{'bytes':>6s}  {'items':>11s}  {'cpu':>6s}  {'leader':>6s}"
)


def _spread(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.2f} {max(times):.2f}" if times else "-"


class World:
    """Virtual time: a heap of wakes; a packet arrives when it is sent, or when its receiver's pause ends."""

    def __init__(self, count: int, scenario: Scenario, seconds: float, seed: int, heartbeat: Heartbeat) -> None:
        self.scenario, self.seconds, self.heartbeat = scenario, seconds, heartbeat
        self.chance = random.Random(seed)
        self.names = tuple(f"n{index:03d}" for index in range(1, count + 1))
        self.result = Result(count, scenario)
        self.nodes = [self._born(index, 0.0) for index in range(count)]
        self.leader = self.nodes[0]
        self.leader.membership.set_own_role(1, "tcp://leader:1")
        self.judge = Judge(self.names, self.leader.name, heartbeat, {})
        self.inbox = Inbox()
        self.last_sent = [0.0] * count
        self.silent_until = [-math.inf] * count  # the end of the last silence of a down time or more
        self.wakes: list[tuple[float, int]] = []
        self.died: dict[str, float] = {}
        self.returned: dict[str, float] = {}
        self.died_at: dict[int, float] = {}
        self.dead_seconds = 0.0

    def run(self) -> Result:
        for node in self.nodes:
            heapq.heappush(self.wakes, (node.due, node.index))
        fates = self._fates()
        fate = next(fates, None)
        while self.wakes:
            now, index = heapq.heappop(self.wakes)
            if now > self.seconds:
                break
            while fate is not None and fate[0] <= now:
                self._strike(*fate)
                fate = next(fates, None)
            self._wake(self.nodes[index], now)
        return self._finished()

    # --- fates -----------------------------------------------------------------------------------------------

    def _fates(self) -> Iterator[tuple[float, bool, int]]:
        """When a node dies (True) or comes back; the leader does not."""
        at, victim = SETTLED, 0
        while at + GONE_FOR + SETTLED < self.seconds and len(self.nodes) > 1:
            victim = victim % (len(self.nodes) - 1) + 1
            yield at + self.chance.random(), True, victim
            yield at + 1 + GONE_FOR + self.chance.random(), False, victim
            at += KILL_EVERY

    def _strike(self, at: float, dies: bool, index: int) -> None:
        if dies:
            self.nodes[index].alive = False
            self.died_at[index] = at
            self.died[self.names[index]] = at
            return
        meter = self.nodes[index].meter
        self.nodes[index] = self._born(index, at)
        self.nodes[index].meter = meter
        self.dead_seconds += at - self.died_at[index]
        self.returned[self.names[index]] = at
        heapq.heappush(self.wakes, (self.nodes[index].due, index))

    def _born(self, index: int, now: float) -> Node:
        incarnation = self.chance.randbytes(8)
        name = self.names[index]
        header = Header(
            1, "demo", name, incarnation, 2**62, 2**62, "leader", 2**62, "tcp://192.168.100.100:65535",
            roster_of(self.names), bytes((len(self.names) + 3) // 4),
        )  # fmt: skip
        packer = Packer(header, len(name), self.heartbeat)
        buffer = Buffer(self.chance.randbytes(16), 10**6)
        packer.add(Outgoing(buffer, Kind.EVENT, TO_COORDINATOR))
        packer.follow("leader")
        membership = Membership(self.names, name, incarnation, self.heartbeat, now)
        due = now + self.chance.random() * self.heartbeat.interval
        return Node(name, index, membership, packer, incarnation, due, buffer)

    # --- one node's loop, as the shell drives it -----------------------------------------------------------------

    def _wake(self, node: Node, now: float) -> None:
        if not node.alive:
            return
        if now < node.paused_until:
            heapq.heappush(self.wakes, (node.paused_until, node.index))
            return
        if self.scenario.pauses and now > SETTLED and now >= node.due and self.chance.random() < self.scenario.pauses:
            node.paused_until = now + self.chance.uniform(*self.scenario.pause_seconds)
            heapq.heappush(self.wakes, (node.paused_until, node.index))
            return
        self._cycle(node, now)
        heapq.heappush(self.wakes, (min(node.due, node.membership.next_deadline(now)), node.index))

    def _cycle(self, node: Node, now: float) -> None:
        for packet in node.waiting:
            self._hear(node, packet, b"", now)
        node.waiting.clear()
        with node.meter.running():
            node.membership.tick(now)
            node.membership.silent(now)
        if now < node.due:
            return
        node.due = max(node.due + self.heartbeat.interval, now)
        self._raise(node)
        with node.meter.running():
            data = self._pack(node, now)
            if node is self.leader:
                judgement = self.judge.handle(node.membership.views(now), now)
        self._send(node, data, now)
        if node is self.leader and now > SETTLED:
            for event in judgement.events:
                self._declared(event.event, event.state, now)

    def _raise(self, node: Node) -> None:
        expected = self.scenario.deferred * self.heartbeat.interval
        for _ in range(int(expected) + (self.chance.random() < expected % 1)):
            node.buffer.append(bytes(256))
            self.result.raised += 1

    def _pack(self, node: Node, now: float) -> bytes:
        leads = node is self.leader
        node.sequence += 1
        header = Header(
            1, "demo", node.name, node.incarnation, node.sequence, int(now * 1e6), "leader" if leads else "none",
            int(leads), "tcp://leader:1" if leads else "", node.membership.roster, node.membership.view(),
        )  # fmt: skip
        packed = node.packer.pack(header, now)
        if leads:
            for run in packed.carried:
                taken = self.inbox.take(run)
                self._take(taken.items)
                node.packer.acknowledged({run.stream: taken.position}, node.name, leads=True, now=now)
                node.buffer.acknowledged(taken.position)
        return packed.data

    def _send(self, node: Node, data: bytes, now: float) -> None:
        self.result.sent += 1
        self.result.sent_bytes += len(data)
        if now - self.last_sent[node.index] >= self.heartbeat.down_time:
            self.silent_until[node.index] = now
        self.last_sent[node.index] = now
        packet, loss, chance = decode(data), self.scenario.loss, self.chance.random
        for receiver in self.nodes:
            if receiver is node or not receiver.alive or (loss and chance() < loss):
                continue
            if now < receiver.paused_until:
                receiver.waiting.append(packet)
            else:
                self._hear(receiver, packet, data, now)

    def _hear(self, node: Node, packet: Packet, data: bytes, now: float) -> None:
        if data and node.index <= 1:  # one node of each kind is measured with the decoding
            with node.meter.running():
                decode(data)
                self._take_packet(node, packet, now)
        else:
            self._take_packet(node, packet, now)

    def _take_packet(self, node: Node, packet: Packet, now: float) -> None:
        node.membership.heard(packet.header, now)
        if packet.acks:
            for position in node.packer.acknowledged(packet.acks, packet.header.node, leads=True, now=now).values():
                node.buffer.acknowledged(position)
        for run in runs(packet, node.name, leads=node is self.leader):
            taken = self.inbox.take(run)
            self._take(taken.items)
            node.packer.acknowledge({run.stream: taken.position})

    def _take(self, items: Sequence[bytes]) -> None:
        self.result.arrived += len(items)

    # --- what came of it -------------------------------------------------------------------------------------

    def _declared(self, event: str, state: str, now: float) -> None:
        kind, _, name = event.partition("/")
        if kind == "path":
            self.result.paths += state == "DOWN"
        elif state == "DOWN":
            self._declared_down(name, now)
        elif state == "UP" and name in self.returned:
            self.result.back.append(now - self.returned.pop(name))

    def _declared_down(self, name: str, now: float) -> None:
        index = self.names.index(name)
        # The views that say so may be a period old when they are judged, and the judge waits for its own period.
        just_silent = now - self.silent_until[index] <= 2 * self.heartbeat.interval
        if now - self.last_sent[index] < self.heartbeat.down_time and not just_silent:
            self.result.false += 1
        elif name in self.died:
            self.result.down.append(now - self.died.pop(name))

    def _finished(self) -> Result:
        result = self.result
        result.node_seconds = self.seconds * len(self.nodes) - self.dead_seconds
        result.leader_cpu = 100 * self.leader.meter.seconds / self.seconds
        sample = self.nodes[min(1, len(self.nodes) - 1)]
        result.cpu = 100 * sample.meter.seconds / self.seconds
        return result


def simulate(count: int, scenario: Scenario, seconds: float, seed: int, heartbeat: Heartbeat | None = None) -> Result:
    """Run one row."""
    return World(count, scenario, seconds, seed, heartbeat or Heartbeat(overflow="wait")).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", default=",".join(map(str, SIZES)), help="how many, several by commas")
    parser.add_argument("--seconds", type=float, default=60.0, help="virtual seconds of each row")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(HEADINGS)
    for count in map(int, options.nodes.split(",")):
        for scenario in SCENARIOS:
            print(simulate(count, scenario, options.seconds, options.seed).row(), flush=True)


if __name__ == "__main__":
    main()
