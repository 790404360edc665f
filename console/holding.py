"""What keeps notifications back, in words: one line of it all, and a note for each row it concerns; pure.

Rules: every text that is returned has passed the sanitiser, but for the notes, which a row sanitises with the rest.
"""

from __future__ import annotations

from collections.abc import Iterable

from noroshi.console.severity import Severity, severity_of
from noroshi.console.times import Clockface
from noroshi.store.silences import Silence, covering_event
from noroshi.store.views import Holding, NodeState, State

USELESS = "holds nothing back, and the next leader ends it"
"""Said of what stands in a damaged row."""


def in_force(silences: Iterable[Silence], now: int) -> tuple[Silence, ...]:
    """Those that have begun and are not over."""
    return tuple(one for one in silences if one.begun_at <= now < one.until)


def planned(silences: Iterable[Silence], now: int) -> tuple[Silence, ...]:
    """Those that are to begin."""
    return tuple(one for one in silences if now < one.begun_at)


def summary(holding: Holding, now: int) -> str:
    """2 silences, 1 node in maintenance; empty where nothing is held back, nor will be."""
    standing = in_force(holding.silences, now)
    kinds = [row.kind for row in holding.holds]
    counts = (
        (sum(bool(one.pattern) for one in standing), "silence", "silences"),
        (len({one.node for one in standing if one.node}), "node in maintenance", "nodes in maintenance"),
        (kinds.count("flap"), "flapping", "flapping"),
        (len(kinds) - kinds.count("flap"), "limit reached", "limits reached"),
        (len(planned(holding.silences, now)), "planned", "planned"),
        (len(holding.damaged), "damaged row", "damaged rows"),
    )
    return ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in counts if count)


def state_note(row: State, standing: tuple[Silence, ...]) -> str:
    """Who has taken it on, and whether nobody is told of it: `ack ann, silenced`; empty for what is good and sound."""
    parts = ["DAMAGED ROW"] if row.damaged else []
    parts += [f"ack {row.owner}"] if row.owner else []
    if (one := silencing(row, standing)) is not None:
        parts.append("silenced" if one.pattern else "maintenance")
    return ", ".join(parts)


def silencing(row: State, standing: tuple[Silence, ...]) -> Silence | None:
    """What keeps it from being told; of what is good nobody wants to know."""
    if not standing or severity_of(row.state) is Severity.GOOD:
        return None
    return covering_event(standing, row.event, row.node)


def node_note(node: NodeState, silences: tuple[Silence, ...], now: int, face: Clockface) -> str:
    """Its maintenance, now or to come: until when, whose, why; empty mostly."""
    here = [one for one in silences if one.node == node.node]
    if standing := in_force(here, now):
        longest = max(standing, key=lambda one: one.until)
        return f"maintenance until {face.short(longest.until, now)}, {whose(longest)}"
    if coming := planned(here, now):
        first = min(coming, key=lambda one: one.begun_at)
        return f"maintenance from {face.short(first.begun_at, now)}, {whose(first)}"
    return ""


def whose(one: Silence) -> str:
    """ann: disk swap."""
    return f"{one.author}: {one.comment}" if one.comment else one.author
