"""Counting by rate: the window, totals that are reset, and the record that goes on over a restart."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.monitors.record import Record
from noroshi.node.monitors.seen import Seen
from noroshi.node.monitors.tally import Tally


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0, 5)], 0),  # where counting begins
        ([(0, 5), (10, 8)], 3),
        ([(0, 5), (10, 8), (20, 8)], 3),
        ([(0, 5), (10, 8), (50, 9), (109, 9)], 4),
        ([(0, 5), (10, 8), (50, 9), (110, 9)], 1),
        ([(0, 5), (10, 8), (50, 9), (150, 9)], 0),
        ([(0, 500), (10, 0)], 0),  # reset by a reboot
        ([(0, 500), (10, 4)], 4),  # reset, and four since
        ([(0, 500), (10, 4), (20, 6)], 6),
    ],
)
def test_how_many_were_new_within_a_hundred_seconds(looks: list[tuple[float, int]], expected: int) -> None:
    tally = Tally(100.0)
    for now, total in looks:
        tally.take("dimm0", total, now)
    assert tally.within("dimm0", looks[-1][0]) == expected
    assert tally.within("another", looks[-1][0]) == 0


@given(st.lists(st.tuples(st.floats(0.001, 50), st.integers(0, 1000)), min_size=1, max_size=2000))
def test_a_tally_is_right_to_its_grain_and_bounded(steps: list[tuple[float, int]]) -> None:
    window, grain = 100.0, 100.0 / 256
    tally, now, happened = Tally(window), 0.0, []
    for wait, new in steps:
        now += wait
        happened.append((now, new))
        tally.happened("x", new, now)
        least = sum(count for at, count in happened if at > now - window + grain)
        most = sum(count for at, count in happened if at > now - window)
        assert least <= tally.within("x", now) <= most
        assert len(tally._counts["x"].seen) <= 258


def test_what_is_missing_and_for_how_long() -> None:
    seen = Seen(100.0)
    assert seen.missing(["a", "b"], 0) == []
    assert seen.missing(["b"], 50) == ["a"]
    assert seen.missing([], 99) == ["a", "b"]
    assert seen.missing([], 100) == ["b"]
    assert seen.missing([], 150) == []
    assert seen.missing(["a"], 151) == []


# --- the record --------------------------------------------------------------------------------------------------


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_retry_is_on_record_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "monitors" / "retries.jsonl"
    before = time.time_ns() // 1000
    counting = Record(path).counting(3600.0)
    for total in (3, 3, 5, 6):
        counting.take("memory/db1/mc0/dimm0 corrected", total, time.monotonic())
    counting.take("nic/db1/eth0 errors", 0, time.monotonic())
    lines = _lines(path)
    assert [(each["what"], each["new"], each["total"]) for each in lines] == [
        ("memory/db1/mc0/dimm0 corrected", 0, 3),
        ("memory/db1/mc0/dimm0 corrected", 2, 5),
        ("memory/db1/mc0/dimm0 corrected", 1, 6),
    ]
    assert all(isinstance(each["at"], int) and before <= each["at"] <= time.time_ns() // 1000 for each in lines)
    assert path.stat().st_mode & 0o077 == 0


def test_counting_goes_on_after_a_restart_with_what_happened_meanwhile(tmp_path: Path) -> None:
    path, now = tmp_path / "retries.jsonl", time.monotonic()
    counting = Record(path).counting(3600.0)
    counting.take("x", 10, now)
    counting.take("x", 14, now)
    again = Record(path).counting(3600.0)
    assert again.knows("x") and not again.knows("y")
    assert again.take("x", 15, now) == 1
    assert again.within("x", now) == 5


def test_what_is_older_than_the_window_is_not_counted_again(tmp_path: Path) -> None:
    path, now = tmp_path / "retries.jsonl", time.monotonic()
    hours = [(time.time_ns() // 1000 - age * 3_600_000_000, new) for age, new in ((30, 100), (20, 3), (-5, 1))]
    path.write_text("".join(json.dumps({"at": at, "what": "x", "new": new, "total": 9}) + "\n" for at, new in hours))
    counting = Record(path).counting(86_400.0)
    assert counting.take("x", 9, now) == 0
    assert counting.within("x", now) == 4  # an entry of the future counts as now


def test_lines_that_cannot_be_understood_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "retries.jsonl"
    good = json.dumps({"at": time.time_ns() // 1000, "what": "x", "new": 2, "total": 9})
    path.write_bytes(f'{good}\n[]\n{{"at": "x"}}\nnull\n'.encode() + b"\xff\xfe\n" + good[:20].encode())
    assert Record(path).counting(60.0).take("x", 9, time.monotonic()) == 0


def test_the_record_is_two_files_of_a_bounded_size(tmp_path: Path) -> None:
    path, now = tmp_path / "retries.jsonl", time.monotonic()
    counting = Record(path, most=2000).counting(3600.0)
    for total in range(200):
        counting.take("x", total, now)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["retries.jsonl", "retries.jsonl.1"]
    assert all(each.stat().st_size < 2200 for each in tmp_path.iterdir())
    assert _lines(path)[-1]["total"] == 199 or _lines(path.with_name("retries.jsonl.1"))[-1]["total"] == 199
    assert Record(path, most=2000).counting(3600.0).take("x", 199, now) == 0


def test_a_disk_that_takes_no_line_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    counting = Record(tmp_path / "file" / "retries.jsonl").counting(3600.0)
    assert [counting.take("x", total, 0.0) for total in (1, 5, 6)] == [0, 4, 1]
    assert caplog.text.count("cannot be recorded") == 1
