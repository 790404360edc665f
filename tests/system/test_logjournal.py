"""The systemd journal as a source of lines: real journals, the real journalctl, the log monitor's own process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from journaldesk import Desk, children, desk_on
from journals import needs_journal
from logstand import MonitorProcess, append
from waiting import wait_until

from noroshi.node.logs.journal.entries import TOO_LONG
from noroshi.node.logs.messages import JournalRule, Rule, Taken
from noroshi.node.wire.messages import LogBatch, Refused, Reply

pytestmark = needs_journal


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from desk_on(tmp_path)


def reading(monitor: MonitorProcess) -> int:
    """The journalctl that follows."""

    def following() -> int:
        for pid in children(monitor.process.pid):
            try:
                if b"--follow" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            except OSError:
                continue
        return 0

    return wait_until("journalctl follows", following)


def test_what_is_written_from_now_on_is_stored_by_unit(desk: Desk) -> None:
    desk.journal.write("old")
    desk.start(JournalRule(desk.journal.command, select=["error"], except_=["harmless"]))
    desk.journal.write("error 1", "no", "error harmless", "error 2")
    desk.journal.write("error 3", unit="other.service", SYSLOG_IDENTIFIER="other", _PID="7")
    desk.wait_for("app[12]: error 1", "app[12]: error 2")
    desk.wait_for("other[7]: error 3", source="journal/other.service")
    times = [time for part in desk.coordinator.shelf.parts for time in part.times]
    assert times == [1_700_000_000_000_000 + number * 1_000_000 for number in (2, 5, 6)]


def test_units_patterns_and_priorities_limit_a_rule_and_the_first_rule_has_it(desk: Desk) -> None:
    desk.journal.write("old")
    command = desk.journal.command
    desk.start(
        JournalRule(command, units=["app", "b.service"], priority="err"),
        JournalRule(command, units=["a*"]),
    )
    for number, (unit, priority) in enumerate([("app", "3"), ("app", "4"), ("b", "0"), ("b", "4"), ("c", "0")]):
        desk.journal.write(f"m{number}", unit=f"{unit}.service", PRIORITY=priority)
    desk.wait_for("app[12]: m2", source="journal/b.service")
    wait_until("both of app", lambda: sorted(desk.stored()) == ["app[12]: m0", "app[12]: m1"])
    assert set(desk.coordinator.shelf.lines) == {"journal/app.service", "journal/b.service"}


def test_messages_of_every_shape_become_lines(desk: Desk) -> None:
    desk.journal.write("old")
    desk.start()
    desk.journal.write(b"caf\xe9 \xff", "two\nlines\n", ["first", "second"], "x" * 6000, "y" * 70000)
    expected = ["caf\ufffd \ufffd", "two\nlines", "first\nsecond", "x" * 6000]
    expected += ["y" * 65536 + " …[cut 4464 bytes]"]
    desk.wait_for(*(f"app[12]: {line}" for line in expected))


def test_a_restart_goes_on_where_it_stood_and_also_with_other_units(desk: Desk) -> None:
    desk.journal.write("old")
    desk.start(JournalRule(desk.journal.command, units=["app"])).stop()
    desk.journal.write("meanwhile")
    desk.journal.rotate()
    desk.journal.write("in the next file")
    desk.start(JournalRule(desk.journal.command, units=["app", "other"])).kill()
    desk.start(JournalRule(desk.journal.command, units=["app", "other"]))
    desk.wait_for("app[12]: meanwhile", "app[12]: in the next file")


def test_what_an_earlier_boot_left_unread_is_read_after_the_next(desk: Desk) -> None:
    desk.journal.write("old")
    desk.start().stop()
    desk.journal.write("before")
    desk.journal.write("after", _BOOT_ID="aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb")
    desk.start()
    desk.wait_for("app[12]: before", "app[12]: after")


def test_an_empty_journal_is_read_from_its_first_entry(desk: Desk) -> None:
    desk.journal.write("old")
    desk.journal.file.unlink()
    monitor = MonitorProcess(desk.directory / "state", [], journals=[JournalRule(desk.journal.command)])
    desk.monitors.append(monitor)
    monitor.lead(desk.coordinator.endpoint)
    told = wait_until("it is told", lambda: [event for event in monitor.raised if event.state == "ERROR"])
    assert "there is none yet: see that systemd-journald runs" in told[0].supplement
    desk.journal.write("first")
    wait_until("it has its place", lambda: list(desk.places))
    desk.journal.write("second")
    desk.wait_for("app[12]: first", "app[12]: second")
    wait_until("all is well", lambda: monitor.raised[-1].state == "OK")


def test_a_vacuumed_journal_is_a_gap_and_is_read_from_what_is_left(desk: Desk) -> None:
    desk.journal.write("old")
    desk.start().stop()
    desk.journal.write("lost")
    first = desk.journal.file
    desk.journal.rotate()
    desk.journal.write("left 1", "left 2")
    first.unlink()
    monitor = desk.start()
    desk.wait_for("app[12]: left 1", "app[12]: left 2")
    (told,) = wait_until("it is told", lambda: list(monitor.raised))
    assert told.state == "WARNING" and "SystemMaxUse" in told.supplement


def test_what_was_read_is_stored_although_the_journal_is_gone(desk: Desk) -> None:
    desk.coordinator.judge = lambda batch: "drop"
    desk.journal.write("old")
    monitor = desk.start()
    desk.journal.write("one", "two")
    wait_until("it was sent", lambda: desk.coordinator.batches)
    monitor.kill()
    desk.journal.file.unlink()
    desk.coordinator.judge = lambda batch: None
    desk.start()
    desk.wait_for("app[12]: one", "app[12]: two")
    assert desk.coordinator.shelf.lost == 0


def test_a_program_that_is_missing_or_may_not_read_is_told_with_what_to_do(desk: Desk, tmp_path: Path) -> None:
    script = tmp_path / "journalctl"
    monitor = MonitorProcess(tmp_path / "state", [], journals=[JournalRule([str(script)])])
    desk.monitors.append(monitor)
    wait_until("it is told", lambda: monitor.raised)
    assert monitor.raised[0].state == "ERROR" and "install systemd" in monitor.raised[0].supplement
    script.write_text("#!/bin/sh\necho 'No journal files were opened due to insufficient permissions.' >&2\nexit 1\n")
    script.chmod(0o755)
    (tmp_path / "state2").mkdir()
    other = MonitorProcess(tmp_path / "state2", [], journals=[JournalRule([str(script)])])
    desk.monitors.append(other)
    wait_until("it is told", lambda: other.raised)
    assert "insufficient permissions" in other.raised[0].supplement
    assert "group systemd-journal" in other.raised[0].supplement


def test_a_place_that_cannot_be_had_is_told_stops_no_file_and_is_tried_again(desk: Desk, tmp_path: Path) -> None:
    desk.journal.write("before")
    in_the_way = tmp_path / "state/logs/journal"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("not a directory")
    log = tmp_path / "app.log"
    append(log, "old")
    journals = [JournalRule(desk.journal.command)]
    monitor = MonitorProcess(tmp_path / "state", [Rule(str(log))], journals=journals)
    desk.monitors.append(monitor)
    monitor.lead(desk.coordinator.endpoint)
    wait_until("it is told", lambda: monitor.raised)
    assert monitor.raised[0].state == "ERROR" and str(in_the_way) in monitor.raised[0].supplement
    wait_until("it has had its first look", lambda: monitor.alive)
    append(log, "new")
    desk.wait_for("new", source=str(log))
    in_the_way.unlink()
    wait_until("it has its place", lambda: list(desk.places), 20)
    wait_until("all is well", lambda: monitor.raised[-1].state == "OK")
    desk.journal.write("after")
    desk.wait_for("app[12]: after")


def test_two_rules_of_the_same_entries_have_a_place_each(desk: Desk) -> None:
    """The second gets nothing, whatever its patterns, and costs the first nothing."""
    rules = [JournalRule(desk.journal.command, select=["o"]), JournalRule(desk.journal.command, select=["w"])]
    desk.coordinator.judge = lambda batch: "drop"
    monitor = desk.start(*rules)
    desk.journal.write("one", "two")
    wait_until("they were sent in vain", lambda: desk.coordinator.batches)
    assert monitor.stop() == 0
    desk.coordinator.judge = lambda batch: None
    monitor = desk.start(*rules)
    desk.wait_for("app[12]: one", "app[12]: two")
    monitor.kill()
    desk.start(*rules)
    desk.journal.write("foo")
    desk.wait_for("app[12]: one", "app[12]: two", "app[12]: foo")


def test_it_dies_with_a_monitor_that_is_killed(desk: Desk) -> None:
    desk.journal.write("old")
    monitor = desk.start()
    pid = reading(monitor)
    assert os.getpgid(pid) == pid
    monitor.kill()
    wait_until("journalctl is gone", lambda: not Path(f"/proc/{pid}").exists())


def test_a_journalctl_that_crashes_is_started_again_and_costs_no_line(desk: Desk) -> None:
    desk.journal.write("old")
    monitor = desk.start()
    desk.journal.write("1")
    desk.wait_for("app[12]: 1")
    os.kill(reading(monitor), signal.SIGSEGV)
    desk.journal.rotate()
    desk.journal.write("2")
    desk.wait_for("app[12]: 1", "app[12]: 2")
    assert monitor.raised == []


def test_a_flood_is_left_in_the_journal_until_there_is_room(desk: Desk) -> None:
    desk.coordinator.judge = lambda batch: Refused("busy", "later")
    desk.journal.write("old")
    monitor = desk.start()
    messages = [f"{number} ".ljust(1000, "x") for number in range(4000)]
    desk.journal.write(*messages)
    wait_until("it reads no more", lambda: _still(monitor, "lines"))
    assert 0 < monitor.count("lines") < 2500
    desk.coordinator.judge = lambda batch: None
    wait_until("all are stored", lambda: len(desk.stored()) >= 4000, 40)
    assert desk.stored() == [f"app[12]: {message}" for message in messages]


def _still(monitor: MonitorProcess, name: str) -> bool:
    """Whether the count did not move over some signs of life, after it had moved."""
    before, seen = monitor.count(name), monitor.alive
    for _ in range(5):
        wait_until("another sign of life", lambda: monitor.alive is not seen)  # noqa: B023
        seen = monitor.alive
    return bool(before) and monitor.count(name) == before


def test_a_bad_line_is_set_aside_and_the_rest_goes_on(desk: Desk) -> None:
    def judge(batch: LogBatch) -> Reply | str | None:
        bad = any("poison" in line for part in batch.parts for line in part.lines)
        return Refused("bad-message", "no") if bad else None

    desk.coordinator.judge = judge
    desk.journal.write("old")
    monitor = desk.start(lead=False)
    entries = [("1", "a"), ("2", "b"), ("poison", "c"), ("3", "a"), ("4", "b")]
    monitor.lead(desk.coordinator.endpoint)
    desk.journal.write_all([(text, {"_SYSTEMD_UNIT": f"{unit}.service"}) for text, unit in entries])
    desk.wait_for("app[12]: 1", "app[12]: 3", source="journal/a.service")
    desk.wait_for("app[12]: 2", "app[12]: 4", source="journal/b.service")
    assert "are kept in" in wait_until("it is told", lambda: monitor.raised)[0].supplement


def test_deferred_lines_go_to_the_daemon_and_are_taken_in_pieces(desk: Desk) -> None:
    desk.journal.write("old")
    rule = JournalRule(desk.journal.command, deferred=True)
    desk.start(rule, lead=False).stop()
    desk.journal.write("1", "2", "3")  # while nobody reads, so that they are read at once
    monitor = desk.start(rule, lead=False)
    part = wait_until("three lines", lambda: [each for each in monitor.deferred if len(each.lines) == 3])[0]
    assert part.ends == [part.start + 1, part.start + 2, part.start + 3]
    monitor.tell(Taken(part.stream, part.start + 2))
    rest = wait_until("the third", lambda: [each for each in monitor.deferred if each.start == part.start + 2])[0]
    assert rest.lines == ["app[12]: 3"] and rest.ends == [part.start + 3]


def test_a_place_on_the_disk_that_takes_nothing_is_told_until_it_does(desk: Desk) -> None:
    """While how far files are read can be saved, as on a disk that is nearly full."""
    log = desk.directory / "app.log"
    append(log, "old")
    desk.journal.write("old")
    desk.start().stop()
    obstacle = next(desk.places).with_suffix(".new")
    obstacle.mkdir()
    monitor = MonitorProcess(desk.directory / "state", [Rule(str(log))], journals=[JournalRule(desk.journal.command)])
    desk.monitors.append(monitor)
    monitor.lead(desk.coordinator.endpoint)
    desk.journal.write("1")
    wait_until("it is told", lambda: monitor.raised)
    positions = desk.directory / "state/logs/positions"
    for line in "abc":
        before = positions.stat().st_mtime_ns
        append(log, line)
        wait_until("positions are saved", lambda before=before: positions.stat().st_mtime_ns != before)  # type: ignore[misc]
        monitor.await_signs(1)
    assert [event.state for event in monitor.raised] == ["ERROR"]
    obstacle.rmdir()
    desk.wait_for("app[12]: 1")
    wait_until("all is well", lambda: monitor.raised[-1].state == "OK")


def test_a_message_that_journalctl_leaves_out_is_marked(desk: Desk, tmp_path: Path) -> None:
    """Through the command of the configuration: one that prints what journalctl prints where it shortens."""
    script = tmp_path / "journalctl"
    entry = '{"__CURSOR":"c%s","__REALTIME_TIMESTAMP":"1","MESSAGE":null,"_SYSTEMD_UNIT":"app.service"}'
    script.write_text(
        f"#!/bin/sh\necho '-- no entry --'\necho '{entry % 1}'\ncase $* in *follow*) exec sleep 60; esac\n"
    )
    script.chmod(0o755)
    desk.start(JournalRule([str(script), "other"])).stop()
    script.write_text(script.read_text().replace("exec", f"echo '{entry % 2}'; exec"))
    desk.start(JournalRule([str(script), "other"]))
    desk.wait_for(TOO_LONG)
