"""The time that a line itself gives (spec 3.1): its instant, where it begins with one of the known forms.

Forms: ISO 8601 and RFC 3339 (`2026-11-27T01:02:03.5+09:00`, with `/` between the numbers of the date too), syslog's of
RFC 3164 and ctime (`Nov 27 01:02:03`), the common log format (`[27/Nov/2026:01:02:03 +0900]`, anywhere near the start)
and seconds since 1970. Before it may stand a bracket or quote, syslog's priority, the first key of a JSON object or
of a logfmt line, an audit record's type.
Rules: a time without a zone is this host's local time. One without a year is in the year that brings it nearest below
tomorrow. What lies before the year 2000, or more than a day after the line was seen, is no time: a number that looks
like one must not put a line where nobody finds it. Forms are looked for once for each different stamp, not for each
line; nothing behind the first characters is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

UNKNOWN = 0
"""Of a line that gives no time."""

EARLIEST = 946_684_800_000_000
DAY = 86_400_000_000
MICROSECONDS = 1_000_000

KEPT = 4096
"""Stamps remembered."""

NEAR = 256
"""Characters in which the bracket of the common log format is looked for."""

_MONTHS = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)  # noqa: SIM905
}
_MONTH = f"({'|'.join(_MONTHS)})"
_LEAD = re.compile(
    r'(?:<\d{1,3}>(?:1 )?|\{ ?"(?:@?timestamp|time|ts)": ?|(?:time|ts)=|type=\w+ msg=audit\()?[\[("\']?', re.ASCII
)
_ISO = re.compile(
    r"(\d{4})([-/]?)(\d\d)\2(\d\d)[T ](\d\d):?(\d\d):?(\d\d)(?:[.,](\d{1,9}))?"
    r"(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?)(?![\w:]))?(?![\d:])",
    re.ASCII,
)
_SYSLOG = re.compile(
    rf"(?:[A-Z][a-z]{{2}} )?{_MONTH} ([ \d]?\d) (\d\d):(\d\d):(\d\d)(?:[.,](\d{{1,9}}))?(?: ((?:19|20)\d\d)(?![\w.-]))?"
    r"(?![\d:])",
    re.ASCII,
)
_COMMON = re.compile(rf"\[(\d\d)/{_MONTH}/(\d{{4}}):(\d\d):(\d\d):(\d\d) ([+-]\d{{4}})\]", re.ASCII)
_COMMON_LENGTH = 28
_EPOCH = re.compile(r"(\d{10})(?:\.(\d{1,9})|(\d{3}|\d{6}|\d{9}))?(?![\w.])", re.ASCII)


class OwnTimes:
    """One file's lines; it remembers the stamps it saw, and how its last one stood in the line."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._width = 0
        """Characters that tell the time of a line, those behind it that could change its meaning included."""
        self._common = False

    def of(self, lines: list[str], seen_at: int) -> list[int]:
        """The time of each line in microseconds UTC, or UNKNOWN. `seen_at`: when they were seen, microseconds UTC."""
        get, width = self._known.get, self._width
        found = [get(_bracket(line)) for line in lines] if self._common else [get(line[:width]) for line in lines]
        if None not in found:
            return found  # type: ignore[return-value]  # what mypy cannot see is said in the line before
        return [self._look(line, seen_at) if time is None else time for line, time in zip(lines, found, strict=True)]

    def _look(self, line: str, seen_at: int) -> int:
        stamp = _bracket(line) if self._common else line[: self._width]
        known = self._known.get(stamp)  # the lines before it may have taught where to look
        return self._search(line, seen_at) if known is None else known

    def _search(self, line: str, seen_at: int) -> int:
        lead = _LEAD.match(line)
        start = lead.end() if lead is not None else 0
        first = line[start : start + 1]
        if "0" <= first <= "9":
            found = self._at_start(line, start, _ISO, _iso, seen_at) or self._at_start(
                line, start, _EPOCH, _epoch, seen_at
            )
        elif "A" <= first <= "Z":
            found = self._at_start(line, start, _SYSLOG, _syslog, seen_at)
        else:
            found = UNKNOWN
        return found or self._in_brackets(line, seen_at)

    def _at_start(self, line: str, start: int, form: re.Pattern[str], read: _Read, seen_at: int) -> int:
        match = form.match(line, start)
        if match is None:
            return UNKNOWN
        self._common, self._width = False, match.end() + 2
        return self._keep(line[: self._width], _sane(read, match, seen_at))

    def _in_brackets(self, line: str, seen_at: int) -> int:
        at = line.find("[", 0, NEAR)
        match = _COMMON.match(line, at) if at >= 0 else None
        if match is None:
            return UNKNOWN
        self._common = True
        return self._keep(match[0], _sane(_common, match, seen_at))

    def _keep(self, stamp: str, time: int) -> int:
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[stamp] = time
        return time


def _bracket(line: str) -> str:
    at = line.find("[", 0, NEAR)
    return line[at : at + _COMMON_LENGTH]


_Read = Callable[["re.Match[str]", int], int]


def _sane(read: _Read, match: re.Match[str], seen_at: int) -> int:
    try:
        time = read(match, seen_at)
    except (ValueError, OverflowError, OSError):  # the 31st of February, or a year beyond what the system counts
        return UNKNOWN
    return time if EARLIEST <= time <= seen_at + DAY else UNKNOWN


def _iso(match: re.Match[str], seen_at: int) -> int:
    year, _, month, day, hour, minute, second, fraction, zone = match.groups()
    return _instant(year, int(month), day, hour, minute, second, zone) + _fraction(fraction)


def _common(match: re.Match[str], seen_at: int) -> int:
    day, month, year, hour, minute, second, zone = match.groups()
    return _instant(year, _MONTHS[month], day, hour, minute, second, zone)


def _epoch(match: re.Match[str], seen_at: int) -> int:
    seconds, fraction, more = match.groups()
    return int(seconds) * MICROSECONDS + _fraction(fraction or more)


def _syslog(match: re.Match[str], seen_at: int) -> int:
    month, day, hour, minute, second, fraction, year = match.groups()
    this = datetime.fromtimestamp(seen_at / MICROSECONDS, UTC).year
    for guess in range(this + 1, this - 8, -1) if year is None else (year,):
        try:
            time = _instant(str(guess), _MONTHS[month], day, hour, minute, second, None) + _fraction(fraction)
        except ValueError:  # the 29th of February of another year
            continue
        if time <= seen_at + DAY:
            return time
    return UNKNOWN


@lru_cache(1024)
def _instant(year: str, month: int, day: str, hour: str, minute: str, second: str, zone: str | None) -> int:
    """Microseconds UTC. A leap second counts as the one before it. Raises ValueError."""
    whole = 59 if second == "60" else int(second)
    moment = datetime(int(year), month, int(day), int(hour), int(minute), whole, tzinfo=_zone(zone) if zone else None)
    return round(moment.timestamp()) * MICROSECONDS


def _zone(text: str) -> timezone:
    if text in ("Z", "UTC"):
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _fraction(digits: str | None) -> int:
    return int(digits[:6].ljust(6, "0")) if digits else 0
