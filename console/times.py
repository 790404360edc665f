"""Instants as people write and read them: UTC with its Z unless local time was asked for, the zone always shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_RELATIVE = re.compile(r"-?((?:\d+[smhdw])+)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?Z?")


def in_range(instant: int) -> int:
    """The nearest instant a calendar can show: a node's clock may say anything, and a damaged row hold no number."""
    if not isinstance(instant, int):
        return 86400 * SECOND
    return max(86400 * SECOND, min(instant, _LAST))


@dataclass(frozen=True)
class Clockface:
    """Shows instants (microseconds UTC) in UTC, or in the zone of this machine."""

    local: bool = False

    def moment(self, instant: int) -> datetime:
        moment = _EPOCH + timedelta(microseconds=in_range(instant))
        return moment.astimezone() if self.local else moment

    def full(self, instant: int | None) -> str:
        """2026-11-22 03:04:05Z, or 2026-11-22 04:04:05+0100; "-" where there is none."""
        return "-" if instant is None else self.moment(instant).strftime("%Y-%m-%d %H:%M:%S") + self._zone(instant)

    def precise(self, instant: int) -> str:
        """As `full`, with milliseconds."""
        moment = self.moment(instant)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}{self._zone(instant)}"

    def short(self, instant: int, now: int) -> str:
        """The time of day when it is today, else with its day: 03:04:05Z, 11-21 03:04:05Z, 2025-11-21 03:04:05Z."""
        moment, today = self.moment(instant), self.moment(now)
        if moment.date() == today.date():
            return f"{moment:%H:%M:%S}{self._zone(instant)}"
        return f"{moment:{'%m-%d' if moment.year == today.year else '%Y-%m-%d'} %H:%M:%S}{self._zone(instant)}"

    def _zone(self, instant: int) -> str:
        return self.moment(instant).strftime("%z") if self.local else "Z"


def age(instant: int | None, now: int) -> str:
    """In five cells at most: 4s, 12m, 2h05, 3d, 40w; with a minus where the clock that saw it is ahead of ours."""
    if instant is None:
        return "-"
    seconds = abs(now - in_range(instant)) // SECOND
    sign = "-" if now - in_range(instant) <= -2 * SECOND else ""
    if seconds < 60:
        return f"{sign}{seconds}s"
    if seconds < 3600:
        return f"{sign}{seconds // 60}m"
    if seconds < 86400:
        return f"{sign}{seconds // 3600}h" + ("" if sign else f"{seconds % 3600 // 60:02d}")
    return f"{sign}{seconds // 86400}d" if seconds < 100 * 86400 else f"{sign}{seconds // (7 * 86400)}w"


def ago(instant: int | None, now: int) -> str:
    """How long it is that somebody last looked, as `age`: never less than nothing; empty for None, somebody does."""
    return "" if instant is None else age(min(instant, now), now)


def parse_when(text: str, now: int, face: Clockface) -> int:
    """Microseconds UTC of `-2h` (also 2h, -1h30m), `14:05` (the last time it was so), or ISO 8601.

    A time without a zone is in UTC, or in local time where the face is local. Raises ValueError, saying what is taken.
    """
    text = text.strip()
    if text == "now":
        return now
    if relative := _RELATIVE.fullmatch(text):
        parts = re.findall(r"(\d+)([smhdw])", relative[1])
        return in_range(now - sum(int(number) * _UNITS[unit] for number, unit in parts) * SECOND)
    try:
        if clock := _CLOCK.fullmatch(text):
            hour, minute, second = (int(part or 0) for part in clock.groups())
            return _last_time_of_day(hour, minute, second, now, Clockface() if text.endswith("Z") else face)
        return _from_iso(text, face)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; take 2026-11-22T14:05, 14:05 or -2h (s, m, h, d, w)") from None


def _last_time_of_day(hour: int, minute: int, second: int, now: int, face: Clockface) -> int:
    today = face.moment(now)
    at = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return _to_us(at if at <= today else at - timedelta(days=1))


def _from_iso(text: str, face: Clockface) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.astimezone() if face.local else moment.replace(tzinfo=UTC)
    return _to_us(moment)


def _to_us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
