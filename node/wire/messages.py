"""Every message that crosses a ZeroMQ socket or the coordinator's link, typed.

Rules: frozen Structs, MessagePack, decoding validates. Instants are microseconds UTC, durations seconds, stream ids
16 random bytes, incarnations 8. The codec (`codec.py`) turns bytes that do not fit into `BadMessage`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.operating import Begun, Operation
from noroshi.store.model import Application, Procedure

PROTOCOL = 1
"""Raised when an older program could misread a newer one's messages; a peer of another protocol is refused."""

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes; MAXMSGSIZE of every socket."""


# --- streams: node -> coordinator (REQ on port+2) ---------------------------------------------------------------


class Report(msgspec.Struct, frozen=True, array_like=True):
    """One event as a node saw it (spec 2). `sequence` counts from 1 within its stream."""

    sequence: int
    event: str
    state: str
    supplement: str
    observed_at: int


class EventBatch(msgspec.Struct, frozen=True, tag="events"):
    """Reports of one stream, in order; `oldest` is the oldest sequence the node still keeps."""

    stream: bytes
    first: int
    oldest: int
    reports: list[Report]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """So many selected lines were held back by the rate limit `limit`, as node.yaml writes it.

    `ends`: the offset behind each, in a part that is still to be split; no packet carries them.
    """

    lines: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    limit: str
    ends: list[int] = []


class LogPart(msgspec.Struct, frozen=True, array_like=True):
    """The selected lines (or records of several lines) of bytes [start, end) of one incarnation of one source, in
    file order.

    `ends`: the offset behind each line, where the lines are deferred: such a part may be split, and whoever has taken
    some of it tells the rest apart. Empty otherwise. `times`: the time each line gives, 0 where it gives none; empty:
    none does. `held`: what was held back among these bytes.
    """

    stream: bytes
    source: str
    start: int
    end: int
    observed_at: int
    lines: list[str]
    ends: list[int] = []
    times: list[Annotated[int, msgspec.Meta(ge=0, le=2**62)]] = []
    held: Held | None = None


class LogBatch(msgspec.Struct, frozen=True, tag="logs"):
    """Parts of any number of sources; taken or refused part by part."""

    parts: list[LogPart]


class LineBatch(msgspec.Struct, frozen=True, tag="deferred-logs"):
    """Deferred lines of one node, in order, as `EventBatch` has events: what is taken is told by the sequence.

    They come out of packets; with a line that is too big for one they are sent at once, all that waits before it too.
    """

    stream: bytes
    first: int
    oldest: int
    parts: list[LogPart]


class ImportDefinitions(msgspec.Struct, frozen=True, tag="import"):
    """The text of a definitions file; `prune` removes what it lacks.

    `seen`: the newest version of each name as the author saw it (names that were not there are left out); where
    another is there now nothing is taken, and `Refused` tells both changes. None: whatever is there is replaced.
    `note` says how it came about, where it was no import of `file`.
    """

    text: str
    file: str
    author: str
    prune: bool = False
    seen: dict[str, int] | None = None
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks who leads; answered by `Acknowledged` with no positions."""


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """A backup is made: no checkpoint for so many seconds, within the coordinator's own bounds."""

    seconds: float


RequestBody = EventBatch | LogBatch | LineBatch | ImportDefinitions | Operation | Ping | Hold


class Request(msgspec.Struct, frozen=True):
    """What a node or a console asks of the coordinator. A console sends an empty incarnation."""

    protocol: int
    cluster: str
    node: str
    incarnation: bytes
    body: RequestBody


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """Given after the commit: the last sequence (events) or offset (logs) taken of each stream named."""

    term: int
    positions: dict[bytes, int] = {}


class Changed(msgspec.Struct, frozen=True, tag="changed"):
    """What an import changed, or would: one line a definition."""

    term: int
    lines: list[str]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Nothing was taken. `code` for programs, `message` and `hint` for people."""

    code: Literal[
        "not-leader",
        "protocol",
        "cluster",
        "identity",
        "bad-message",
        "definitions",
        "conflict",
        "unknown",
        "busy",
        "disk",
    ]
    message: str
    hint: str = ""


Reply = Acknowledged | Changed | Begun | Refused


# --- deliveries: coordinator -> node (DEALER to ROUTER on port+1) ------------------------------------------------


class Deliver(msgspec.Struct, frozen=True, tag="deliver"):
    """One delivery. `delivery` is random, kept over take-overs; a repeat is answered from the node's record.

    `payload` is the JSON object for the application; `timeout` in seconds is the node's own limit.
    """

    protocol: int
    cluster: str
    term: int
    delivery: str
    procedure: Procedure
    application: Application
    wait: Literal["exited", "started"]
    reply: Literal["none", "required"]
    timeout: float
    payload: bytes


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """How a delivery went; `output` is the last of what the program printed, or the application's answer."""

    delivery: str
    outcome: Literal["delivered", "failed"]
    reason: str
    output: str = ""


class OutcomeBatch(msgspec.Struct, frozen=True, tag="outcomes"):
    """How deferred deliveries went on one node, in order, as `EventBatch` has events."""

    stream: bytes
    first: int
    oldest: int
    answers: list[Answer]


# --- the coordinator's link to its own daemon (run/coordinator.sock, framed) --------------------------------------


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Daemon to coordinator, first on the link: who the daemon is.

    `item_most`: bytes of the largest item that an empty packet of its carries. `keys`: with `security: curve`.
    """

    protocol: int
    cluster: str
    node: str
    incarnation: bytes
    item_most: int = 0
    keys: Keyring | None = None


class PeerView(msgspec.Struct, frozen=True, array_like=True):
    """What one node hears of all, in the order of the cluster file: bytes of two-bit states (core.membership)."""

    node: str
    incarnation: bytes
    view: bytes


class Views(msgspec.Struct, frozen=True, tag="views"):
    """Daemon to coordinator, each period: its own view first, then those of the peers it hears within suspect time.

    `stopped` names the nodes that said goodbye. `settled` is false while the daemon judges nobody (after a pause).
    `leader_term`: of the leader heard within the down time, 0 where none is.
    """

    views: list[PeerView]
    stopped: list[str]
    settled: bool
    leader_term: int = 0


class Unfit(msgspec.Struct, frozen=True, tag="unfit"):
    """An item of a deferred stream that cannot be read, or not be worked on: its bytes as they rode, and why.

    `first` is its sequence, `oldest` as in the batches; `kind` is the stream's.
    """

    stream: bytes
    first: int
    oldest: int
    kind: Literal["deferred", "deferred-logs", "outcomes"]
    body: bytes
    why: str


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """Daemon to coordinator: deferred items that came in packets, for one node's stream."""

    node: str
    batch: EventBatch | LineBatch | OutcomeBatch | Unfit


class Left(msgspec.Struct, frozen=True, tag="left"):
    """Daemon to coordinator: these deferred deliveries went out in a packet; now their time limits begin (spec 5)."""

    deliveries: list[str]


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """Both ways: I am alive; the daemon ends a coordinator that stops answering."""

    number: int


class Leading(msgspec.Struct, frozen=True, tag="leading"):
    """Coordinator to daemon: the role is held; packets carry it from now on."""

    term: int
    endpoint: str
    since: int


class Positions(msgspec.Struct, frozen=True, tag="positions"):
    """Coordinator to daemon: acknowledgements of deferred streams, to ride in its packets."""

    positions: dict[bytes, int]


class Carry(msgspec.Struct, frozen=True, tag="carry"):
    """Coordinator to daemon: a deferred delivery for `node`, to ride in the daemon's packets."""

    node: str
    message: Deliver


class Withdraw(msgspec.Struct, frozen=True, tag="withdraw"):
    """Coordinator to daemon: `node` is gone, and with it what was to be carried to it."""

    node: str


class Busy(msgspec.Struct, frozen=True, tag="busy"):
    """Coordinator to daemon: a long step begins; no answer for so many seconds is no reason to end it."""

    seconds: float


ToCoordinator = Hello | Views | Heard | Left | Beat
ToDaemon = Leading | Positions | Carry | Withdraw | Beat | Busy
