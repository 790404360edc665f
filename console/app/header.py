"""The top line: cluster, coordinator and term, age of the data; pure."""

from __future__ import annotations

from rich.text import Text

from noroshi.console.queries import Leadership, Status
from noroshi.console.sanitise import visible
from noroshi.console.times import Clockface, age


def header(
    title: str,
    status: Status | None,
    leadership: Leadership | None,
    now: int,
    face: Clockface,
    width: int,
    *,
    watched: bool = True,
) -> Text:
    """One line of `width` cells; what matters less falls away first. `watched`: the data is up to date."""
    left = Text(f" {title}  ", "bold", no_wrap=True, overflow="ellipsis")
    if status is None:
        return left.append("reading …", "none")
    left.append(visible(status.cluster), "bold").append("  ").append_text(_leader(leadership, now, face, width))
    what = "last change" if watched else "data of"
    right = f"{what} {face.short(status.written_at, now)} " if status.written_at else "no data yet "
    room = width - left.cell_len - len(right)
    if room < 1:
        return left
    return left.append(" " * room).append(right)


def _leader(leadership: Leadership | None, now: int, face: Clockface, width: int) -> Text:
    leader = leadership.leader if leadership else None
    if leader is None or leadership is None or not leadership.held:
        return Text("✖ NO COORDINATOR", "bold reverse")
    text = Text("coordinator ").append(visible(leader.node), "bold").append(f" term {leader.term}")
    since = min(leader.since, now)
    if width >= 100:
        return text.append(f" since {face.short(leader.since, now)} ({age(since, now)})")
    return text.append(f" for {age(since, now)}") if width >= 70 else text
