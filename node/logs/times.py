"""The time that a line itself gives (spec 3.1): its instant, where it begins with one of the known forms.

Forms: ISO 8601 and RFC 3339 (`2026-11-27T01:02:03.5+09:00`, with `/` between the numbers of the date too), syslog's of
RFC 3164 and ctime (`Nov 27 01:02:03`), the common log format (`[27/Nov/2026:01:02:03 +0900]`, anywhere near the start)
and seconds since 1970. Before it may stand a bracket or quote, syslog's priority, the first key of a JSON object or
of a logfmt line, an audit record's type.
Rules: a time without a zone is this host's local time. One without a year is in the year that brings it nearest below
tomorrow. What lies before the year 2000, or more than a day after the line was seen, is no time: a number that looks
like one must not put a line where nobody finds it. Nothing behind the first characters is looked at. Forms are looked
for once for each different stamp, not for each line, and stamps that differ in thousandths, millionths or billionths
alone are one; lines of a file that gave no time lately are looked at together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
_BEFORE = r'(?:<\d{1,3}>(?:1 )?|\{ ?"(?:@?timestamp|time|ts)": ?|(?:time|ts)=|type=\w+ msg=audit\()?[\[("\']?'
_LEAD = re.compile(_BEFORE, re.ASCII)
_ISO = re.compile(
    r"(\d{4})([-/]?)(\d\d)\2(\d\d)[T ](\d\d):?(\d\d):?(\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?: ?(Z|UTC|[+-]\d\d(?::?\d\d)?)(?![\w:]))?(?![\d:])",
    re.ASCII,
)
_SYSLOG = re.compile(
    rf"(?:[A-Z][a-z]{{2}} )?{_MONTH} ([ \d]?\d) (\d\d):(\d\d):(\d\d)(?:[.,](?P<fraction>\d{{1,9}}))?"
    r"(?: ((?:19|20)\d\d)(?![\w.-]))?(?![\d:])",
    re.ASCII,
)
_COMMON = re.compile(rf"\[(\d\d)/{_MONTH}/(\d{{4}}):(\d\d):(\d\d):(\d\d) ([+-]\d{{4}})\]", re.ASCII)
_COMMON_LENGTH = 28
_EPOCH = re.compile(r"(\d{10})(?:\.(?P<fraction>\d{1,9})|(\d{3}|\d{6}|\d{9}))?(?![\w.])", re.ASCII)


_MAY_START = re.compile(rf"\n{_BEFORE}(?:\d{{4}}[-/]?\d\d|(?:[A-Z][a-z]{{2}} )?{_MONTH} )", re.ASCII)
_MAY_BE_COMMON = re.compile(rf"\[\d\d/{_MONTH}/", re.ASCII)
"""What each line with a time of that form has, and few others, if any: for many lines at once."""

_THREE = {f"{number:03d}": number for number in range(1000)}
_THREE_OR_NONE = {**_THREE, "": 0}
_CUT = frozenset((3, 6, 9))
"""Digits of a fraction that are told apart from the rest of the stamp."""


class OwnTimes:
    """One file's lines; it remembers the stamps it saw, and how its last one stood in the line."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._bases: dict[str, int] = {}
        """Of stamps without the digits of their fraction: the time with all of them zero."""
        self._width = 0
        """Characters that tell the time of a line, those behind it that could change its meaning included."""
        self._fraction: tuple[int, int] | None = None
        """From where to where among them the fraction's digits are, in the stamps of `_bases`."""
        self._common = False
        self._barren = True
        """Whether none of the last lines gave a time."""

    def of(self, lines: list[str], seen_at: int) -> list[int]:
        """The time of each line in microseconds UTC, or UNKNOWN; empty where none gives one.

        `seen_at`: when they were seen, microseconds UTC.
        """
        if self._barren and not _may_give_times(lines):
            return []
        found: list[int] = []
        left = iter(lines)
        while (line := self._recall(left, found)) is not None:
            found.append(self._search(line, seen_at))
        self._barren = not any(found)
        return [] if self._barren else found

    def _recall(self, left: Iterator[str], found: list[int]) -> str | None:
        """Add the times of lines with a stamp that is remembered, up to the first line without one; that line."""
        if self._fraction is not None:
            return self._recall_bases(left, found, *self._fraction)
        get, keep, width, common = self._known.get, found.append, self._width, self._common
        for line in left:
            time = get(_bracket(line) if common else line[:width])
            if time is None:
                return line
            keep(time)
        return None

    def _recall_bases(self, left: Iterator[str], found: list[int], first: int, behind: int) -> str | None:
        get, keep, width = self._bases.get, found.append, self._width
        three, more, micro, nano = _THREE.get, _THREE_OR_NONE.get, first + 3, min(first + 6, behind)
        for line in left:
            base = get(line[:first] + line[behind:width])
            milliseconds = three(line[first:micro])
            microseconds = more(line[micro:nano])
            if base is None or milliseconds is None or microseconds is None or more(line[nano:behind]) is None:
                return line
            keep(base and base + 1000 * milliseconds + microseconds)
        return None

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
        time = _sane(read, match, seen_at)
        self._common, self._width, self._fraction = False, match.end() + 2, None
        digits = match["fraction"]
        if digits is None or len(digits) not in _CUT:
            return _keep(self._known, line[: self._width], time)
        first, behind = self._fraction = match.span("fraction")
        _keep(self._bases, line[:first] + line[behind : self._width], time and time - _fraction(digits))
        return time

    def _in_brackets(self, line: str, seen_at: int) -> int:
        at = line.find("[", 0, NEAR)
        match = _COMMON.match(line, at) if at >= 0 else None
        if match is None:
            return UNKNOWN
        self._common, self._fraction = True, None
        return _keep(self._known, match[0], _sane(_common, match, seen_at))


def _may_give_times(lines: list[str]) -> bool:
    """False only where none of the lines has one of the forms."""
    text = "\n" + "\n".join(lines)
    return _MAY_START.search(text) is not None or _MAY_BE_COMMON.search(text) is not None


def _keep(known: dict[str, int], stamp: str, time: int) -> int:
    if len(known) >= KEPT:
        known.clear()
    known[stamp] = time
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
