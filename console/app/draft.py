"""A definition while it is being written: checked as the commands check it, compared, and rehearsed; pure.

Rules: the text is that of definitions.yaml with this one definition, so that what is typed here can be pasted there
and back. Comments are for whoever types: the database keeps what the text means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import msgspec

from noroshi.console.commands.explaining import LEADERLESS, told_lines
from noroshi.console.sanitise import visible
from noroshi.store import definitions
from noroshi.store.changes import unversioned
from noroshi.store.errors import ConfigError, Problem
from noroshi.store.explain import EventAsked, Explained, Facts, LineAsked, explain
from noroshi.store.matching import NamePattern
from noroshi.store.model import Definition
from noroshi.store.views import State
from noroshi.store.yamlfile import flow

FILE = Path("definitions.yaml")
"""What problems name; the console shows the line alone."""

NEW = "new-definition"
_NAME = re.compile(r"^[^#\n]*\bname:", re.MULTILINE)
_MORE = """\
    # duplicates: allow, delivery: deferred, enough: all, timeout: 30s, limit: {count: 10, within: 1m}
"""
_EVENT = """\
events:
  - name: new-definition
    # * stays within a segment, ** crosses them; without state: any
    match: {event: "app/*", state: [ERROR]}
{more}    # repeat: 5m, escalate: 10m, recovery: true, flap: {changes: 5, within: 10m}
    notify:
      - {priority: 1, node: NODE, procedure: process, application: [/usr/local/bin/page]}
      # - {priority: 2, node: NODE, procedure: socket, application: "tcp://127.0.0.1:9000"}
"""
_LOG = """\
logs:
  - name: new-definition
    # pattern is a regular expression, found anywhere in the line
    match: {source: "/var/log/**", pattern: "Out of memory"}
{more}    notify:
      - {priority: 1, node: NODE, procedure: process, application: [/usr/local/bin/page]}
      # - {priority: 2, node: NODE, procedure: socket, application: "tcp://127.0.0.1:9000"}
"""


@dataclass(frozen=True)
class Base:
    """What is edited: `name` None is a new one; `seen` the newest version of the name that the operator saw (0: none),
    `definition` that version (None: there is none, or it removed the definition)."""

    name: str | None
    seen: int
    definition: Definition | None


@dataclass(frozen=True)
class Checked:
    """What a text is: problems, or the one definition in it. `seen`: the newest version of its name."""

    text: str
    problems: tuple[Problem, ...]
    definition: Definition | None
    seen: int = 0


def template(kind: str, node: str) -> str:
    """The text a new definition begins with."""
    return (_EVENT if kind == "event" else _LOG).replace("{more}", _MORE).replace("NODE", flow(node))


def copy_of(one: Definition) -> str:
    """The text of another definition that begins as this one."""
    return definitions.export([unversioned(one)]).replace(f"name: {flow(one.name)}", f"name: {NEW}", 1)


def check(
    text: str, base: Base, nodes: Collection[str] | None, newest: Mapping[str, int], there: Collection[str]
) -> Checked:
    """Everything that is wrong with `text`; `newest` version of every name, `there` the names in force."""
    try:
        found = definitions.parse(text, FILE, nodes)
    except ConfigError as error:
        return Checked(text, tuple(error.problems), None)
    if len(found) != 1:
        message = "here is no definition" if not found else f"here are {len(found)} definitions"
        return _refused(text, f"{message}: one at a time", "`noroshi definitions import FILE` takes many", 0)
    (one,) = found
    line = _line_of_name(text)
    if base.name is not None and one.name != base.name:
        hint = f"name it {base.name!r} again; to rename, copy it by 'a' and remove the old one by 'd'"
        return _refused(text, f"this is definition {base.name!r}, here it is {one.name!r}", hint, line)
    if base.name is None and one.name in there:
        return _refused(text, f"there is a definition {one.name!r} already", "name this one otherwise", line)
    return Checked(text, (), one, newest.get(one.name, 0))


def _refused(text: str, message: str, hint: str, line: int) -> Checked:
    return Checked(text, (Problem(FILE, line, 1, message, hint),), None)


def _line_of_name(text: str) -> int:
    found = _NAME.search(text)
    return text.count("\n", 0, found.end()) + 1 if found else 0


# --- comparing -----------------------------------------------------------------------------------------------------


def difference(old: Definition | None, new: Definition | None) -> list[str]:
    """The one as YAML beside the other: every line with `- `, `+ ` or two spaces before it. Empty: they are equal."""
    before, after = _lines(old), _lines(new)
    if before == after:
        return []
    return lines_apart(before, after)


LINES_COMPARED = 1_000_000
"""Lines of the one times lines of the other up to which they are compared: some tenths of a second. (ndiff looks for
letters in common as well, and held every key for seconds with 100 destinations.)"""


def lines_apart(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Both texts as one: every line with `- `, `+ ` or two spaces before it; a new line stands behind the one it
    replaces."""
    if len(before) * len(after) > LINES_COMPARED:
        return [f"- {line}" for line in before] + [f"+ {line}" for line in after]
    found: list[str] = []
    for what, low, high, start, stop in difflib.SequenceMatcher(None, before, after).get_opcodes():
        if what == "equal":
            found += [f"  {line}" for line in before[low:high]]
            continue
        for old, new in zip_longest(before[low:high], after[start:stop]):
            found += ([f"- {old}"] if old is not None else []) + ([f"+ {new}"] if new is not None else [])
    return [line.rstrip() for line in found]


def _lines(one: Definition | None) -> list[str]:
    return [] if one is None else definitions.export([unversioned(one)]).splitlines()


# --- who would be told now -----------------------------------------------------------------------------------------


def as_rehearsed(one: Definition) -> Definition:
    """No line is made up that an operator's pattern would find, so it takes every line."""
    return msgspec.structs.replace(one, pattern="")


def rehearse(one: Definition, asked: EventAsked | LineAsked, facts: Facts, present: Iterable[State]) -> list[str]:
    """Who would be told now, by this definition alone, of the `sample` of it; each line safe.

    `facts` are those of `as_rehearsed`. It is a change that is rehearsed, though the name may be in that state.
    """
    matching = [row for row in present if _covers(one, row)]
    known = replace(facts, current=None, definitions=(as_rehearsed(one),))
    what = f"{asked.event} became {asked.state}" if isinstance(asked, EventAsked) else _line_words(one)
    nobody = [f"  {LEADERLESS}"] if facts.own is None else []
    lines = [visible(f"If {what} now:"), *nobody, *(f"  {line}" for line in _body(explain(asked, known)))]
    return lines + ([_present(matching)] if one.kind == "event" else [])


def _body(explained: tuple[Explained, ...]) -> list[str]:
    """Without the definition's name, which stands above."""
    lines = told_lines(explained)
    return [line.split(": ", 1)[1] if not at else line for at, line in enumerate(lines)]


def _line_words(one: Definition) -> str:
    return "a line came that the pattern finds" if one.pattern else "any line came"


def _covers(one: Definition, row: State) -> bool:
    return one.kind == "event" and NamePattern(one.event).matches(row.event)


def sample(one: Definition, present: Iterable[State], node: str) -> EventAsked | LineAsked:
    """Something it matches: an event there is, where there is one; else a name its pattern allows, seen by `node`."""
    if one.kind == "log":
        return LineAsked("", _filled(one.source), _filled(one.node) if one.node != "**" else node)
    matching = [row for row in present if _covers(one, row)]
    ranked = sorted(matching, key=lambda row: row.state not in one.state)
    name = ranked[0].event if ranked else _filled(one.event)
    return EventAsked(name, one.state[0] if one.state else "ERROR", "", ranked[0].node if ranked else node)


def _filled(pattern: str) -> str:
    return re.sub(r"\*+", "x", pattern)


_SHOWN = 3


def _present(matching: list[State]) -> str:
    if not matching:
        return "It matches no event that is known now."
    some = ", ".join(f"{row.event} {row.state}" for row in matching[:_SHOWN])
    more = f" and {len(matching) - _SHOWN} more" if len(matching) > _SHOWN else ""
    return visible(f"It matches {len(matching)} of the events known now: {some}{more}")
