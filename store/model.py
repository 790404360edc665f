"""Definitions as values (fig. 8 of the publication): what they match, whom they tell.

Role: the one shape shared by the YAML file, the database (as JSON), the engine and the console.
Rules: frozen; durations are seconds; a definition read back from JSON equals the one written.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Category = Literal["system", "user", "maintenance"]
Procedure = Literal["process", "message", "socket", "default"]
Application = str | list[str] | dict[str, int | str] | None
"""process: [program, argument, ...]; message: {key: …, type: …}; socket: "tcp://host:port"; None: the default."""

FAILURE_EVENT = "notification-failure"


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of fig. 8. `node` None means the coordinator's own node (spec 4.2)."""

    priority: int
    node: str | None = None
    procedure: Procedure = "default"
    application: Application = None
    wait: Literal["exited", "started"] = "exited"
    reply: Literal["none", "required"] = "none"
    timeout: float | None = None
    """Seconds; None takes the definition's."""


class Flap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many changes of one event within so many seconds are flapping."""

    changes: int
    within: float


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No more than so many notifications within so many seconds."""

    count: int
    within: float


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One definition. For kind "event": `event`, `state`; for kind "log": `node`, `source`, `pattern`."""

    name: str
    kind: Literal["event", "log"]
    event: str = "**"
    state: tuple[str, ...] = ()
    """Empty: any state."""
    node: str = "**"
    source: str = "**"
    pattern: str = ""
    """re.search on the line; empty matches every line."""
    duplicates: Literal["suppress", "allow"] = "suppress"
    delivery: Literal["immediate", "deferred"] = "immediate"
    enough: Literal["any", "all"] = "any"
    timeout: float = 10.0
    repeat: float | None = None
    """Seconds; told again until somebody acknowledges it."""
    escalate: float | None = None
    """Seconds; then the next group is told too, although one has delivered, unless somebody acknowledged it."""
    recovery: bool = False
    """Those who heard of it are told when the event has left `state`."""
    flap: Flap | None = None
    limit: Limit | None = None
    notify: tuple[Destination, ...] = ()
    version: int = 0
    """Given by the database; 0 before it is stored."""


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Definition)


def to_json(definition: Definition) -> str:
    """The definition as the database keeps it."""
    return _encoder.encode(definition).decode()


def from_json(text: str | bytes) -> Definition:
    """The inverse of `to_json`. Raises msgspec.DecodeError."""
    return _decoder.decode(text)


_MAINTENANCE = frozenset({"raid", "memory", "bond", "multipath", "smart", "pool", "nic", "hardware"})
_SYSTEM = frozenset(
    {
        "server",
        "path",
        "coordinator",
        "filesystem",
        "block",
        "link",
        "unit",
        "pressure",
        "command",
        "monitor",
        "definition",
        "held-back",
    }
)
_SYSTEM_ALONE = frozenset({"coordinator", FAILURE_EVENT})


def category_of(event: str) -> Category:
    """The category follows from the name (spec 2, design section 5)."""
    head, slash, _ = event.partition("/")
    if event in _SYSTEM_ALONE or (slash and head in _SYSTEM):
        return "system"
    return "maintenance" if slash and head in _MAINTENANCE else "user"
