"""Every message that crosses a ZeroMQ socket or the coordinator's link, typed.

Rules: frozen Structs, MessagePack, decoding validates. Instants are microseconds UTC, durations seconds, stream ids
16 random bytes, incarnations 8. The codec (`codec.py`) turns bytes that do not fit into `BadMessage`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

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


class LogPart(msgspec.Struct, frozen=True, array_like=True):
    """The selected lines of bytes [start, end) of one incarnation of one source, in file order."""

    stream: bytes
    source: str
    start: int
    end: int
    observed_at: int
    lines: list[str]


class LogBatch(msgspec.Struct, frozen=True, tag="logs"):
    """Parts of any number of sources; taken or refused part by part."""

    parts: list[LogPart]


class ImportDefinitions(msgspec.Struct, frozen=True, tag="import"):
    """The text of a definitions file; `dry_run` only says what would change; `prune` removes what it lacks."""

    text: str
    file: str
    author: str
    dry_run: bool = False
    prune: bool = False


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks who leads; answered by `Acknowledged` with no positions."""


RequestBody = EventBatch | LogBatch | ImportDefinitions | Ping


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

    code: Literal["not-leader", "protocol", "cluster", "identity", "bad-message", "definitions", "busy", "disk"]
    message: str
    hint: str = ""


Reply = Acknowledged | Changed | Refused


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


# --- the coordinator's link to its own daemon (run/coordinator.sock, framed) --------------------------------------


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """Daemon to coordinator, first on the link: who the daemon is."""

    protocol: int
    cluster: str
    node: str
    incarnation: bytes


class PeerView(msgspec.Struct, frozen=True, array_like=True):
    """What one node hears of all, in the order of the cluster file: bytes of two-bit states (core.membership)."""

    node: str
    incarnation: bytes
    view: bytes


class Views(msgspec.Struct, frozen=True, tag="views"):
    """Daemon to coordinator, each period: its own view first, then those of the peers it hears within suspect time.

    `stopped` names the nodes that said goodbye. `settled` is false while the daemon judges nobody (after a pause).
    """

    views: list[PeerView]
    stopped: list[str]
    settled: bool


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """Daemon to coordinator: deferred items that came in packets, for one node's stream."""

    node: str
    batch: EventBatch


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


ToCoordinator = Hello | Views | Heard | Beat
ToDaemon = Leading | Positions | Beat
