"""The shared log manager on a real database: what was held back, each line's own time, notification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from coordinating import BEGIN, Coordinating
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.coordinator.lines import HELD_EVERY
from noroshi.node.core.batches import split
from noroshi.node.wire.messages import Held, LogBatch, LogPart
from noroshi.store import views
from noroshi.store.views import LogLine

STREAM = b"s" * 16
SOURCE = "/var/log/app"


@pytest.fixture
def coordinating(tmp_path: Path) -> Iterator[Coordinating]:
    one = Coordinating(tmp_path / "shared")
    yield one
    one.close()


def send(one: Coordinating, start: int, end: int, lines: list[str], held: int = 0, times: tuple[int, ...] = ()) -> None:
    at = BEGIN + round(one.seconds * 1_000_000)
    limit = Held(held, "10/s") if held else None
    one.ask(LogBatch([LogPart(STREAM, SOURCE, start, end, at, lines, [], list(times), limit)]), "db2")


def log(one: Coordinating) -> list[LogLine]:
    return list(one.query(lambda c: views.log_after(c, 0, 100)))


@pytest.mark.parametrize("crashing", [False, True])
@pytest.mark.parametrize("take_over", [False, True])
def test_what_was_held_back_is_told_once_and_exactly(
    coordinating: Coordinating, crashing: bool, take_over: bool
) -> None:
    coordinating.crashing = crashing
    send(coordinating, 0, 10, ["one"], held=3)
    send(coordinating, 0, 10, ["one"], held=3)  # its answer was lost
    coordinating.wait(2.0)
    send(coordinating, 10, 20, [], held=4)
    assert [line.line for line in log(coordinating)] == ["one"]
    if take_over:
        coordinating.take_over("db3")
    assert coordinating.due_in() is not None
    coordinating.wait(HELD_EVERY)
    told = log(coordinating)[-1]
    assert (told.node, told.source) == ("db2", SOURCE)
    assert told.line == (
        "[noroshi: 7 lines held back by the rate limit of 10/s,"
        " seen 2023-11-14T22:13:20.000000Z to 2023-11-14T22:13:22.000000Z]"
    )
    coordinating.wait(10 * HELD_EVERY)
    assert len(log(coordinating)) == 2
    send(coordinating, 20, 30, [], held=1)
    coordinating.wait(HELD_EVERY)
    assert "[noroshi: 1 lines held back" in log(coordinating)[-1].line


def test_the_line_that_tells_it_is_notified_as_any_other(coordinating: Coordinating) -> None:
    coordinating.define(
        'logs: [{name: flood, match: {source: "/var/log/**", pattern: "held back by the rate limit"},'
        " notify: [{priority: 1, node: db1, procedure: socket, application: 'tcp://127.0.0.1:9'}]}]"
    )
    send(coordinating, 0, 10, ["one"], held=3)
    assert coordinating.deliveries == []
    coordinating.wait(HELD_EVERY)
    ((_, delivery),) = coordinating.deliveries
    assert b"3 lines held back" in delivery.payload


def test_own_times_are_what_lines_are_found_by(coordinating: Coordinating) -> None:
    send(coordinating, 0, 10, ["late", "timeless"], times=(BEGIN - 5_000_000, 0))
    send(coordinating, 10, 20, ["a record\n  of two lines"], times=(BEGIN - 9_000_000,))
    send(coordinating, 20, 30, ["none known"])
    lines = log(coordinating)
    assert [line.logged_at for line in lines] == [BEGIN - 5_000_000, None, BEGIN - 9_000_000, None]
    assert lines[2].line == "a record\n  of two lines"
    found = coordinating.query(
        lambda c: views.scan_window(c, views.LogFilter(), views.Window(BEGIN - 6_000_000, None), None, limit=9)
    )
    assert [line.line for line in found.lines] == ["none known", "timeless", "late"]
    assert coordinating.query(lambda c: views.log_id_at(c, BEGIN - 10_000_000)) == 3


@given(st.lists(st.sampled_from(["", "a", "b" * 90]), min_size=1, max_size=9), st.booleans())
def test_pieces_of_a_deferred_part_keep_each_lines_time_and_count_once(lines: list[str], timed: bool) -> None:
    ends = [10 * (number + 1) for number in range(len(lines))]
    times = [BEGIN + number for number in range(len(lines))] if timed else []
    part = LogPart(STREAM, SOURCE, 0, 999, BEGIN, lines, ends, times, Held(5, "1/s", [3, 17, 20, 995, 999]))
    pieces = split(part, 240)
    assert [line for piece in pieces for line in piece.lines] == lines
    assert [time for piece in pieces for time in piece.times] == times
    held = [sum(piece.start < end <= piece.end for end in (3, 17, 20, 995, 999)) for piece in pieces]
    assert [piece.held for piece in pieces] == [Held(count, "1/s") if count else None for count in held]
    (nothing_else,) = split(msgspec.structs.replace(part, lines=[], ends=[], times=[]), 240)
    assert nothing_else.held == Held(5, "1/s")
