"""Instants as the records keep them: integer microseconds since the epoch, UTC.

Rules: only shells call `now_us`; cores take the instant as an argument.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE = _EPOCH.replace(tzinfo=None)
_FIRST, _LAST = (
    (end.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) for end in (datetime.min, datetime.max)
)


def now_us() -> int:
    """The present instant, microseconds UTC."""
    return time.time_ns() // 1000


def to_iso(instant_us: int) -> str:
    """ISO 8601 UTC with microseconds, as every JSON field of the commands shows it: 2026-11-22T03:04:05.000006Z.

    Of what a damaged row may hold instead, the nearest there is: a year outside of 1 to 9999 becomes one of these, what
    is no number the epoch. A row is shown and told whatever became of its time.
    """
    sound = instant_us if isinstance(instant_us, int) else 0
    moment = _NAIVE + timedelta(microseconds=min(max(sound, _FIRST), _LAST))
    return moment.isoformat(timespec="microseconds") + "Z"


def stamp(instant_us: int) -> str:
    """A moment as part of a file's name, sorted as time is: 20261127T015553.123456Z."""
    return to_iso(instant_us).replace("-", "").replace(":", "")


def from_iso(text: str) -> int:
    """The inverse of `to_iso`; a time without a zone is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)
