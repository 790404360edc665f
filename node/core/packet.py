"""The periodic packet: what it looks like, how it is packed and taken apart (spec 5, design section 4, fig. 9).

Shape (MessagePack, at most `heartbeat.packet` bytes):
  header   who, which packet, when, the sender's role and term, what it hears of all (two bits a node)
  acks     positions taken, only of streams that moved; for whoever owns the stream (ids are random)
  label    what items the body holds, for whom, of which stream, where and how long
  body     the items, end to end

Every packet goes to every node (PUB/SUB); the label says whose an item is, so that others skip it undecoded.
Rules: `decode` validates everything and raises BadMessage; a peer's packet never crashes anybody. Packing is
deterministic. Deferred items are kept and packed again until acknowledged (`deferred.py`), so packets may be lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from noroshi.node.core.deferred import ITEM_COST, Outgoing, Owed
from noroshi.node.wire import codec, messages
from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.messages import PROTOCOL
from noroshi.store.errors import NoroshiError

if TYPE_CHECKING:
    from noroshi.store.config import Heartbeat

TO_COORDINATOR = ""
TO_ALL = "*"

_ENDPOINT = r"\A(tcp://[A-Za-z0-9.-]+:[0-9]{1,5})?\Z"

Role = Literal["none", "leader", "leaving"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
StreamId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sequence = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Kind(IntEnum):
    """What an item is; `decode_item` says as which message it is encoded."""

    EVENT = 1  # messages.Report, for the coordinator
    LOG = 2  # messages.LogPart, for the coordinator
    NOTIFICATION = 3  # messages.Deliver, from the coordinator for a node
    OUTCOME = 4  # messages.Answer, for the coordinator
    DATA = 5  # the users' own bytes, for a node or all


class Header(msgspec.Struct, frozen=True, array_like=True):
    """`sequence` counts the packets of one incarnation from 1; `time` is microseconds UTC at the sender.

    A leader gives its term and the coordinator's endpoint, others 0 and "". `leaving` is the goodbye of a planned stop.
    `roster` is the checksum of the cluster file's names: `view` is in their order (`membership.py`).
    """

    protocol: Count
    cluster: Name
    node: Name
    incarnation: Annotated[bytes, Meta(min_length=8, max_length=8)]
    sequence: Sequence
    time: Count
    role: Role
    term: Count
    endpoint: Annotated[str, Meta(max_length=512, pattern=_ENDPOINT)]
    roster: Annotated[int, Meta(ge=0, lt=2**32)]
    view: Annotated[bytes, Meta(max_length=1024)]

    def __post_init__(self) -> None:
        if self.role == "leader" and not (self.term and self.endpoint):
            raise ValueError("a leader without a term or an endpoint")


class Label(msgspec.Struct, frozen=True, array_like=True):
    """Items `first`, `first`+1, … of one stream: their lengths in bytes, from `offset` in the body on.

    `oldest` is the oldest sequence the sender still keeps: what is older was acknowledged, or dropped.
    """

    kind: Kind
    to: Annotated[str, Meta(max_length=255)]
    stream: StreamId
    first: Sequence
    oldest: Sequence
    offset: Count
    lengths: Annotated[list[Count], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if self.oldest > self.first:
            raise ValueError(f"item {self.first} is older than the oldest kept, {self.oldest}")


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """One packet, taken apart by `runs`."""

    header: Header
    acks: dict[StreamId, Count]
    label: list[Label]
    body: bytes

    def __post_init__(self) -> None:
        end = 0
        for label in self.label:
            if label.offset != end:
                raise ValueError(f"items at {label.offset} where {end} was due")
            end += sum(label.lengths)
        if end != len(self.body):
            raise ValueError(f"the label tells of {end} bytes, the body has {len(self.body)}")


@dataclass(frozen=True)
class Run:
    """Consecutive items of one stream out of one packet."""

    kind: Kind
    to: str
    stream: bytes
    first: int
    oldest: int
    items: tuple[bytes, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.items) - 1


Item = messages.Report | messages.LogPart | messages.Deliver | messages.Answer | bytes


class _Protocol(msgspec.Struct, array_like=True):
    protocol: int


class _Prefix(msgspec.Struct, array_like=True):
    header: _Protocol


_packets: codec.Codec[Packet] = codec.Codec(Packet)
_prefixes: codec.Codec[_Prefix] = codec.Codec(_Prefix)
_reports: codec.Codec[messages.Report] = codec.Codec(messages.Report)
_log_parts: codec.Codec[messages.LogPart] = codec.Codec(messages.LogPart)


def decode(data: bytes | memoryview) -> Packet:
    """Raises BadMessage; a packet of another protocol is named as such."""
    try:
        packet = _packets.decode(data)
    except BadMessage:
        _refuse_protocol(_protocol_of(data))
        raise
    _refuse_protocol(packet.header.protocol)
    return packet


def _refuse_protocol(protocol: int) -> None:
    if protocol != PROTOCOL:
        raise BadMessage(f"packet protocol {protocol}, this program speaks {PROTOCOL}: run one version on all nodes")


def _protocol_of(data: bytes | memoryview) -> int:
    """Of a packet that does not decode; ours where even that cannot be read."""
    try:
        return _prefixes.decode(data).header.protocol
    except BadMessage:
        return PROTOCOL


def runs(packet: Packet, node: str, *, leads: bool) -> list[Run]:
    """The items for `node`, and those for the coordinator where `node` leads; everybody else's are skipped."""
    wanted = {node, TO_ALL, TO_COORDINATOR} if leads else {node, TO_ALL}
    return [_run(label, packet.body) for label in packet.label if label.to in wanted]


def _run(label: Label, body: bytes) -> Run:
    items, at = [], label.offset
    for length in label.lengths:
        items.append(body[at : at + length])
        at += length
    return Run(label.kind, label.to, label.stream, label.first, label.oldest, tuple(items))


def decode_item(kind: Kind, item: bytes) -> Item:
    """An item as its message; the users' own data as it is. Raises BadMessage."""
    match kind:
        case Kind.EVENT:
            return _reports.decode(item)
        case Kind.LOG:
            return _log_parts.decode(item)
        case Kind.NOTIFICATION:
            return codec.deliveries.decode(item)
        case Kind.OUTCOME:
            return codec.answers.decode(item)
        case Kind.DATA:
            return item


# --- packing ------------------------------------------------------------------------------------------------------

_ACK_COST = 27  # a stream's id and a position, at most
_LABEL_COST = 1 + 1 + 2 + 18 + 9 + 9 + 3 + 3  # beside the addressee's name and the lengths
_SLACK = 8  # the headers of acks, label and body grow by no more than this

TYPICAL_ITEM = 256
"""Bytes. A buffer that leaves less room than this fills a packet."""

SMALLEST_ITEM = 64
"""Bytes. A packet size that leaves no room for such an item is refused."""

EARLY_SPACING = 1 / 32
"""Of an interval: early packets are no closer than this, so that a backlog stays below the high-water marks."""


@dataclass(frozen=True)
class Packed:
    """A packet to send. `carried` are its items; `finished` the positions that no acknowledgement is awaited for."""

    data: bytes
    carried: tuple[Run, ...]
    finished: Mapping[bytes, int]


class Packer:
    """Fills this node's packets from its outgoing streams (spec 5).

    `largest` is a header as long as any that will be packed; `addressee` the longest node name in bytes.

    Acknowledgements and items take turns in being packed first, and the streams take turns among themselves, so that
    neither many acknowledgements nor a stream of small items keeps a large item out for good.
    """

    def __init__(self, largest: Header, addressee: int, heartbeat: Heartbeat) -> None:
        self.early = 0
        self.oversized: dict[bytes, int] = {}
        """Streams held up by an item too big for an empty packet (their packet size was once larger), and which."""
        self._limit, self._overflow, self._interval = heartbeat.packet, heartbeat.overflow, heartbeat.interval
        self._room = self._limit - _SLACK - _empty_size(largest)
        self.largest_item = self._room - _LABEL_COST - addressee - ITEM_COST
        self._outgoing: dict[bytes, Outgoing] = {}
        self._acks = Owed()
        self._leader: object = None
        self._followed: object = None
        self._packed_at = -math.inf
        if self.largest_item < SMALLEST_ITEM:
            raise NoroshiError(
                "the periodic packet is too small",
                on=f"heartbeat.packet: {self._limit}",
                why=f"{self._limit - self.largest_item} bytes go to the header and the label",
                hint=f"set it to {self._limit - self.largest_item + SMALLEST_ITEM} or more in cluster.yaml",
            )

    def fits(self, item: bytes) -> None:
        """To be asked when an item is raised. Raises NoroshiError for one too big for an empty packet."""
        if len(item) > self.largest_item:
            raise NoroshiError(
                "too big to be deferred:",
                on=f"{len(item)} bytes",
                why=f"a packet of {self._limit} bytes has room for {self.largest_item}",
                hint="shorten it, send it at once, or set a larger heartbeat.packet in cluster.yaml",
            )

    def add(self, outgoing: Outgoing) -> None:
        """A stream to pack from now on; one of the same id is replaced."""
        self._outgoing[outgoing.source.stream] = outgoing

    def remove(self, stream: bytes) -> None:
        """The stream is not packed any more; nothing happens where it is not there."""
        self._outgoing.pop(stream, None)
        self.oversized.pop(stream, None)

    def owns(self, stream: bytes) -> bool:
        """Whether it is one of this node's streams."""
        return stream in self._outgoing

    def follow(self, leader: object) -> None:
        """Who leads as heard now, None for nobody: another leader gets all that is unacknowledged again."""
        if leader is not None and leader != self._followed:
            self._followed = leader
            for outgoing in self._for_coordinator():
                outgoing.rewind()
        self._leader = leader

    def acknowledge(self, positions: Mapping[bytes, int]) -> None:
        """Others' streams of which this node took so much, to be told in the next packets."""
        self._acks.add(positions)

    def acknowledged(self, acks: Mapping[bytes, int], sender: str, *, leads: bool, now: float) -> dict[bytes, int]:
        """Acknowledgements out of a packet of `sender`. Those of own streams, from whom they are for, that are news."""
        return {
            stream: position
            for stream, position in acks.items()
            if (outgoing := self._outgoing.get(stream)) is not None
            and (leads if outgoing.to == TO_COORDINATOR else outgoing.to == sender)
            and outgoing.acknowledged(position, now)
        }

    def due(self, now: float) -> float:
        """When a packet should leave ahead of its time because the buffer fills one; infinity where none should.

        Always infinity under `wait`. What is for the coordinator counts only while one is heard.
        """
        if self._overflow == "wait" or not self._is_full():
            return math.inf
        return max(now, self._packed_at + EARLY_SPACING * self._interval)

    def pack(self, header: Header, now: float, *, early: bool = False) -> Packed:
        """The next packet, within the limit; `early` only counts."""
        room = self._limit - _SLACK - _empty_size(header)
        acks_first = header.sequence % 2 == 1
        acks = self._acks.take(room // _ACK_COST) if acks_first else {}
        carried, finished = self._fill(room - len(acks) * _ACK_COST, header.sequence // 2, now)
        if not acks_first:
            acks = self._acks.take((room - sum(_cost(run) for run in carried)) // _ACK_COST)
        self.early += early
        self._packed_at = now
        return Packed(codec.encode(_assemble(header, acks, carried)), carried, finished)

    def _fill(self, room: int, turn: int, now: float) -> tuple[tuple[Run, ...], dict[bytes, int]]:
        carried: list[Run] = []
        finished: dict[bytes, int] = {}
        for outgoing in self._in_turn(turn):
            outgoing.resend_if_due(now, self._interval)
            run = self._next_run(outgoing, room)
            if run is not None:
                room -= _cost(run)
                carried.append(run)
                if done := outgoing.sent(run.last, now):
                    finished[run.stream] = done
        return tuple(carried), finished

    def _next_run(self, outgoing: Outgoing, room: int) -> Run | None:
        entries = outgoing.next_run(max(0, room - _label_cost(outgoing.to)))
        if not entries:
            self._note_oversized(outgoing)
            return None
        first, items = entries[0][0], tuple(item for _, item in entries)
        return Run(outgoing.kind, outgoing.to, outgoing.source.stream, first, outgoing.oldest(first), items)

    def _note_oversized(self, outgoing: Outgoing) -> None:
        head = outgoing.waiting(0)
        if head and len(head[0][1]) > self.largest_item:
            self.oversized[outgoing.source.stream] = head[0][0]
        else:
            self.oversized.pop(outgoing.source.stream, None)

    def _in_turn(self, turn: int) -> list[Outgoing]:
        outgoing = list(self._outgoing.values())
        start = turn % len(outgoing) if outgoing else 0
        return outgoing[start:] + outgoing[:start]

    def _for_coordinator(self) -> Iterator[Outgoing]:
        return (outgoing for outgoing in self._outgoing.values() if outgoing.to == TO_COORDINATOR)

    def _is_full(self) -> bool:
        room = max(self._room - TYPICAL_ITEM, self._room // 2)
        for outgoing in self._outgoing.values():
            held_up = outgoing.source.stream in self.oversized
            if not held_up and (outgoing.to != TO_COORDINATOR or self._leader is not None):
                room -= sum(len(item) + ITEM_COST for _, item in outgoing.waiting(2 * self._room))
                if room < 0:
                    return True
        return False


def _empty_size(header: Header) -> int:
    return len(codec.encode(Packet(header, {}, [], b"")))


def _label_cost(to: str) -> int:
    return _LABEL_COST + len(to.encode())


def _cost(run: Run) -> int:
    return _label_cost(run.to) + sum(len(item) + ITEM_COST for item in run.items)


def _assemble(header: Header, acks: dict[bytes, int], carried: tuple[Run, ...]) -> Packet:
    labels, offset = [], 0
    for run in carried:
        lengths = [len(item) for item in run.items]
        labels.append(Label(run.kind, run.to, run.stream, run.first, run.oldest, offset, lengths))
        offset += sum(lengths)
    return Packet(header, acks, labels, b"".join(item for run in carried for item in run.items))
