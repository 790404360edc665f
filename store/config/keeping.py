"""How the coordinator keeps the database: copies of it, and how much of the past stays in it."""

from __future__ import annotations

from dataclasses import dataclass

from noroshi.store import kinds
from noroshi.store.config.bounds import DAY, GiB, MiB
from noroshi.store.validation import Field, Report, record
from noroshi.store.yamlfile import Scalar, Value


@dataclass(frozen=True)
class Backups:
    """One every `every` seconds, in the directory `backup` of the shared one; the newest `keep` of them stay."""

    every: float = 6 * 3600.0
    keep: int = 2


@dataclass(frozen=True)
class Retention:
    """Log lines go after `logs` seconds; events and notifications after `history`, which nothing refers to any more.

    Past `size` bytes in use the oldest lines go sooner, and once no line is left that may, the oldest history.
    """

    size: int = 4 * GiB
    logs: float = 90 * DAY
    history: float = 365 * DAY


BACKUPS, RETENTION = Backups(), Retention()
"""What holds where cluster.yaml does not say."""

_BACKUPS = record(
    "backup",
    {
        "every": Field(kinds.duration("every", 10, 30 * DAY), Backups.every),
        "keep": Field(kinds.integer("keep", 1, 100), Backups.keep),
    },
    Backups,
)

retention = record(
    "retention",
    {
        "size": Field(kinds.size("size", 8 * MiB, 1024 * GiB), Retention.size),
        "logs": Field(kinds.duration("logs", 3600, 3650 * DAY), Retention.logs),
        "history": Field(kinds.duration("history", DAY, 3650 * DAY), Retention.history),
    },
    Retention,
)


def backups(value: Value, report: Report) -> Backups | None:
    """The record, or false for none."""
    if isinstance(value, Scalar) and value.value is False:
        return None
    return _BACKUPS(value, report)
