"""Instants as people write and read them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.console.times import SECOND, Clockface, age, parse_when
from noroshi.store.clock import from_iso

NOW = from_iso("2025-11-22T03:04:05")
UTC = Clockface()
MINUTE = 60 * SECOND


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clockface]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield Clockface(local=True)
    time.tzset()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("now", "2025-11-22T03:04:05"),
        ("-2h", "2025-11-22T01:04:05"),
        ("2h", "2025-11-22T01:04:05"),
        ("-1h30m", "2025-11-22T01:34:05"),
        ("90s", "2025-11-22T03:02:35"),
        ("-1w", "2025-11-15T03:04:05"),
        ("3:04", "2025-11-22T03:04:00"),
        ("03:04:06", "2025-11-21T03:04:06"),
        ("14:05", "2025-11-21T14:05:00"),
        (" 14:05Z ", "2025-11-21T14:05:00"),
        ("2025-11-20", "2025-11-20T00:00:00"),
        ("2025-11-20 14:05", "2025-11-20T14:05:00"),
        ("2025-11-20T14:05:06.5Z", "2025-11-20T14:05:06.500000"),
        ("2025-11-20T14:05+02:00", "2025-11-20T12:05:00"),
    ],
)
def test_what_a_time_may_look_like(typed: str, meant: str) -> None:
    assert parse_when(typed, NOW, UTC) == from_iso(meant)


def test_in_local_time_a_time_without_a_zone_is_local(tokyo: Clockface) -> None:
    assert parse_when("12:00", NOW, tokyo) == from_iso("2025-11-22T03:00:00")
    assert parse_when("12:00Z", NOW, tokyo) == from_iso("2025-11-21T12:00:00")
    assert parse_when("2025-11-22T12:00", NOW, tokyo) == from_iso("2025-11-22T03:00:00")


@pytest.mark.parametrize(
    "typed", ["", "soon", "25:00", "12:60", "-2x", "2025-13-01", "-", "2h ago", "9" * 40 + "h ago"]
)
def test_anything_else_is_refused_with_what_is_taken(typed: str) -> None:
    with pytest.raises(ValueError, match="14:05 or -2h"):
        parse_when(typed, NOW, UTC)


@pytest.mark.parametrize(
    ("elapsed", "shown"),
    [
        (0, "0s"),
        (59 * SECOND, "59s"),
        (60 * SECOND, "1m"),
        (59 * MINUTE + 59 * SECOND, "59m"),
        (60 * MINUTE, "1h00"),
        (23 * 60 * MINUTE + 59 * MINUTE, "23h59"),
        (24 * 60 * MINUTE, "1d"),
        (99 * 24 * 60 * MINUTE, "99d"),
        (100 * 24 * 60 * MINUTE, "14w"),
        (-1 * SECOND, "1s"),
        (-2 * SECOND, "-2s"),
        (-90 * MINUTE, "-1h"),
    ],
)
def test_an_age_is_short(elapsed: int, shown: str) -> None:
    assert age(NOW - elapsed, NOW) == shown
    assert age(None, NOW) == "-"


@given(st.integers(0, 2 * 10**15))
def test_an_age_fits_five_cells(elapsed: int) -> None:
    assert len(age(NOW - elapsed, NOW)) <= 5


def test_the_zone_is_always_shown(tokyo: Clockface) -> None:
    assert UTC.full(NOW) == "2025-11-22 03:04:05Z"
    assert UTC.full(None) == "-"
    assert UTC.precise(NOW + 6789) == "2025-11-22 03:04:05.006Z"
    assert tokyo.full(NOW) == "2025-11-22 12:04:05+0900"
    assert UTC.short(NOW, NOW) == "03:04:05Z"
    assert UTC.short(NOW - 86400 * SECOND, NOW) == "11-21 03:04:05Z"
    assert UTC.short(NOW - 400 * 86400 * SECOND, NOW) == "2024-10-18 03:04:05Z"


@given(st.integers(-(2**63), 2**63))
def test_no_instant_breaks_it(instant: int) -> None:
    for face in (UTC, Clockface(local=True)):
        assert face.full(instant)
        assert face.short(instant, NOW)
    assert age(instant, NOW)
