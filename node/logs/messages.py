"""What travels between the node daemon and its log monitor, framed, over the socket the monitor has as standard input.

Rules: as in `wire.messages`. The daemon sends `Settings` first, once. The link is the monitor's life: when it closes,
the monitor saves its positions and ends.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from noroshi.node.wire.codec import Codec
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import LogPart


class Record(msgspec.Struct, frozen=True):
    """How lines make records: a record begins where `start` is found; without it, where a line is not indented.

    Without a further line for `timeout` seconds it is complete as it stands.
    """

    start: str | None
    timeout: float


class Limit(msgspec.Struct, frozen=True):
    """So many lines in so many seconds, and `burst` at once; `text` is how node.yaml writes it."""

    lines: int
    seconds: int
    burst: int
    text: str


class Rule(msgspec.Struct, frozen=True):
    """One entry of `logs:` in node.yaml."""

    path: str
    select: list[str] = []
    except_: list[str] = []
    deferred: bool = False
    encoding: str = "utf-8"
    record: Record | None = None
    limit: Limit | None = None


class JournalRule(msgspec.Struct, frozen=True):
    """An entry of `logs:` that names the systemd journal. No `command`: the journalctl in the search path."""

    command: list[str] = []
    units: list[str] = []
    priority: str | None = None
    select: list[str] = []
    except_: list[str] = []
    deferred: bool = False


class Timing(msgspec.Struct, frozen=True):
    """How often things are done and how long they may take, in seconds; `block`, `line` and `lines` are CPU seconds."""

    quiet: float = 1.0
    """Between two looks at a file that is not written; twice that where it has not been for long."""
    active: float = 0.2
    """Between two looks at one that is."""
    rescan: float = 5.0
    """Between two evaluations of the wildcards; more where an evaluation takes long."""
    save: float = 0.5
    """Between two savings of the positions while lines are acknowledged."""
    beat: float = 1.0
    """Between two signs of life."""
    reply: float = 4.0
    """Until a batch without an answer is sent again."""
    partial: float = 2.0
    """Until the last line of a rotated file counts as complete without its newline."""
    block: float = 0.25
    line: float = 0.05
    lines: float = 1.0
    strikes: int = 8
    """So many lines a pattern may run out of time on, in one file, before it is set aside."""


class Settings(msgspec.Struct, frozen=True, tag="settings"):
    """All the monitor is told at its start. `state` is the node's state directory."""

    state: str
    cluster: str
    node: str
    incarnation: bytes
    rules: list[Rule]
    timing: Timing = Timing()
    unsure: bool = False
    """Whether the daemon has told something bad about an earlier life, to be taken back once all is well."""
    keys: Keyring | None = None
    journals: list[JournalRule] = []


class Leader(msgspec.Struct, frozen=True, tag="leader"):
    """Where the coordinator listens now; None: nobody leads."""

    endpoint: str | None


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """The answer to `Deferred`: the daemon has the stream's lines up to this offset on its disk."""

    stream: bytes
    position: int


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """A sign of life with what was counted since the start; `files` is how many are followed now."""

    files: int
    counts: dict[str, int]


class Raise(msgspec.Struct, frozen=True, tag="raise"):
    """Please raise the event `monitor/NODE/logs`."""

    state: Literal["OK", "WARNING", "ERROR"]
    supplement: str


class Deferred(msgspec.Struct, frozen=True, tag="deferred"):
    """Lines of a `deferred: true` rule, for the periodic packets. Sent again until `Taken` has their end."""

    part: LogPart


ToMonitor = Settings | Leader | Taken
FromMonitor = Alive | Raise | Deferred

to_monitor: Codec[ToMonitor] = Codec(ToMonitor)
from_monitor: Codec[FromMonitor] = Codec(FromMonitor)
