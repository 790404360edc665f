"""What this daemon itself hears of its peers: UP, SUSPECT, DOWN, STOPPED, and who leads (design section 4).

Role: the observation of one node. The vote over all observations is the coordinator's (`judge.py`).
Rules: `now` is monotonic seconds and never goes back; `heard` and `tick` return what changed, in order.

A packet counts as missed when it is a quarter of an interval late, so that `suspect: 2` means two packets missed and
not one packet late. A peer is UP again on the first packet heard. STOPPED lasts until the peer is heard again.
At the start nobody is judged before the down time has passed: until then a peer never heard is SUSPECT.

After a pause of this daemon (a tick more than the suspect time overdue) everybody's silence is counted from the end of
the pause and nobody is judged for the suspect time (`settled` is false); the view sent meanwhile shows those not heard
since the pause as SUSPECT, so that an old view of a resumed node brings nobody back to life. Packets that were buffered
over the pause count as heard at its end: of a peer that died meanwhile that is noticed a down time later.

A name belongs to the newest incarnation heard. Packets of a former incarnation within the suspect time of the change
are leftovers of a restart; later ones come from a second host of that name: it is reported (`Twin`), and not listened
to while the first one is heard.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain
from typing import TYPE_CHECKING

from noroshi.node.wire.messages import PeerView, Views
from noroshi.node.wire.probing import Heard

if TYPE_CHECKING:
    from noroshi.node.core.packet import Header
    from noroshi.store.config import Heartbeat

GRACE = 0.25
"""Of an interval: how late a packet is when it counts as missed."""

_FORMER_KEPT = 8


class PeerState(IntEnum):
    """Two bits each in a view."""

    DOWN = 0
    UP = 1
    SUSPECT = 2
    STOPPED = 3


@dataclass(frozen=True)
class Change:
    """A peer's state, as this node sees it, went from `old` to `new`."""

    node: str
    old: PeerState
    new: PeerState


@dataclass(frozen=True)
class Restarted:
    """Another incarnation of a peer is heard: its daemon was started again."""

    node: str
    old: bytes
    new: bytes


@dataclass(frozen=True)
class Twin:
    """Two daemons of one name are running: `kept` is listened to, `other` is not."""

    node: str
    kept: bytes
    other: bytes


Observation = Change | Restarted | Twin


@dataclass(frozen=True)
class Leader:
    """Who holds the coordinator's role, as its own packets say."""

    node: str
    incarnation: bytes
    term: int
    endpoint: str


def pack_view(states: Sequence[PeerState]) -> bytes:
    """Two bits a node, in the order of the cluster file, the first node in the lowest bits of the first byte."""
    packed = bytearray((len(states) + 3) // 4)
    for index, state in enumerate(states):
        packed[index >> 2] |= state << ((index & 3) << 1)
    return bytes(packed)


def unpack_view(view: bytes, count: int) -> list[PeerState]:
    """The inverse of `pack_view`. Raises ValueError when `view` is not of `count` nodes."""
    if len(view) != (count + 3) // 4:
        raise ValueError(f"a view of {len(view)} bytes for {count} nodes")
    return list(chain.from_iterable(map(_FOURS.__getitem__, view)))[:count]


_FOURS = [tuple(PeerState(byte >> shift & 3) for shift in (0, 2, 4, 6)) for byte in range(256)]


def roster_of(names: Sequence[str]) -> int:
    """A checksum of the cluster file's node names in order: views of another roster cannot be compared."""
    return zlib.crc32("\n".join(names).encode())


@dataclass
class _Peer:
    name: str
    heard_at: float  # the start, or the end of a pause, where nothing was heard since
    opened_at: float
    state: PeerState = PeerState.SUSPECT
    incarnation: bytes = b""
    sequence: int = 0
    since: float = -math.inf  # the first packet of this incarnation
    confirmed: bool = False  # heard since the last pause
    view: bytes = b""  # empty: of another roster
    former: deque[bytes] = field(default_factory=lambda: deque(maxlen=_FORMER_KEPT))
    twins: set[frozenset[bytes]] = field(default_factory=set)


class Membership:
    """See the module. `names` are all nodes in the order of the cluster file, `own` among them."""

    def __init__(self, names: Sequence[str], own: str, incarnation: bytes, heartbeat: Heartbeat, now: float) -> None:
        self.names, self.own, self.incarnation = tuple(names), own, incarnation
        self.roster = roster_of(names)
        self._interval = heartbeat.interval
        self._suspect_time = heartbeat.suspect_time
        self._grace = GRACE * heartbeat.interval
        self._suspect_after = heartbeat.suspect_time + self._grace
        self._down_after = heartbeat.down_time + self._grace
        self._peers = {name: _Peer(name, now, now) for name in names if name != own}
        self._started = self._seen = now
        self._settles = now + self._suspect_time
        self._leadership = _Leadership(own, incarnation, self._down_after)

    # --- input -----------------------------------------------------------------------------------------------

    def heard(self, header: Header, now: float) -> list[Observation]:
        """A packet of a peer. Of a node not in the cluster file: KeyError. A stale one changes nothing."""
        self._notice_pause(now)
        peer = self._peers[header.node]
        observations: list[Observation] = []
        if not self._is_next(peer, header, now, observations):
            return observations
        peer.sequence, peer.heard_at, peer.confirmed = header.sequence, now, True
        peer.view = header.view if header.roster == self.roster else b""
        self._leadership.heard(header, now)
        self._become(peer, PeerState.STOPPED if header.role == "leaving" else PeerState.UP, observations)
        return observations

    def tick(self, now: float) -> list[Observation]:
        """Time has passed; wanted at least once an interval, and at `next_deadline`."""
        self._notice_pause(now)
        observations: list[Observation] = []
        if self.settled(now):
            for peer in self._peers.values():
                self._become(peer, self._aged(peer, now), observations)
        return observations

    def set_own_role(self, term: int, endpoint: str) -> None:
        """This node's coordinator leads in `term`; 0: it does not (any more)."""
        self._leadership.set_own(term, endpoint)

    # --- output ----------------------------------------------------------------------------------------------

    def state(self, node: str) -> PeerState:
        """Of a peer; KeyError for any other name, this node's own included."""
        return self._peers[node].state

    def incarnation_of(self, node: str) -> bytes:
        """The incarnation listened to; empty where the peer was never heard."""
        return self._peers[node].incarnation

    def is_current(self, node: str, incarnation: bytes) -> bool:
        """Whether packets of this incarnation are listened to."""
        return self._peers[node].incarnation == incarnation

    def settled(self, now: float) -> bool:
        """False for the suspect time after the start and after a pause: nobody is judged."""
        return now >= self._settles

    def next_deadline(self, now: float) -> float:
        """When `tick` could next change something, if nothing is heard until then; never before the next settling."""
        deadlines = [
            peer.heard_at + (self._suspect_after if peer.state is PeerState.UP else self._down_after)
            for peer in self._peers.values()
            if peer.state in (PeerState.UP, PeerState.SUSPECT)
        ]
        return max(min(deadlines, default=math.inf), self._settles if not self.settled(now) else now)

    def view(self) -> bytes:
        """What this node hears of all, itself UP, packed as `pack_view` does."""
        return pack_view([PeerState.UP if name == self.own else self._shown(self._peers[name]) for name in self.names])

    def views(self, now: float) -> Views:
        """For the judge: the own view first, then those of the peers heard within the suspect time."""
        heard = [peer for peer in self._peers.values() if self._shown(peer) is PeerState.UP and peer.view]
        leader = self.leader(now)
        return Views(
            views=[
                PeerView(self.own, self.incarnation, self.view()),
                *(PeerView(peer.name, peer.incarnation, peer.view) for peer in heard),
            ],
            stopped=[peer.name for peer in self._peers.values() if peer.state is PeerState.STOPPED],
            settled=self.settled(now),
            leader_term=leader.term if leader is not None else 0,
        )

    def hearing(self, now: float) -> list[Heard]:
        """What is heard of each peer, for whoever asks how it stands."""
        return [
            Heard(p.name, p.state.name, p.incarnation, p.sequence, now - p.heard_at if p.sequence else -1.0)
            for p in self._peers.values()
        ]

    def silent(self, now: float) -> list[str]:
        """Peers whose subscription must be closed and opened again: silent for the down time, and each down time on.

        A subscriber to a host that vanished without a FIN stays deaf for good. Calling this takes them as reopened.
        """
        silent = [p for p in self._peers.values() if now - max(p.heard_at, p.opened_at) >= self._down_after]
        for peer in silent:
            peer.opened_at = now
        return [peer.name for peer in silent]

    def leader(self, now: float) -> Leader | None:
        """Of the highest term heard, while heard within the down time; this node itself where it leads."""
        return self._leadership.leader(now)

    @property
    def highest_term(self) -> int:
        """Ever heard, or led in."""
        return self._leadership.term

    def should_try_lead(self, now: float) -> bool:
        """No coordinator heard for the down time, or it left, or there is no peer that could lead.

        With `coordinator: external` the caller must not try whatever this says.
        """
        if not self._peers:
            return self._leadership.leader(now) is None
        return self.settled(now) and self._leadership.vacant(now, self._started)

    # --- inside ----------------------------------------------------------------------------------------------

    def _notice_pause(self, now: float) -> None:
        if now - self._seen > self._interval + self._suspect_time:
            self._settles = now + self._suspect_time
            self._leadership.paused(now)
            for peer in self._peers.values():
                peer.heard_at, peer.opened_at, peer.confirmed = now, now, False
        self._seen = now

    def _is_next(self, peer: _Peer, header: Header, now: float, observations: list[Observation]) -> bool:
        if header.incarnation == peer.incarnation:
            return header.sequence > peer.sequence
        if header.incarnation in peer.former:
            return self._is_taken_back(peer, header.incarnation, now, observations)
        if peer.incarnation:
            observations.append(Restarted(peer.name, peer.incarnation, header.incarnation))
        self._bind(peer, header.incarnation, now)
        return True

    def _is_taken_back(self, peer: _Peer, incarnation: bytes, now: float, observations: list[Observation]) -> bool:
        """A former incarnation: a leftover, or a second host, which is taken where the first is not heard any more."""
        if now - peer.since < self._suspect_time or not self.settled(now):
            return False
        take = peer.state in (PeerState.DOWN, PeerState.STOPPED)
        kept, other = (incarnation, peer.incarnation) if take else (peer.incarnation, incarnation)
        if frozenset((kept, other)) not in peer.twins:
            peer.twins.add(frozenset((kept, other)))
            observations.append(Twin(peer.name, kept, other))
        if take:
            self._bind(peer, incarnation, now)
        return take

    def _bind(self, peer: _Peer, incarnation: bytes, now: float) -> None:
        if peer.incarnation:
            peer.former.append(peer.incarnation)
        peer.incarnation, peer.sequence, peer.since = incarnation, 0, now

    def _aged(self, peer: _Peer, now: float) -> PeerState:
        if peer.state in (PeerState.DOWN, PeerState.STOPPED):
            return peer.state
        # Written as `next_deadline` computes it: rounded otherwise, a tick at the deadline could find nothing to do.
        if now >= peer.heard_at + self._down_after:
            return PeerState.DOWN
        return PeerState.SUSPECT if now >= peer.heard_at + self._suspect_after else peer.state

    def _become(self, peer: _Peer, state: PeerState, observations: list[Observation]) -> None:
        if peer.state is not state:
            observations.append(Change(peer.name, peer.state, state))
            peer.state = state

    def _shown(self, peer: _Peer) -> PeerState:
        return PeerState.SUSPECT if peer.state is PeerState.UP and not peer.confirmed else peer.state


class _Leadership:
    """The highest term and whose it is. The leader's own packets alone tell; a lower term is an old leader's."""

    def __init__(self, own: str, incarnation: bytes, down_after: float) -> None:
        self._own, self._incarnation, self._down_after = own, incarnation, down_after
        self.term = 0
        self._holder = ""  # whose term it is, or was
        self._leader: Leader | None = None
        self._heard_at = -math.inf
        self._left = False  # the last leader said so, or was heard without the role

    def heard(self, header: Header, now: float) -> None:
        if header.role == "leader" and self._is_newest(header.term, header.node):
            self._take(Leader(header.node, header.incarnation, header.term, header.endpoint), now)
        elif self._leader is not None and self._leader.node == header.node:
            self._leader, self._left = None, True

    def _is_newest(self, term: int, node: str) -> bool:
        # A term has one leader; a second one in it would be a fault of the disk, and is not followed.
        return term > self.term or (term == self.term and node == self._holder)

    def _take(self, leader: Leader, now: float) -> None:
        self.term, self._holder = leader.term, leader.node
        self._leader, self._heard_at, self._left = leader, now, False

    def set_own(self, term: int, endpoint: str) -> None:
        if term and self._is_newest(term, self._own):
            self._take(Leader(self._own, self._incarnation, term, endpoint), math.inf)
        elif not term and self._leader is not None and self._leader.node == self._own:
            self._leader, self._left = None, True

    def paused(self, now: float) -> None:
        self._heard_at = max(self._heard_at, now)

    def leader(self, now: float) -> Leader | None:
        return self._leader if self._leader is not None and now - self._heard_at < self._down_after else None

    def vacant(self, now: float, started: float) -> bool:
        return self.leader(now) is None and (self._left or now - max(started, self._heard_at) >= self._down_after)
