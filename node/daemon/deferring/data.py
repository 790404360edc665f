"""The users' own data (spec 5, §62): put in at one node's local socket, taken out at the others', in the packets.

On the local socket (`agent.sock`, one line of JSON each):
  {"verb": "put", "to": "db2", "data": "text"}     for one node, or with "to": "*" for all others
  {"ok": true}                                     it is buffered; it leaves with the next periodic packet
  {"verb": "take", "wait": 10}                     what has come for this node, waiting so many seconds (default 0)
  {"ok": true, "from": "db1", "data": "text"}      the oldest; each piece is given to one taker
  {"ok": true, "from": null, "data": null}         nothing has come

Rules: in memory, bounded, for what may be lost with a daemon. Data of one sender for one node arrives once and in its
order, and is kept until that node has it; data for all rides in three packets and nobody acknowledges it. Where the
buffer to a node is full a put is refused; where nobody takes out here, what is for this node waits at its sender, and
what was for all is dropped and counted. Nothing is packed for a node that is down.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from noroshi.node.core.deferred import COPIES, Buffer, Inbox, Outgoing
from noroshi.node.core.membership import PeerState
from noroshi.node.core.packet import TO_ALL, Kind, Run
from noroshi.node.daemon.deferring.outbox import Packets
from noroshi.node.daemon.lines import Said, refusal
from noroshi.node.wire.raising import BadRequest

OUTGOING_MOST = 256 * 1024
"""Bytes that wait for one addressee."""

INCOMING_MOST = 1024 * 1024
"""Bytes that wait for a taker on this node."""

WAIT_MOST = 3600.0
"""Seconds."""

_OK = Said(b'{"ok": true}\n')
_GONE = (PeerState.DOWN, PeerState.STOPPED)


class Data:
    """`put` and `take` are verbs of the local socket; `heard` and `acknowledged` come from the packets."""

    def __init__(self, nodes: tuple[str, ...], packets: Packets) -> None:
        self.dropped = 0
        """Pieces for all that nobody here took out in time."""
        self._nodes, self._packets = nodes, packets
        self._gone: set[str] = set()
        self._lanes: dict[str, Outgoing] = {}
        self._buffers: dict[str, Buffer] = {}
        self._inbox = Inbox()
        self._come: deque[tuple[str, bytes]] = deque()
        self._size = 0
        self._takers: dict[Taking, None] = {}
        self._closed = False

    @property
    def waiting(self) -> int:
        """Bytes that wait for others."""
        return sum(buffer.size for buffer in self._buffers.values())

    # --- verbs ----------------------------------------------------------------------------------------------------

    def put(self, request: dict[str, object]) -> Said:
        """Raises BadRequest."""
        fields_of(request, ("to", "data"))
        to, data = request.get("to"), request.get("data")
        if not isinstance(to, str) or (to != TO_ALL and to not in self._nodes):
            raise BadRequest(f"no such addressee: {to!r}", f'"*" for all, or one of {", ".join(self._nodes)}')
        if not isinstance(data, str):
            raise BadRequest("data must be text", "encode what is not, for example as base64")
        item, most = _bytes(data), self._packets.packer.largest_item
        if len(item) > most:
            raise BadRequest(f"too big: {len(item)} bytes, a packet carries {most}", "put it in pieces")
        buffer = self._buffer(to)
        if buffer.size + len(item) > OUTGOING_MOST:
            return Said(refusal(f"too much waits for {to}: {buffer.size} bytes", "try again after some packets"))
        buffer.append(item)
        self._packets.poke()
        return _OK

    def take(self, request: dict[str, object]) -> Taking:
        """Raises BadRequest."""
        fields_of(request, ("wait",))
        wait = request.get("wait", 0)
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= WAIT_MOST:
            raise BadRequest(f"wait must be a number of seconds from 0 to {WAIT_MOST:g}")
        return Taking(self, 0.0 if self._closed else wait)

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed = True
        for taking in list(self._takers):
            taking.end()

    # --- packets --------------------------------------------------------------------------------------------------

    def heard(self, node: str, run: Run) -> None:
        """A run of data for this node, or for all."""
        if run.to != TO_ALL and self._size + sum(map(len, run.items)) > INCOMING_MOST:
            return  # not acknowledged: it is sent again
        taken = self._inbox.take(run)
        if run.to != TO_ALL:
            self._packets.acknowledge({run.stream: taken.position})
        for item in taken.items:
            if self._size + len(item) > INCOMING_MOST:
                self.dropped += 1
                continue
            self._come.append((node, item))
            self._size += len(item)
        for taking in list(self._takers):
            taking.look()

    def acknowledged(self, positions: Mapping[bytes, int]) -> None:
        """Addressees have taken so much of these streams; or it went out often enough."""
        for buffer in self._buffers.values():
            if (position := positions.get(buffer.stream)) is not None:
                buffer.acknowledged(position)

    def changed(self, node: str, state: PeerState) -> None:
        """How this node hears another one now."""
        lane = self._lanes.get(node)
        if state in _GONE:
            self._gone.add(node)
            if lane is not None:
                self._packets.packer.remove(lane.source.stream)
        elif node in self._gone:
            self._gone.discard(node)
            if lane is not None:
                lane.rewind()
                self._packets.packer.add(lane)

    def _buffer(self, to: str) -> Buffer:
        if to not in self._buffers:
            self._buffers[to] = Buffer(os.urandom(16), 2 * OUTGOING_MOST)
            lane = self._lanes[to] = Outgoing(self._buffers[to], Kind.DATA, to, copies=COPIES if to == TO_ALL else 0)
            if to not in self._gone:
                self._packets.packer.add(lane)
        return self._buffers[to]

    # --- for the takers -------------------------------------------------------------------------------------------

    @property
    def any(self) -> bool:
        """Whether something has come."""
        return bool(self._come)

    def next(self) -> tuple[str, bytes] | None:
        """The oldest of what has come, taken out."""
        if not self._come:
            return None
        node, item = self._come.popleft()
        self._size -= len(item)
        return node, item

    def waits(self, taking: Taking) -> None:
        self._takers[taking] = None

    def left(self, taking: Taking) -> None:
        self._takers.pop(taking, None)


class Taking:
    """The answer to a take: decided when something is there, or the time is over. Nothing is taken out before the
    answer is written, so that a taker that went away takes nothing with it."""

    def __init__(self, data: Data, wait: float) -> None:
        self._data = data
        self._ended = wait <= 0
        self._waiter: Callable[[], None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        if not self.decided:
            self._alarm = asyncio.get_running_loop().call_later(wait, self.end)

    @property
    def decided(self) -> bool:
        return self._ended or self._data.any

    def call(self, waiter: Callable[[], None]) -> None:
        self._waiter = waiter
        self._data.waits(self)

    def look(self) -> None:
        """Something has come; another taker may be quicker."""
        if self._waiter is not None:
            self._waiter()

    def end(self) -> None:
        """The time is over."""
        self._ended = True
        self._data.left(self)
        self.look()

    def line(self) -> bytes:
        if self._alarm is not None:
            self._alarm.cancel()
        self._data.left(self)
        node, item = self._data.next() or (None, None)
        data = None if item is None else item.decode(errors="replace")
        return msgspec.json.encode({"ok": True, "from": node, "data": data}) + b"\n"


def fields_of(request: Mapping[str, object], fields: tuple[str, ...]) -> None:
    """Whether a request has no other fields. Raises BadRequest."""
    for field in request.keys() - fields:
        raise BadRequest(f"unknown field {field!r}", f"the fields are {', '.join(fields) or 'none'}")


def _bytes(data: str) -> bytes:
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("the data is no valid Unicode text", "send it as UTF-8") from error
