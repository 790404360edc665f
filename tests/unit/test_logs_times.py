"""The time a line gives itself: each known form, what only looks like one, and the stamps that are remembered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs.times import DAY, KEPT, UNKNOWN, OwnTimes, _instant

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.fixture(autouse=True)
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    _instant.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    _instant.cache_clear()


def own(line: str, seen: datetime = NOW) -> int:
    return first(OwnTimes().of([line], round(seen.timestamp() * 1_000_000)))


def first(found: list[int]) -> int:
    return found[0] if found else UNKNOWN


@pytest.mark.parametrize(
    ("line", "instant"),
    [
        ("2026-11-27T01:02:03Z started", "2026-11-27T01:02:03Z"),
        ("2026-11-27T01:02:03.5+02:00 started", "2026-11-26T23:02:03.5Z"),
        ("2026-11-27T01:02:03.123456789-0130 x", "2026-11-27T02:32:03.123456Z"),
        ("2026-11-27 01:02:03,250 INFO x", "2026-11-27T01:02:03.25+09:00"),
        ("2026-11-27 01:02:03 UTC [7] LOG: x", "2026-11-27T01:02:03Z"),
        ("2026-11-27 01:02:03 +0200 x", "2026-11-26T23:02:03Z"),
        ("2026-11-27 01:02:03", "2026-11-27T01:02:03+09:00"),
        ("[2026-11-27 01:02:03] x", "2026-11-27T01:02:03+09:00"),
        ("2026/11/27 01:02:03 [error] 7#7: x", "2026-11-27T01:02:03+09:00"),
        ("20261127T010203Z x", "2026-11-27T01:02:03Z"),
        ("2026-12-31T23:59:60Z leap", "2026-12-31T23:59:59Z"),
        ("<34>1 2026-11-27T01:02:03.003Z host app", "2026-11-27T01:02:03.003Z"),
        ('{"time":"2026-11-27T01:02:03Z","level":"x"}', "2026-11-27T01:02:03Z"),
        ('{"ts": 1795731723.25, "msg": "x"}', "2026-11-26T22:22:03.25Z"),
        ("time=2026-11-27T01:02:03Z level=info", "2026-11-27T01:02:03Z"),
        ("Nov 27 01:02:03 host app: x", "2026-11-27T01:02:03+09:00"),
        ("Nov  7 01:02:03 host app: x", "2026-11-07T01:02:03+09:00"),
        ("<13>Nov 27 01:02:03 host app: x", "2026-11-27T01:02:03+09:00"),
        ("[Fri Nov 27 01:02:03.123456 2026] [core:error] x", "2026-11-27T01:02:03.123456+09:00"),
        ("Fri Nov 27 01:02:03 2020 x", "2020-11-27T01:02:03+09:00"),
        ('10.0.0.1 - ann [27/Nov/2026:01:02:03 -0500] "GET / HTTP/1.1" 200', "2026-11-27T06:02:03Z"),
        ("1795731723 x", "2026-11-26T22:22:03Z"),
        ("1795731723.25 x", "2026-11-26T22:22:03.25Z"),
        ("[1795731723] x", "2026-11-26T22:22:03Z"),
        ("1795731723250 x", "2026-11-26T22:22:03.25Z"),
        ("type=SYSCALL msg=audit(1795731723.250:24287): x", "2026-11-26T22:22:03.25Z"),
    ],
)
def test_each_form(line: str, instant: str) -> None:
    seen = datetime(2027, 1, 2, tzinfo=UTC) if "-12-31" in line else NOW
    assert own(line, seen) == us(instant)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no time at all",
        "    at com.example.Main(Main.java:7)",
        "127.0.0.1 said hello",
        "2026-13-27 01:02:03 no such month",
        "2026-02-30T01:02:03Z no such day",
        "2026-11-27T25:02:03Z no such hour",
        "2026-11-27 01:02:0x",
        "2099-01-01T00:00:00Z tomorrow's tomorrow",
        "1999-12-31T00:00:00Z before",
        "17957317231 eleven figures",
        "1795731723.250.1 a version",
        "0000000001 small",
        "9999999999 too far",
        "Nov 27 the day",
        "Nov 31 01:02:03 no such day",
        "Total 27 01:02:03",
        "request [27/Foo/2026:01:02:03 -0500]",
        "x" * 300 + "[27/Nov/2026:01:02:03 -0500]",
        "2026-11-27T01:02:03+9999 no such zone",
    ],
)
def test_what_is_no_time(line: str) -> None:
    assert own(line) == UNKNOWN


@pytest.mark.parametrize(
    ("seen", "line", "year"),
    [
        ("2026-01-01T00:00:10+09:00", "Dec 31 23:59:59 host", 2025),
        ("2025-12-31T23:59:59+09:00", "Jan  1 00:00:01 host", 2026),
        ("2026-11-27T12:00:00+09:00", "Nov 28 11:00:00 host", 2026),
        ("2026-11-27T12:00:00+09:00", "Nov 29 12:00:00 host", 2025),
        ("2026-11-27T12:00:00+09:00", "Feb 29 12:00:00 host", 2024),
    ],
)
def test_the_year_that_is_left_out_is_the_nearest_below_tomorrow(seen: str, line: str, year: int) -> None:
    found = own(line, datetime.fromisoformat(seen))
    assert datetime.fromtimestamp(found / 1e6).year == year


def test_a_stamp_is_looked_at_once_and_what_stands_behind_it_still_counts() -> None:
    times = OwnTimes()
    seen = round(NOW.timestamp() * 1e6)
    lines = [f"2026-11-27 01:02:03 request {number}" for number in range(3)]
    lines += ["2026-11-27 01:02:03 +0200 other zone", "2026-11-27 01:02:03,5 finer", "no time", lines[0]]
    local, zone = us("2026-11-27T01:02:03+09:00"), us("2026-11-27T01:02:03+02:00")
    expected = [local, local, local, zone, local + 500_000, UNKNOWN, local]
    assert times.of(lines, seen) == expected
    assert times.of(lines, seen) == expected
    assert len(times._known) <= 5


def test_what_is_remembered_is_bounded() -> None:
    times = OwnTimes()
    lines = [f"2026-11-27T01:02:03.{number:06d}Z x" for number in range(2 * KEPT)]
    first = us("2026-11-27T01:02:03Z")
    assert times.of(lines, first + DAY) == [first + number for number in range(2 * KEPT)]
    assert len(times._known) <= KEPT
    lines = [f"1795731723.25 {chr(number)}" for number in range(32, KEPT + 64)] + [
        f"17957{number:05d}.123 x" for number in range(2 * KEPT)
    ]
    assert all(times.of(lines, first * 2))
    assert len(times._known) <= KEPT and len(times._bases) <= KEPT


STAMPS = st.sampled_from(
    [
        "2026-11-27 01:02:03",
        "2026-11-27T01:02:03.5Z",
        "2026-11-27T01:02:03.123Z",
        "2026-11-27 01:02:03,123",
        "2026-11-27 01:02:03,124567",
        "2026-11-27 01:02:03.",
        "2026-11-27T01:02:03.123456789Z",
        "2026-11-28T12:00:01.001Z",
        "Nov 27 01:02:03",
        "Nov 27 01:02:03.123",
        "[27/Nov/2026:01:02:03 +0900]",
        "1795731723",
        "1795731723.123456",
        "",
    ]
)
BEHIND = st.one_of(
    st.text(max_size=8), st.sampled_from(["", "Z", "1", "12", "123", "4Z", "\n", " +0200", ":", "²", "٣"])
)
LINES = st.builds("{}{}{}".format, st.sampled_from(["", "[", "1.2.3.4 - - ", "<3>"]), STAMPS, BEHIND)


@given(st.lists(LINES, max_size=12))
def test_remembering_changes_no_answer(lines: list[str]) -> None:
    seen = round(NOW.timestamp() * 1e6)
    each = [first(OwnTimes().of([line], seen)) for line in lines]
    times = OwnTimes()
    for _ in range(2):
        assert times.of(lines, seen) == (each if any(each) else [])


@pytest.mark.parametrize("digits", [3, 6, 9])
def test_stamps_that_differ_in_their_fraction_alone_are_one(digits: int) -> None:
    times, second = OwnTimes(), us("2026-11-27T01:02:03Z")
    fractions = [number * 10 ** (digits - 3) + number for number in range(0, 1000, 7)]
    lines = [f"2026-11-27T01:02:03.{fraction % 10**digits:0{digits}d}Z INFO x" for fraction in fractions]
    expected = [second + (fraction % 10**digits) * 1000 // 10 ** (digits - 3) for fraction in fractions]
    assert times.of(lines, second + DAY) == expected
    assert len(times._bases) == 1 and not times._known


def test_a_time_among_many_lines_without_one_is_found() -> None:
    seen = round(NOW.timestamp() * 1e6)
    timeless = [f"error {number:016d} of {number}" for number in range(100)]
    times = OwnTimes()
    assert times.of(timeless, seen) == []
    for line in ("Nov 27 01:02:03 x", '{"ts":"2026-11-27T01:02:03+09:00"}', "1.2.3.4 [27/Nov/2026:01:02:03 +0900]"):
        found = times.of([*timeless, line, *timeless], seen)
        assert found == [0] * 100 + [us("2026-11-27T01:02:03+09:00")] + [0] * 100
        assert times.of(timeless, seen) == []
