"""`{journal: true, …}` in `logs:` of node.yaml: the systemd journal as a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noroshi.store import kinds, validation
from noroshi.store.config.monitors import program
from noroshi.store.validation import Field, Kind, Report, record
from noroshi.store.yamlfile import Mapping, Value

PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Of an entry of the journal, the worst first."""


@dataclass(frozen=True)
class JournalRule:
    """Entries of `units` (names or globs; none given: all), no less severe than `priority`.

    `select`, `except_` and `deferred` as in `LogRule`; `command` is asked in place of the journalctl that is found.
    """

    units: tuple[str, ...] = ()
    priority: str | None = None
    select: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()
    deferred: bool = False
    command: tuple[str, ...] | None = None


def is_journal(value: Value) -> bool:
    """Whether an entry of `logs:` is of the journal, right or wrong."""
    return isinstance(value, Mapping) and any(key.text == "journal" for key, _ in value.entries)


def _journal(value: Value, report: Report) -> None:
    """`journal: true`; whoever wants none leaves the entry out."""
    if not kinds.boolean("journal")(value, report):
        raise report.refuse(value, "journal must be true", "leave the whole entry out")


def _expressions(what: str) -> Field:
    return Field(validation.list_of(what, kinds.pattern(f"a pattern in {what}")), ())


def _build(**given: Any) -> JournalRule:
    del given["journal"]
    return JournalRule(except_=given.pop("except"), **given)


journal_rule: Kind[JournalRule] = record(
    "a journal rule",
    {
        "journal": Field(_journal),
        "units": Field(validation.list_of("units", kinds.text("a unit", longest=255)), ()),
        "priority": Field(kinds.choice("priority", *PRIORITIES), None),
        "select": _expressions("select"),
        "except": _expressions("except"),
        "deferred": Field(kinds.boolean("deferred"), False),
        "command": Field(program, None),
    },
    _build,
)
