"""What the definitions screens say at length, as lines; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from noroshi.console.app.definition_jobs import Conflict, Tested
from noroshi.console.app.draft import Base, difference
from noroshi.console.app.drafts import Draft
from noroshi.console.app.widgets.text_view import Line
from noroshi.console.output import application_text, reason_of
from noroshi.console.sanitise import visible, visible_lines
from noroshi.console.times import Clockface, age
from noroshi.store import definitions
from noroshi.store.changes import Logged, unversioned
from noroshi.store.errors import Problem
from noroshi.store.model import Definition
from noroshi.store.tables.definitions import VersionRow
from noroshi.store.views import Attempt


def definition_lines(one: Definition) -> list[str]:
    """As definitions.yaml has it."""
    return definitions.export([unversioned(one)]).splitlines()


def problem_line(problem: Problem) -> Line:
    """Where, what, and what to do; opening it leads there."""
    where = f"line {problem.line}: " if problem.line else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    text = " ".join(f"{where}{problem.message}{hint}".split("\n"))
    return Line(visible(f"✖ {text}"), "degraded", (problem.line, problem.column) if problem.line else None)


def tested_lines(answer: Tested) -> list[Line]:
    """Each destination of a test, and how the whole went."""
    lines = [line for row in answer.rows for attempt in row.attempts for line in _attempt(attempt)]
    good = [row.status == "delivered" for row in answer.rows]
    if not answer.over:
        return [*lines, Line(""), Line("delivering …", "other")]
    verdict = f"{sum(good)} of {len(good)} groups delivered: every attempt is in the history, as a test"
    return [*lines, Line(""), Line(verdict, "good" if all(good) else "degraded")]


def _attempt(attempt: Attempt) -> Iterator[Line]:
    outcome = attempt.outcome or "under way"
    shape = {"delivered": "●", "under way": "…"}.get(outcome, "✖")
    style = {"delivered": "good", "under way": "other"}.get(outcome, "degraded")
    text = f"{shape} priority {attempt.priority}  {attempt.node}  {attempt.procedure}  {outcome}"
    yield Line(visible(f"{text}  {application_text(attempt)}".rstrip()), style)
    yield from (Line(f"    {line}", style) for line in visible_lines(reason_of(attempt)) if line.strip())


def kept_draft(draft: Draft, base: Base, now: int, face: Clockface) -> list[Line]:
    """What is known of a draft that was kept."""
    what = "a new definition" if base.name is None else base.name
    lines = [Line(visible(f"Of {what}, kept at {face.full(draft.at)} ({age(draft.at, now)} ago).")), Line("")]
    if draft.seen != base.seen:
        lines.append(Line(f"It was begun on version {draft.seen}; version {base.seen} is there now.", "degraded"))
        lines.append(Line(""))
    return [*lines, *(Line(visible(line)) for line in draft.text.splitlines())]


def conflict_lines(answer: Conflict, mine: Definition | None, face: Clockface, now: int) -> list[Line]:
    """Both changes: theirs in what the operator saw, the operator's on top of theirs."""
    theirs = answer.theirs
    note = f", {theirs.note}" if theirs.note else ""
    made = (
        f"version {theirs.version}, {theirs.author}, {face.full(theirs.created_at)} ({age(theirs.created_at, now)} ago)"
    )
    return [
        Line("Somebody else changed it after the version you saw. Nothing was saved, nothing is lost."),
        Line(""),
        Line(visible(f"THEIRS  {made}{note}"), "heading"),
        *compared(difference(answer.base, theirs.definition), "the same as what you saw"),
        Line(""),
        Line("YOURS, on top of theirs", "heading"),
        *compared(difference(theirs.definition, mine), "the same as theirs"),
    ]


def compared(lines: Iterable[str], same: str = "") -> list[Line]:
    """A difference: what goes and what comes by weight as well as by sign; `same` where there is none."""
    styles = {"-": "degraded", "+": "other"}
    return [Line(visible(line), styles.get(line[:1], "good")) for line in lines] or [Line(same)]


def version_lines(rows: Iterable[tuple[VersionRow, Logged]], face: Clockface, now: int) -> list[Line]:
    """The versions, newest first: each a line that can be opened, below it what it changed."""
    lines: list[Line] = []
    for row, logged in rows:
        note = f"  ({logged.note})" if logged.note else ""
        when = f"{face.full(row.created_at)}  {age(row.created_at, now):>5}"
        lines.append(Line(visible(f"v{row.version}  {when}  {row.author}{note}"), "other", row))
        lines += [Line(f"    {visible(line)}", "good") for line in logged.lines or ("no change",)]
    return lines
