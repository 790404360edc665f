"""What holds notifications back, whole, as the detail screen shows it; and the job behind it. Pure but for the job."""

from __future__ import annotations

from collections.abc import Iterator

from textual.message import Message

from noroshi.console.app.detail import Fields, damage
from noroshi.console.app.messages import DetailRead
from noroshi.console.holding import USELESS, in_force, planned
from noroshi.console.queries import Queries
from noroshi.console.severity import severity_of
from noroshi.console.times import Clockface, age
from noroshi.store.silences import Silence
from noroshi.store.tables.holds import HoldRow
from noroshi.store.views import Acknowledged, Held, WholeHolding, WholeSilence

HOLDING = "holding"
"""The key of the detail."""

NAMED = 8
"""Names that are listed of what a silence covers, or has held back."""

KINDS = {"flap": "flapping", "limit": "limit reached", "overall": "overall limit"}


def holding_detail(found: WholeHolding, now: int, face: Clockface) -> Fields:
    """Silences and maintenance now, what began by itself, what is planned, who has acknowledged what."""
    now_on = {one.id for one in in_force((whole.silence for whole in found.silences), now)}
    to_come = {one.id for one in planned((whole.silence for whole in found.silences), now)}
    groups = (
        ("IN FORCE", [_silence(one, now, face) for one in found.silences if one.silence.id in now_on]),
        ("BY THEMSELVES", [_hold(row, held, now, face) for row, held in found.holds]),
        ("PLANNED", [_silence(one, now, face) for one in found.silences if one.silence.id in to_come]),
        ("ACKNOWLEDGED", [_acknowledged(one, now, face) for one in found.acknowledged]),
        ("DAMAGED", [[(name, f"{why}: {USELESS}")] for name, why in found.damaged]),
    )
    fields: Fields = []
    for title, members in groups:
        if members:
            fields += [(title, ""), *(field for member in members for field in member), ("", "")]
    return fields or [("", "nothing is held back, and nothing is planned"), ("", ""), *_how()]


def _how() -> Fields:
    return [
        ("to silence", "noroshi silence add PATTERN --for 2h --comment WHY   (--dry-run shows what it covers)"),
        ("", "noroshi maintenance NODE --for 2h --comment WHY"),
    ]


def _silence(whole: WholeSilence, now: int, face: Clockface) -> Fields:
    one = whole.silence
    name, ends = (f"silence {one.id}", f"noroshi silence remove {one.id}")
    if one.node:
        name, ends = "maintenance", f"noroshi maintenance {one.node} --end"
    why = f": {one.comment}" if one.comment else ""
    return [
        (name, f"{one.pattern or one.node}  by {one.author}{why}"),
        ("", _span(one, now, face)),
        ("", _covers(whole)),
        *(_held(whole.held) if one.begun_at <= now else []),
        ("", f"to end it: {ends}"),
    ]


def _span(one: Silence, now: int, face: Clockface) -> str:
    if one.begun_at > now:
        return f"from {face.short(one.begun_at, now)} (in {age(now, one.begun_at)}) until {face.short(one.until, now)}"
    return f"since {face.short(one.begun_at, now)} until {face.short(one.until, now)}, another {age(now, one.until)}"


def _covers(whole: WholeSilence) -> str:
    worst_first = sorted(whole.states, key=lambda row: severity_of(row.state))
    names = [f"{row.event} {row.state}" for row in worst_first] + list(whole.sources)
    if names:
        return f"covers {_some(names)}"
    return "covers no state and no source there is" + ("; is it spelt right?" if whole.silence.pattern else "")


def _held(held: Held) -> Fields:
    if not held.rows:
        return [("", "has held nothing back so far")]
    total = f"{held.total:,}" + (" and more" if held.more else "")
    return [("", f"has held back {total}: " + _some([f"{name} {count} ({of})" for of, name, count in held.rows]))]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _hold(row: HoldRow, held: Held, now: int, face: Clockface) -> Fields:
    what = {"flap": f"{row.event}, for {row.definition}", "limit": row.definition, "overall": "of all together"}
    until = "until it is calm" if row.until is None else f"until {face.short(row.until, now)}"
    since = f"since {face.short(row.since, now)} ({age(row.since, now)}) {until}; one summary tells how much it was"
    return [(KINDS[row.kind], what[row.kind]), ("", since), *_held(held)]


def _acknowledged(one: Acknowledged, now: int, face: Clockface) -> Fields:
    by = one.acknowledgement
    until = "while that lasts" if by.until is None else f"until {face.short(by.until, now)}"
    why = f": {by.comment}" if by.comment else ""
    when = f"since {face.short(by.created_at, now)} ({age(by.created_at, now)}) {until}; no repeat, no escalation"
    return [("taken on", f"{one.event} {one.state}  by {by.author}{why}"), ("", when), *damage(one.damaged)]


def holding_job(queries: Queries) -> Iterator[Message]:
    """Read it."""
    yield DetailRead(HOLDING, holding=queries.whole_holding())
