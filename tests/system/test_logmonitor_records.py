"""The log monitor as a process: records of several lines, encodings, the rate limit, the time a line gives itself."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from logstand import QUICK, Coordinator, MonitorProcess, Shelf, Stand, append, standing
from waiting import wait_until

from noroshi.node.logs.messages import Limit, Record, Rule, Taken
from noroshi.node.wire.messages import LogBatch, Reply


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path) as stand:
        yield stand


def rule(stand: Stand, start: str | None = "^S", timeout: float = 60.0, **more: object) -> Rule:
    return Rule(str(stand.file("app.log")), record=Record(start, timeout), **more)  # type: ignore[arg-type]


def test_a_record_is_one_row_and_is_selected_as_a_whole(stand: Stand) -> None:
    stand.start(rule(stand, None, select=["Caused"], except_=["harmless"]))
    log = stand.file("app.log")
    append(log, "Exception: x", "  at a", "", "  Caused by: y", "plain", "Other", " Caused by: harmless", "next")
    stand.wait_for("app.log", ["Exception: x\n  at a\n\n  Caused by: y"])
    assert stand.coordinator.shelf.parts[0].start == 0


def test_the_last_record_is_taken_when_nothing_follows_and_what_comes_later_is_another(stand: Stand) -> None:
    monitor = stand.start(rule(stand, timeout=0.3))
    log = stand.file("app.log")
    append(log, "S1", " a")
    stand.wait_for("app.log", ["S1\n a"])
    append(log, " b", "S2", " c")
    stand.wait_for("app.log", ["S1\n a", " b", "S2\n c"])
    monitor.kill()
    append(log, " d", "S3")
    stand.start(rule(stand, timeout=0.3))
    stand.wait_for("app.log", ["S1\n a", " b", "S2\n c", " d", "S3"])
    assert stand.coordinator.shelf.lost == 0


def test_the_record_open_at_the_end_of_a_rotated_file_ends_there(stand: Stand) -> None:
    monitor = stand.start(rule(stand))
    log = stand.file("app.log")
    append(log, "S1", " a")
    seen = monitor.alive
    wait_until("another sign of life", lambda: monitor.alive is not seen)
    log.rename(stand.file("app.log.1"))
    append(log, " b", "S2", "S3")
    stand.wait_for("app.log", ["S1\n a", " b", "S2"])


def test_whole_lines_of_an_open_record_outlive_a_truncation(stand: Stand) -> None:
    monitor = stand.start(rule(stand))
    log = stand.file("app.log")
    append(log, "S0", "S1", " a")
    stand.wait_for("app.log", ["S0"])  # so the open record has been read too
    os.truncate(log, 0)
    append(log, "S2", "S3")
    stand.wait_for("app.log", ["S0", "S1\n a", "S2"])
    assert monitor.raised == []


def test_what_is_truncated_out_of_an_open_record_is_told(stand: Stand) -> None:
    monitor = stand.start(rule(stand))
    first = "S1".ljust(1100, "x")  # a file that is shorter than what it is known by would count as another one
    append(stand.file("app.log"), first, "S2", " more", " and more")
    stand.wait_for("app.log", [first])
    os.truncate(stand.file("app.log"), len(f"{first}\nS2\n mo"))
    wait_until("it is told", lambda: monitor.raised)
    assert (monitor.raised[0].state, "at least 13 bytes" in monitor.raised[0].supplement) == ("WARNING", True)
    append(stand.file("app.log"), "re again", "S3")
    stand.wait_for("app.log", [first, "S2\n more again"])


def test_deferred_records_are_cut_alike_after_a_kill(stand: Stand) -> None:
    """What was taken as it stood is in the daemon's spool as two records: so it stays when it is read again."""
    deferred = rule(stand, timeout=0.2, deferred=True)
    first = stand.start(deferred)
    append(stand.file("app.log"), "S1", " a")
    wait_until("the record is deferred", lambda: first.deferred)
    first.kill()  # before the daemon's answer is saved
    append(stand.file("app.log"), " b", "S2", "S3")
    second = stand.start(deferred)
    part = wait_until("the rest is deferred", lambda: second.deferred)[0]
    assert (part.lines, part.ends) == (["S1\n a", " b", "S2"], [6, 9, 12])
    second.tell(Taken(part.stream, part.end))


def test_a_start_that_takes_for_ever_makes_each_line_a_record(stand: Stand) -> None:
    monitor = stand.start(rule(stand, "(a+)+$"))
    poison = "a" * 40 + "b"
    append(stand.file("app.log"), "no", poison, "no", "aa", " x", "aa")
    stand.wait_for("app.log", ["no", poison + "\nno", "aa\n x"])
    event = wait_until("it is told", lambda: monitor.raised)[0]
    assert "'(a+)+$'" in event.supplement


@pytest.mark.parametrize(
    ("name", "mark"), [("latin-1", ""), ("utf-16", "\ufeff"), ("utf-16-be", ""), ("shift_jis", "")]
)
def test_a_log_in_another_encoding(stand: Stand, name: str, mark: str) -> None:
    codec = "utf-16-le" if name == "utf-16" else name
    log = stand.file("app.log")
    log.write_bytes((mark + "old\nbegun ").encode(codec))
    words = "火の見" if name != "latin-1" else "Grüße"
    stand.start(Rule(str(log), encoding=name))
    with log.open("ab") as file:
        file.write((f"{words}\r\n" + "ਁ\u0a0a"[: 2 * ("16" in name)] + "next\nunfin").encode(codec))
    odd = "ਁ\u0a0a" if "16" in name else ""
    stand.wait_for("app.log", [f"begun {words}", f"{odd}next"])
    log.rename(stand.file("app.log.1"))
    stand.wait_for("app.log", [f"begun {words}", f"{odd}next", "unfin"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_log_that_is_not_in_the_encoding_of_its_rule_is_told(stand: Stand, encoding: str) -> None:
    append(stand.file("app.log"), *(f"plain line {number}" for number in range(20)))
    other, codec = stand.file("other.log"), encoding if encoding != "utf-16" else "utf-16-le"
    other.touch()
    rules = [Rule(str(stand.file(name)), encoding=encoding) for name in ("app.log", "other.log")]
    monitor = stand.start(*rules)
    append(stand.file("app.log"), *(f"another line {number}" for number in range(20)))
    other.write_bytes(("\u4e0a" * 200 + "\n").encode(codec))  # of bytes that look like newlines
    wait_until("it is told", lambda: monitor.raised)
    assert [(event.state, "reads like UTF-8" in event.supplement) for event in monitor.raised] == [("ERROR", True)]
    assert str(stand.file("app.log")) in monitor.raised[0].supplement
    stand.wait_for("other.log", ["\u4e0a" * 200])


def test_the_time_a_line_gives_goes_with_it(stand: Stand) -> None:
    stand.start(Rule(str(stand.file("app.log"))))
    append(stand.file("app.log"), "2026-11-27T01:02:03.5Z one", "two", "1764205323 three")
    stand.wait_for("app.log", ["2026-11-27T01:02:03.5Z one", "two", "1764205323 three"])
    assert stand.coordinator.shelf.times == [1_795_741_323_500_000, 0, 1_764_205_323_000_000]


def test_what_is_beyond_the_rate_is_held_back_and_counted(stand: Stand) -> None:
    limit = Limit(1, 3600, 5, "1/h")
    monitor = stand.start(Rule(str(stand.file("app.log")), ["error"], limit=limit))
    shelf = stand.coordinator.shelf
    append(stand.file("app.log"), *(f"error {number}" for number in range(20)), "noise")
    stand.wait_for("app.log", [f"error {number}" for number in range(5)])
    wait_until("what was held back is counted", lambda: shelf.held == 15)
    monitor.kill()
    append(stand.file("app.log"), *(f"error {number}" for number in range(20, 40)))
    stand.start(Rule(str(stand.file("app.log")), ["error"], limit=limit))
    wait_until("every line is stored or counted", lambda: len(stand.stored("app.log")) + shelf.held == 40)
    assert len(stand.stored("app.log")) <= 2 * 5


def test_a_quiet_file_gathers_no_more_than_its_burst(stand: Stand) -> None:
    log = stand.file("app.log")
    log.write_text("old\n")
    os.utime(log, (1_700_000_000, 1_700_000_000))
    stand.start(Rule(str(log), limit=Limit(1, 60, 5, "1/m")))
    append(log, *(f"line {number}" for number in range(200)))
    shelf = stand.coordinator.shelf
    wait_until("every line is stored or counted", lambda: len(stand.stored("app.log")) + shelf.held == 200)
    assert len(stand.stored("app.log")) <= 6


@pytest.mark.parametrize("now", ["utf-16", "utf-16-le", "utf-16-be"])
def test_an_encoding_that_is_put_right_is_read_on_in_step(stand: Stand, now: str) -> None:
    """Read as UTF-8, a line of UTF-16 may end in the middle of its newline."""
    log, codec = stand.file("app.log"), "utf-16-le" if now == "utf-16" else now
    log.write_bytes(b"")
    monitor = stand.start(Rule(str(log)))
    log.write_bytes("\ufeffone\n".encode(codec))
    wait_until("it is stored somehow", lambda: len(stand.stored("app.log")) == 1)
    assert monitor.stop() == 0
    stand.start(Rule(str(log), encoding=now))
    with log.open("ab") as file:
        file.write("two\nthree\n".encode(codec))
    wait_until("the rest is stored", lambda: stand.stored("app.log")[1:] == ["two", "three"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_every_line_of_every_record_is_stored_or_counted_once(tmp_path: Path, seed: int) -> None:
    """Records written in pieces, rotated, copied and truncated; kills; answers that are lost; a limit on half of it."""
    chance = random.Random(seed)
    logs = tmp_path / "logs"
    logs.mkdir()
    limit = Limit(200, 1, 50, "200/s") if seed % 2 else None
    record = Record("^S", 0.2) if limit is None else None
    rules = [Rule(str(logs / "app.log"), ["L"], record=record, limit=limit)]
    shelf, log, written = Shelf(), logs / "app.log", 0

    def unreliable(batch: LogBatch) -> Reply | str | None:
        return chance.choices([None, "mute", "drop"], [12, 1, 1])[0]

    def write() -> None:
        nonlocal written
        with log.open("a") as file:
            for _ in range(chance.choice([1, 2, 5, 40])):
                written += 1
                file.write(chance.choice(["S", " ", " "]) + f"L{written}")
                file.flush()
                file.write("\n")

    def rotate() -> None:
        if not log.exists():
            return
        for number in range(30, 0, -1):
            old = logs / f"app.log.{number}"
            if old.exists():
                old.rename(logs / f"app.log.{number + 1}")
        if chance.random() < 0.5:
            log.rename(logs / "app.log.1")
        else:
            shutil.copyfile(log, logs / "app.log.1")
            os.truncate(log, 0)

    def counted() -> int:
        return sum(record.count("\n") + 1 for lines in shelf.lines.values() for record in lines)

    with Coordinator(shelf, unreliable) as coordinator:
        monitor = MonitorProcess(tmp_path / "state", rules)
        wait_until("the monitor has had its first look", lambda: monitor.alive)
        monitor.lead(coordinator.endpoint)
        for _ in range(60):
            chance.choices([write, rotate], [6, 1])[0]()
            if chance.random() < 0.1:
                monitor.kill()
                monitor = MonitorProcess(tmp_path / "state", rules)
                monitor.lead(coordinator.endpoint)
            if chance.random() < 0.3:
                seen = monitor.alive
                wait_until("another sign of life", lambda: monitor.alive is not seen)  # noqa: B023
        try:
            if limit is None:
                wait_until("every line is stored", lambda: counted() == written or None, 60)
            else:
                wait_until("every line is stored or counted", lambda: counted() + shelf.held == written or None, 60)
        finally:
            monitor.kill()
    assert shelf.lost == 0
    if limit is not None:
        assert 0 < shelf.held < written
    else:
        stored = [line for record in shelf.lines[str(log)] for line in record.split("\n")]
        assert [line[1:] for line in stored] == [f"L{number + 1}" for number in range(written)]
        assert all("S" not in record[1:] for record in shelf.lines[str(log)])


def test_an_empty_file_written_copied_truncated_and_written_again_between_two_looks_loses_nothing(stand: Stand) -> None:
    """Its size only grew, and it had no first bytes to be known by: the directory has to tell."""
    slow = msgspec.structs.replace(QUICK, quiet=1.5, active=1.5, beat=0.05)
    log = stand.file("app.log")
    log.touch()
    monitor = stand.start(Rule(str(log)), timing=slow)
    for turn in range(3):
        seen = monitor.alive
        wait_until("the monitor is past its look", lambda: monitor.alive is not seen)  # noqa: B023
        append(log, f"{turn} before")
        for number in range(turn, 0, -1):
            stand.file(f"app.log.{number}").rename(stand.file(f"app.log.{number + 1}"))
        shutil.copyfile(log, stand.file("app.log.1"))
        os.truncate(log, 0)
    append(log, "after, and longer than before")
    stand.wait_for("app.log", ["0 before", "1 before", "2 before", "after, and longer than before"])
