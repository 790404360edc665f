"""What the detail screen shows, as pairs of name and text; and the jobs that fetch the rest. Pure but for the jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.message import Message

from noroshi.console.app.messages import DetailRead
from noroshi.console.app.reading import Job
from noroshi.console.queries import Queries
from noroshi.console.times import Clockface, age
from noroshi.store.silences import Silence
from noroshi.store.views import Event, EventFilter, LogLine, NodeState, State, Term

Fields = list[tuple[str, str]]
"""Names and raw texts; the screen sanitises."""

TERMS = "terms"
"""The key of the detail that shows who led."""

PAST = 50
"""Events of a name that are listed."""


def node_detail(node: NodeState, now: int, face: Clockface, as_of: int | None = None) -> Fields:
    """A node; `as_of` None while somebody watches it."""
    return [
        ("node", node.node),
        ("state", _state(node.state, now, face, as_of)),
        ("since", _at(node.since, now, face)),
        *damage(node.damaged),
    ]


def damage(damaged: str) -> Fields:
    """What stands in the row where it cannot, as a bad disk leaves it; nothing of a sound row."""
    return [("DAMAGED ROW", damaged)] if damaged else []


def silence_detail(covering: Iterable[Silence], face: Clockface) -> Fields:
    """What keeps it from being told, one each."""
    return [("silenced", f"{one}, from {face.full(one.begun_at)} until {face.full(one.until)}") for one in covering]


def state_detail(row: State, now: int, face: Clockface, as_of: int | None = None) -> Fields:
    """A row of the state table; `as_of` None while somebody watches it."""
    until = "while that lasts" if row.acknowledged_until is None else f"until {face.full(row.acknowledged_until)}"
    why = f": {row.comment}" if row.comment else ""
    acknowledged = [("acknowledged", f"by {row.owner}, {until}{why}")] if row.owner else []
    return [
        ("event", row.event),
        ("state", _state(row.state, now, face, as_of)),
        ("category", row.category),
        ("seen by", row.node),
        ("since", _at(row.observed_at, now, face)),
        ("stored", _at(row.stored_at, now, face)),
        ("last reported", _at(row.seen_at, now, face)),
        ("reports", str(row.count)),
        ("supplement", row.supplement or "-"),
        *acknowledged,
        *damage(row.damaged),
    ]


def line_detail(line: LogLine, now: int, face: Clockface) -> Fields:
    """A line of the log, whole."""
    return [
        ("node", line.node),
        ("source", line.source),
        ("own time", "-" if line.logged_at is None else face.precise(line.logged_at)),
        ("observed", f"{face.precise(line.observed_at)} ({age(line.observed_at, now)} ago)"),
        ("stored", face.precise(line.stored_at)),
        ("bytes", f"{line.length:,}"),
        ("line", line.line),
        *damage(line.damaged),
    ]


def past(events: tuple[Event, ...], face: Clockface) -> Fields:
    """What a name went through, newest first."""
    title = f"what this name went through, newest first ({PAST} at most)" if events else "no event of this name is kept"
    fields: Fields = [("", ""), ("history", title)]
    for event in reversed(events):
        about = f"{event.state}  from {event.node}" + (f"  {event.count} reports" if event.count > 1 else "")
        about += f"  {event.supplement}" if event.supplement else ""
        about += f"  DAMAGED ROW: {event.damaged}" if event.damaged else ""
        fields.append(("", f"{face.full(event.observed_at)}  {about}"))
    return fields


def leaders(terms: tuple[Term, ...], now: int, face: Clockface) -> Fields:
    """Who led, newest first."""
    if not terms:
        return [("", "nobody has led yet")]
    return [
        field
        for term in reversed(terms)
        for field in (
            (f"term {term.term}", f"{term.node}  since {face.full(term.since)} ({age(term.since, now)} ago)"),
            *damage(term.damaged),
        )
    ]


def terms_job(queries: Queries) -> Iterator[Message]:
    """Read the history of terms."""
    yield DetailRead(TERMS, terms=queries.terms())


def event_job(name: str) -> Job:
    """Read what this event went through; a name is taken as it is, stars and all."""

    def job(queries: Queries) -> Iterator[Message]:
        yield DetailRead(f"event {name}", events=queries.events(EventFilter(name, exact=True), PAST))

    return job


def line_job(number: int) -> Job:
    """Read one line whole."""

    def job(queries: Queries) -> Iterator[Message]:
        yield DetailRead(f"line {number}", line=queries.log_line(number))

    return job


def _state(state: str, now: int, face: Clockface, as_of: int | None) -> str:
    if as_of is None:
        return state
    return f"{state}, as far as is known: nobody has watched it since {_at(as_of, now, face)}"


def _at(instant: int | None, now: int, face: Clockface) -> str:
    return "-" if instant is None else f"{face.full(instant)} ({age(instant, now)} ago)"
