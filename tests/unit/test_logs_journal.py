"""The journal's pure parts: entries, where reading stands, what waits to be sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.receiver import take_part
from noroshi.node.logs.journal.backlog import Backlog, Line
from noroshi.node.logs.journal.course import Course, Phase, Verdict
from noroshi.node.logs.journal.entries import FIELDS, TOO_LONG, Entry, covers, decode, line_of, source_of
from noroshi.node.logs.lines import LIMIT


def entry(**fields: object) -> Entry:
    return decode(json.dumps({"__CURSOR": "c", "__REALTIME_TIMESTAMP": "17", **fields}).encode())


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"MESSAGE": "text"}, "text"),
        ({"MESSAGE": "text", "SYSLOG_IDENTIFIER": "sshd", "_PID": "7"}, "sshd[7]: text"),
        ({"MESSAGE": "text", "SYSLOG_IDENTIFIER": "sshd", "SYSLOG_PID": "8"}, "sshd[8]: text"),
        ({"MESSAGE": "text", "_COMM": "cat"}, "cat: text"),
        ({"MESSAGE": [104, 105, 255]}, "hi\ufffd"),
        ({"MESSAGE": []}, ""),
        ({"MESSAGE": None}, TOO_LONG),
        ({"MESSAGE": ["one", [116, 119, 111], None]}, f"one\ntwo\n{TOO_LONG}"),
        ({"MESSAGE": "a\nb\n"}, "a\nb"),
        ({"MESSAGE": "a\u0000b"}, "a\ufffdb"),
        ({}, None),
    ],
)
def test_the_line_of_an_entry(fields: dict[str, object], line: str | None) -> None:
    assert line_of(entry(**fields)) == line


def test_no_line_is_longer_than_one_of_a_file_whatever_anybody_writes() -> None:
    """A part that no message holds would hold up what is behind it for ever."""
    many = ["x" * 60_000] * 100
    line = line_of(entry(MESSAGE=many, SYSLOG_IDENTIFIER="i" * 1_000_000, SYSLOG_PID="7" * 1_000_000))
    assert line is not None and len(line) < LIMIT + 300
    assert line.startswith("iii") and line.endswith(f"…[cut {100 * 60_000 + 99 - LIMIT} bytes]")


def test_what_may_wait_is_counted_in_bytes() -> None:
    backlog = Backlog(b"s" * 16, False)
    backlog.add([Line("journal/a", 1, "\U0001f4a5" * 10_000)] * 27, 5)
    assert not backlog.room, "some 1.1 MB"


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"_SYSTEMD_UNIT": "nginx.service"}, "journal/nginx.service"),
        ({"_SYSTEMD_UNIT": "init.scope", "_PID": "1", "UNIT": "nginx.service"}, "journal/nginx.service"),
        ({"_SYSTEMD_UNIT": "evil.service", "_PID": "9", "UNIT": "nginx.service"}, "journal/evil.service"),
        ({"_SYSTEMD_UNIT": "a.service", "_UID": "0", "COREDUMP_UNIT": "b.service"}, "journal/b.service"),
        ({"_SYSTEMD_UNIT": "a.service", "_UID": "7", "COREDUMP_UNIT": "b.service"}, "journal/a.service"),
        ({"_SYSTEMD_UNIT": "a.service", "_UID": "7", "OBJECT_SYSTEMD_UNIT": "b.service"}, "journal/a.service"),
        ({"_SYSTEMD_UNIT": "session-42.scope"}, "journal/session.scope"),
        ({"_TRANSPORT": "kernel", "SYSLOG_IDENTIFIER": "kernel"}, "journal/kernel"),
        ({"SYSLOG_IDENTIFIER": "../../x\n"}, "journal/.._.._x_"),
        ({"SYSLOG_IDENTIFIER": ["one", "two"]}, "journal/one"),
        ({}, "journal/unknown"),
    ],
)
def test_whose_an_entry_is(fields: dict[str, object], source: str) -> None:
    assert source_of(entry(**fields)) == source


@pytest.mark.parametrize(
    ("units", "priority", "expected"),
    [
        ((), None, True),
        (("nginx",), None, True),
        (("nginx.service",), None, True),
        (("ng*",), None, True),
        (("other", "nginx"), "err", True),
        (("nginx",), "crit", False),
        (("nginx.timer",), None, False),
    ],
)
def test_what_a_rule_covers(units: tuple[str, ...], priority: str | None, expected: bool) -> None:
    assert covers(units, priority, entry(_SYSTEMD_UNIT="nginx.service", PRIORITY="3")) is expected


def test_without_a_priority_an_entry_has_none() -> None:
    assert covers((), None, entry()) and not covers((), "debug", entry()) and not covers((), "err", entry(PRIORITY="x"))


def test_times_and_what_is_no_entry() -> None:
    assert entry().time == 17 and entry(__REALTIME_TIMESTAMP="-1").time == 0
    assert "MESSAGE" in FIELDS.split(",") and "_SYSTEMD_UNIT" in FIELDS and "__CURSOR" not in FIELDS
    for line in (b"-- No entries --", b"{}", b'{"__CURSOR":1}', b"[" * 100_000):
        with pytest.raises((ValueError, RecursionError)):
            decode(line)


# --- where reading stands -----------------------------------------------------------------------------------------


def test_a_new_rule_begins_after_the_newest_entry() -> None:
    course = Course(None)
    assert course.phase is Phase.TAIL and course.entry("c5") is Verdict.SKIP
    assert course.ended(well=True) is Verdict.STEP and (course.cursor, course.phase) == ("c5", Phase.READ)
    assert course.arguments == ["--cursor=c5"]
    assert course.entry("c5") is Verdict.SKIP and course.entry("c6") is Verdict.TAKE
    assert course.ended(well=True) is Verdict.STEP
    assert course.arguments == ["--follow", "--no-tail", "--cursor=c6"]
    assert course.entry("c6") is Verdict.SKIP and course.entry("c7") is Verdict.TAKE


def test_a_new_rule_on_an_empty_journal_begins_before_its_first_entry() -> None:
    course = Course(None)
    assert course.ended(well=False) is Verdict.FAILED and course.phase is Phase.TAIL
    course.ended(well=True)
    assert course.cursor == "" and course.arguments == []
    assert course.entry("c1") is Verdict.TAKE


def test_what_was_read_last_is_still_there_after_a_restart() -> None:
    course = Course("c5")
    assert (course.phase, course.arguments) == (Phase.CHECK, ["--cursor=c5"])
    assert course.entry("c5") is Verdict.STEP and course.phase is Phase.READ
    assert course.entry("c7") is Verdict.TAKE, "the entry of the cursor is outside of what the rule wants now"


def test_what_was_read_last_is_gone() -> None:
    course = Course("c5")
    assert course.entry("c9") is Verdict.GAP and course.phase is Phase.READ
    assert (course.cursor, course.inclusive) == ("c9", True)
    assert Course("c9", inclusive=True).phase is Phase.READ
    assert course.entry("c9") is Verdict.TAKE and not course.inclusive


def test_a_journal_that_shows_nothing_may_come_back_and_another_one_is_read_whole() -> None:
    course = Course("c5")
    assert course.ended(well=True) is Verdict.STEP and course.phase is Phase.ANY
    assert course.ended(well=True) is Verdict.FAILED and course.phase is Phase.CHECK
    course.ended(well=True)
    assert course.entry("other 1") is Verdict.GAP and course.cursor == "" and course.phase is Phase.READ


@pytest.mark.parametrize("phase", [Phase.READ, Phase.FOLLOW])
def test_one_that_crashes_is_followed_by_another_look_from_where_it_stood(phase: Phase) -> None:
    course = Course("c5")
    course.entry("c5")
    if phase is Phase.FOLLOW:
        course.ended(well=True)
    assert course.phase is phase and course.entry("c5") is Verdict.SKIP and course.entry("c6") is Verdict.TAKE
    assert course.ended(well=False) is Verdict.FAILED
    assert (course.phase, course.cursor) == (Phase.CHECK, "c6")


# --- what waits ---------------------------------------------------------------------------------------------------


def lines(*texts: str) -> list[Line]:
    return [Line(f"journal/{text[0]}", 17, text) for text in texts]


def test_parts_follow_each_other_by_source_and_are_sent_once_saved() -> None:
    backlog = Backlog(b"s" * 16, False)
    backlog.add(lines("a1", "a2", "b1"), 1)
    backlog.add(lines("b2"), 2)
    assert backlog.unsaved and not backlog.may_send(0)
    backlog.saved()
    backlog.add(lines("b3"), 3)
    assert [(part.start, part.end, part.lines) for part in backlog.batch(1000)] == [
        (0, 2, ["a1", "a2"]),
        (2, 4, ["b1", "b2"]),
    ]
    assert not backlog.may_send(0)
    backlog.taken(4, 0)
    assert [part.lines for part in backlog.parts] == [["b3"]] and not backlog.may_send(0)


def test_a_restart_sends_what_was_saved_again() -> None:
    backlog = Backlog(b"s" * 16, True)
    backlog.add(lines("a1", "a2"), 1)
    again = Backlog(b"s" * 16, True, backlog.last, backlog.parts)
    assert again.may_send(0) and again.sending().ends == [1, 2]
    again.taken(1, 0)
    assert (again.sending().start, again.sending().lines, again.sending().ends) == (1, ["a2"], [2])
    again.taken(1, 5)
    assert not again.may_send(5) and again.may_send(7)


def test_a_refused_part_goes_alone() -> None:
    backlog = Backlog(b"s" * 16, False)
    backlog.add(lines("a1", "b1", "c1"), 1)
    backlog.saved()
    backlog.pending[1].refusals = 1
    assert len(backlog.batch(1000)) == 1
    backlog.taken(1, 0)
    assert len(backlog.batch(1000)) == 1
    assert backlog.skip().lines == ["b1"] and len(backlog.batch(1000)) == 1


@given(st.lists(st.sampled_from(["add", "save", "send", "lost", "crash"]), max_size=40), st.booleans())
def test_whatever_is_lost_every_saved_line_is_taken_once_and_in_order(steps: list[str], deferred: bool) -> None:
    """A crash forgets what was not saved; the journal gives that again."""
    backlog, disk = Backlog(b"s" * 16, deferred), (0, [])
    position: int | None = None
    stored: list[str] = []
    read = saved_read = 0

    def send(*, answered: bool) -> None:
        nonlocal position
        if not backlog.may_send(0):
            return
        for part in backlog.batch(1000):
            taken = take_part(part.start, part.end, position, part.ends)
            assert not taken.lost
            if taken.taken:
                stored.extend(part.lines[taken.skip :])
            position = taken.position
        if answered:
            backlog.taken(position or 0, 0)
        else:
            backlog.not_taken()

    for step in [*steps, "save", *["send"] * 50]:
        if step == "add":
            backlog.add(lines(*(f"{'ab'[number % 2]}{number}" for number in range(read, read + 3))), 1)
            read += 3
        elif step == "save":
            disk, saved_read = (backlog.last, backlog.parts), read  # type: ignore[assignment]
            backlog.saved()
        elif step == "crash":
            backlog, read = Backlog(b"s" * 16, deferred, *disk), saved_read
        else:
            send(answered=step == "send")
    assert stored == [f"{'ab'[number % 2]}{number}" for number in range(read)]
