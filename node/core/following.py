"""After it was told: repeat until acknowledged, timed escalation, recovery to those who heard (spec 7).

Role: the life of a trouble. One is opened when a definition that asks for any of this is notified of an event, and
ends when the event leaves the states of that definition. Pure; the instants are microseconds UTC, because they are
kept in the database and outlive a coordinator.

    open --again--> open            the event changed within the definition's states: told anew, timers begin anew
    open --left--> ended            nobody is being told: those who heard are told that it is over
    open --left--> recovering       a delivery is still out, and nobody knows yet who will have heard
    recovering --settled--> ended   the last answer is in: those who heard are told
    recovering --again--> open      it came back before: the trouble goes on, and one recovery will end it

Rules: an acknowledgement stops the timers; its end starts them. A repeat begins with the group that the last
escalation reached (the first one before any), and goes on from there by fig. 7. An escalation tells the groups behind
the one that delivered. Neither runs while another notification of the trouble is under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import msgspec

from noroshi.node.core.notification import in_order
from noroshi.node.core.subject import Notice
from noroshi.store.model import Definition, Destination

Status = Literal["open", "recovering", "ended"]


class Happened(StrEnum):
    """What moves a trouble."""

    AGAIN = "the event changed within the definition's states"
    LEFT = "the event left the definition's states"
    LEFT_MEANWHILE = "the event left the definition's states while somebody was being told"
    SETTLED = "nobody is being told any more"


TABLE: Mapping[tuple[Status, Happened], Status] = MappingProxyType(
    {
        ("open", Happened.AGAIN): "open",
        ("open", Happened.LEFT): "ended",
        ("open", Happened.LEFT_MEANWHILE): "recovering",
        ("open", Happened.SETTLED): "open",
        ("recovering", Happened.AGAIN): "open",
        ("recovering", Happened.LEFT): "ended",
        ("recovering", Happened.LEFT_MEANWHILE): "recovering",
        ("recovering", Happened.SETTLED): "ended",
    }
)


class Trouble(msgspec.Struct, frozen=True):
    """`floor`: the priority a repeat begins with; `reached`: the last priority told; 0 is before the first."""

    id: int
    definition: str
    event: str
    opened_at: int
    status: Status = "open"
    floor: int = 0
    reached: int = 0
    repeat_at: int | None = None
    escalate_at: int | None = None

    @property
    def next_at(self) -> int | None:
        """When something is due."""
        return min((at for at in (self.repeat_at, self.escalate_at) if at is not None), default=None)


def follows(definition: Definition) -> bool:
    """Whether a definition asks for any of this."""
    return definition.repeat is not None or definition.escalate is not None or definition.recovery


def moved(trouble: Trouble, happened: Happened) -> Trouble:
    """The trouble after it; told anew or over, its timers are off."""
    after = TABLE[trouble.status, happened]
    if happened is Happened.AGAIN:
        return msgspec.structs.replace(trouble, status=after, floor=0, reached=0, repeat_at=None, escalate_at=None)
    if after == "open":
        return trouble
    return msgspec.structs.replace(trouble, status=after, repeat_at=None, escalate_at=None)


def told(
    trouble: Trouble, definition: Definition, notice: Notice, delivered: int | None, at: int, *, acknowledged: bool
) -> Trouble:
    """A notification of an open trouble has ended: `delivered` is the priority that delivered, None where none did.

    Where none did every group has been tried, so there is nothing to escalate to.
    """
    last = in_order(definition)[-1].priority
    reached = max(trouble.reached, last if delivered is None else delivered)
    after = msgspec.structs.replace(trouble, reached=reached)
    return after if acknowledged else timed(after, definition, at, keep=notice == "repeat")


def timed(trouble: Trouble, definition: Definition, at: int, *, keep: bool = False) -> Trouble:
    """The timers begin now; `keep` leaves that of the escalation as it is, for a repeat does not put it off."""
    escalate_at = trouble.escalate_at if keep else None
    if not keep and definition.escalate is not None and behind(trouble, definition):
        escalate_at = at + _us(definition.escalate)
    repeat_at = None if definition.repeat is None else at + _us(definition.repeat)
    return msgspec.structs.replace(trouble, repeat_at=repeat_at, escalate_at=escalate_at)


def untimed(trouble: Trouble) -> Trouble:
    """Acknowledged, or no longer asked for: the timers are off."""
    return msgspec.structs.replace(trouble, repeat_at=None, escalate_at=None)


def behind(trouble: Trouble, definition: Definition) -> tuple[Destination, ...]:
    """The destinations of the groups that were not reached yet."""
    return tuple(one for one in in_order(definition) if one.priority > trouble.reached)


class Due(msgspec.Struct, frozen=True):
    """Notify now: why, and which destinations; `trouble` as it is from now on."""

    notice: Literal["repeat", "escalation"]
    destinations: tuple[Destination, ...]
    trouble: Trouble


def due(trouble: Trouble, definition: Definition, at: int) -> Due | None:
    """What an open trouble asks for at `at`. An escalation goes before a repeat, which then waits for its end."""
    if trouble.escalate_at is not None and trouble.escalate_at <= at:
        further = behind(trouble, definition)
        if further:
            after = msgspec.structs.replace(trouble, floor=further[0].priority, repeat_at=None, escalate_at=None)
            return Due("escalation", further, after)
    if trouble.repeat_at is not None and trouble.repeat_at <= at:
        from_floor = tuple(one for one in in_order(definition) if one.priority >= trouble.floor)
        after = msgspec.structs.replace(trouble, repeat_at=None)
        return Due("repeat", from_floor or in_order(definition), after)
    return None


def postponed(trouble: Trouble, at: int, until: int) -> Trouble:
    """What is due at `at` waits until a silence ends."""
    times = {"repeat_at": trouble.repeat_at, "escalate_at": trouble.escalate_at}
    later = {name: until if time is not None and time <= at else time for name, time in times.items()}
    return msgspec.structs.replace(trouble, **later)


def hastened(trouble: Trouble, until: int, at: int) -> Trouble:
    """A silence that was to last until `until` has ended at `at`: so has the wait for it."""
    times = {"repeat_at": trouble.repeat_at, "escalate_at": trouble.escalate_at}
    return msgspec.structs.replace(trouble, **{name: at if time == until else time for name, time in times.items()})


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
