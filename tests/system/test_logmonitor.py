"""The log monitor as a process: one thing at a time that happens to files, to its state, to its coordinator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from logstand import QUICK, Coordinator, Stand, append, standing
from waiting import wait_until

from noroshi.node.logs.messages import Rule, Taken
from noroshi.node.wire.messages import LogBatch, Refused, Reply


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with standing(tmp_path) as stand:
        yield stand


def test_files_that_exist_start_at_their_end_and_files_that_appear_at_their_start(stand: Stand) -> None:
    append(stand.file("a.log"), "old")
    with stand.file("a.log").open("a") as file:
        file.write("begun ")
    first = stand.follow("*.log")
    append(stand.file("a.log"), "before the stop")
    append(stand.file("b.log"), "appeared")
    stand.wait_for("a.log", ["begun before the stop"])
    stand.wait_for("b.log", ["appeared"])
    assert first.stop() == 0
    append(stand.file("a.log"), "meanwhile")
    append(stand.file("c.log"), "appeared meanwhile")
    append(stand.file("c.log.gz"), "compressed")
    stand.follow("*.log")
    stand.wait_for("a.log", ["begun before the stop", "meanwhile"])
    stand.wait_for("c.log", ["appeared meanwhile"])
    assert set(stand.coordinator.shelf.lines) == {str(stand.file(name)) for name in ("a.log", "b.log", "c.log")}


def test_directories_are_found_at_any_depth_and_later(stand: Stand) -> None:
    stand.follow("**/*.log")
    (stand.logs / "deep" / "deeper").mkdir(parents=True)
    (stand.logs / ".hidden").mkdir()
    for name in ("top.log", "deep/deeper/x.log", ".hidden/y.log", "deep/.z.log"):
        append(stand.file(name), name)
    stand.wait_for("deep/deeper/x.log", ["deep/deeper/x.log"])
    stand.wait_for("top.log", ["top.log"])
    assert len(stand.coordinator.shelf.lines) == 2


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"], ids=["its name alone", "the rotated name too"])
@pytest.mark.parametrize("times", [1, 2])
def test_rotated_while_nobody_looked(stand: Stand, pattern: str, times: int) -> None:
    log = stand.file("app.log")
    append(log, "old")
    monitor = stand.follow(pattern)
    append(log, "1")
    stand.wait_for("app.log", ["1"])
    monitor.kill()
    append(log, "2")
    for number in range(times):
        for older in range(number, 0, -1):
            stand.file(f"app.log.{older}").rename(stand.file(f"app.log.{older + 1}"))
        log.rename(stand.file("app.log.1"))
        append(log, str(number + 3))
    stand.follow(pattern)
    stand.wait_for("app.log", ["1", "2", *(str(number + 3) for number in range(times))])
    assert len(stand.coordinator.shelf.lines) == 1


def test_moved_out_of_its_directory_or_removed_it_is_read_to_its_end(stand: Stand) -> None:
    log = stand.file("app.log")
    monitor = stand.follow("app.log")
    with log.open("a") as writer:
        writer.write("1\n")
        writer.flush()
        stand.wait_for("app.log", ["1"])
        log.rename(stand.directory / "elsewhere")
        writer.write("2\n")
        writer.flush()
        stand.wait_for("app.log", ["1", "2"])
        (stand.directory / "elsewhere").unlink()
        writer.write("3\nunfinished")
        writer.flush()
        stand.wait_for("app.log", ["1", "2", "3", "unfinished"])
    append(log, "4")
    stand.wait_for("app.log", ["1", "2", "3", "unfinished", "4"])
    assert monitor.raised == []


def test_what_was_truncated_before_it_could_be_read_is_told(stand: Stand) -> None:
    log = stand.file("app.log")
    append(log, "old")
    monitor = stand.follow("app.log")
    append(log, "1")
    stand.wait_for("app.log", ["1"])
    monitor.lead(None)  # nothing is read on without a leader
    append(log, "lost")
    monitor.await_signs(3)  # so it knows of the line
    log.write_text("2, and longer than all of what was there before\n")
    event = wait_until("the gap is told", lambda: monitor.raised)[0]
    assert event.state == "WARNING"
    assert "truncated" in event.supplement and "5 bytes" in event.supplement
    monitor.lead(stand.coordinator.endpoint)
    stand.wait_for("app.log", ["1", "2, and longer than all of what was there before"])


def test_lines_of_any_kind(stand: Stand) -> None:
    log = stand.file("app.log")
    stand.follow("app.log")
    raw = [
        b"",
        b"crlf\r",
        b"\x1b[2Jescape\x1b]0;title\x07",
        b"\xe4\xf6\xfc",
        b"nul\0nul",
        b"\0" * 5000 + b"after a hole",
    ]
    raw += [b"a\rb", "ende ü".encode(), b"m" * (1 << 20), b"x" * (5 << 20)]
    log.write_bytes(b"".join(line + b"\n" for line in raw))
    kept = 1 << 16
    stand.wait_for(
        "app.log",
        ["", "crlf", "\x1b[2Jescape\x1b]0;title\x07", "\ufffd\ufffd\ufffd", "nul\ufffdnul", "after a hole"]
        + ["a\rb", "ende ü"]
        + [letter * kept + f" …[cut {(size << 20) - kept} bytes]" for letter, size in (("m", 1), ("x", 5))],
    )


def test_a_pattern_that_takes_for_ever_costs_no_line_and_is_named(stand: Stand) -> None:
    log, other = stand.file("app.log"), stand.file("other.log")
    timing = msgspec.structs.replace(QUICK, block=0.02, line=0.01, strikes=3)
    monitor = stand.start(Rule(str(stand.logs / "*.log"), ["(a+)+$"]), timing=timing)
    poison = "a" * 40 + "b"
    append(log, "no", poison, "aa", "no")
    stand.wait_for("app.log", [poison, "aa"])
    first = wait_until("it is told", lambda: monitor.raised)[0]
    assert first.state == "WARNING" and "'(a+)+$'" in first.supplement and "41 characters" in first.supplement
    append(log, poison, poison, "no")
    append(other, "no", "aa")
    stand.wait_for("app.log", [poison, "aa", poison, poison, "no"])
    stand.wait_for("other.log", ["aa"])
    last = wait_until("it is set aside", lambda: [event for event in monitor.raised if event.state == "ERROR"])[0]
    assert "set aside" in last.supplement and str(log) in last.supplement


def test_an_except_that_takes_for_ever_costs_no_line_either(stand: Stand) -> None:
    timing = msgspec.structs.replace(QUICK, block=0.02, line=0.01, strikes=2)
    stand.start(Rule(str(stand.file("app.log")), [], ["(a+)+$", "skip"]), timing=timing)
    poison = "a" * 40 + "b"
    append(stand.file("app.log"), poison, "aa", "skip", poison, "aa", "kept", "skip")
    stand.wait_for("app.log", [poison, poison, "aa", "kept"])


def test_a_batch_refused_twice_as_bad_is_set_aside_and_the_rest_goes_on(stand: Stand) -> None:
    def judge(batch: LogBatch) -> Reply | None:
        bad = any("poison" in line for part in batch.parts for line in part.lines)
        return Refused("bad-message", "not to my taste") if bad else None

    stand.coordinator.judge = judge
    monitor = stand.follow("*.log")
    append(stand.file("bad.log"), "poison")
    for number in range(5):
        append(stand.file(f"good{number}.log"), "fine")
    for number in range(5):
        stand.wait_for(f"good{number}.log", ["fine"])
    event = wait_until("it is told", lambda: monitor.raised)[0]
    assert event.state == "ERROR" and "not to my taste" in event.supplement
    (aside,) = (stand.directory / "state" / "logs" / "aside").iterdir()
    assert aside.stat().st_mode & 0o777 == 0o600 and str(aside) in event.supplement
    assert json.loads(aside.read_bytes())["lines"] == ["poison"]
    append(stand.file("bad.log"), "fine again")
    stand.wait_for("bad.log", ["fine again"])
    monitor.kill()
    stand.follow("*.log")
    append(stand.file("bad.log"), "and after a restart")
    stand.wait_for("bad.log", ["fine again", "and after a restart"])


def test_what_cannot_be_set_aside_waits_and_is_told_until_it_can(stand: Stand) -> None:
    """While how far files are read can be saved, as on a disk that is nearly full."""
    stand.coordinator.judge = lambda batch: (
        Refused("bad-message", "no") if any("poison" in line for part in batch.parts for line in part.lines) else None
    )
    monitor = stand.follow("*.log")
    obstacle = stand.directory / "state" / "logs" / "aside"
    obstacle.touch()
    append(stand.file("bad.log"), "poison")
    wait_until("it is told", lambda: monitor.raised)
    positions, batches = obstacle.with_name("positions"), stand.coordinator.batches
    for number in range(3):
        before = positions.stat().st_mtime_ns
        append(stand.file(f"good{number}.log"), "fine")
        wait_until("positions are saved", lambda before=before: positions.stat().st_mtime_ns != before)  # type: ignore[misc]
    wait_until("it has been tried again", lambda: stand.coordinator.batches > batches + 3)
    assert [event.state for event in monitor.raised] == ["ERROR"]
    obstacle.unlink()
    append(stand.file("bad.log"), "fine again")
    stand.wait_for("bad.log", ["fine again"])
    assert [json.loads(path.read_bytes())["lines"] for path in obstacle.iterdir()] == [["poison"]]


def test_what_could_not_be_set_aside_is_well_once_another_leader_takes_it(stand: Stand) -> None:
    stand.coordinator.judge = lambda batch: Refused("bad-message", "no")
    monitor = stand.follow("app.log")
    (stand.directory / "state" / "logs" / "aside").touch()
    append(stand.file("app.log"), "1")
    wait_until("it is told", lambda: monitor.raised)
    with Coordinator(stand.coordinator.shelf) as newer:
        monitor.lead(newer.endpoint)
        stand.wait_for("app.log", ["1"])
        wait_until("all is well", lambda: monitor.raised[-1].state == "OK")
    assert [event.state for event in monitor.raised] == ["ERROR", "OK"]


@pytest.mark.parametrize("code", ["not-leader", "busy", "disk"])
def test_a_refusal_that_will_pass_is_waited_out(stand: Stand, code: str) -> None:
    refusals = iter([Refused(code, "later")] * 2)  # type: ignore[arg-type]
    stand.coordinator.judge = lambda batch: next(refusals, None)
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    monitor.await_signs(1)
    assert monitor.raised == [] and 3 <= stand.coordinator.batches <= 3 + monitor.count("batches unanswered")


def test_another_leader_gets_what_the_first_did_not_answer(stand: Stand) -> None:
    stand.coordinator.judge = lambda batch: "mute"
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    with Coordinator(stand.coordinator.shelf) as other:
        monitor.lead(other.endpoint)
        append(stand.file("app.log"), "2")
        stand.wait_for("app.log", ["1", "2"])
        wait_until("all is acknowledged", lambda: other.batches >= 2)


def test_many_files_share_a_batch(stand: Stand) -> None:
    monitor = stand.follow("*.log")
    monitor.lead(None)
    for number in range(200):
        append(stand.file(f"{number}.log"), "1", "2")
    wait_until("all are followed", lambda: monitor.alive is not None and monitor.alive.files == 200)
    monitor.lead(stand.coordinator.endpoint)
    wait_until("all are stored", lambda: len(stand.coordinator.shelf.lines) == 200)
    assert stand.coordinator.batches < 20


def test_deferred_lines_go_to_the_daemon_and_are_sent_again_until_it_has_them(stand: Stand) -> None:
    rule = Rule(str(stand.file("app.log")), ["error"], deferred=True)
    monitor = stand.start(rule)
    monitor.lead(None)  # they need no leader
    append(stand.file("app.log"), "error 1", "no", "error 2")
    (part,) = wait_until("they are handed over", lambda: list(monitor.deferred))
    assert part.lines == ["error 1", "error 2"] and stand.coordinator.batches == 0
    monitor.kill()
    again = stand.start(rule)
    (same,) = wait_until("they are handed over again", lambda: list(again.deferred))
    assert (same.stream, same.start, same.lines) == (part.stream, part.start, part.lines)
    again.tell(Taken(same.stream, same.end))
    append(stand.file("app.log"), "error 3")
    wait_until("the next one is handed over", lambda: [part.lines for part in again.deferred][1:] == [["error 3"]])


def test_what_is_no_file_is_not_opened_and_is_told(stand: Stand) -> None:
    os.mkfifo(stand.file("pipe"))
    stand.file("directory").mkdir()
    monitor = stand.follow("pipe", "*")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    told = f"{stand.file('pipe')} is no regular file and is not followed"
    wait_until("it is told", lambda: [event.supplement.split(" (")[0] for event in monitor.raised] == [told])


def test_positions_that_cannot_be_saved_hold_new_files_back_until_they_can(stand: Stand) -> None:
    monitor = stand.follow("*.log")
    obstacle = stand.directory / "state" / "logs" / "positions.new"
    obstacle.mkdir()
    append(stand.file("app.log"), "1")
    event = wait_until("it is told", lambda: monitor.raised)[0]
    assert event.state == "ERROR" and "cannot be saved" in event.supplement
    assert stand.stored("app.log") == []
    obstacle.rmdir()
    stand.wait_for("app.log", ["1"])
    wait_until("all is well again", lambda: monitor.raised[-1].state == "OK")


def test_damaged_positions_are_kept_aside_and_files_start_at_their_end(stand: Stand) -> None:
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    monitor.stop()
    saved = stand.directory / "state" / "logs" / "positions"
    saved.write_bytes(saved.read_bytes()[:-3])
    append(stand.file("app.log"), "2")
    again = stand.follow("app.log")
    append(stand.file("app.log"), "3")
    stand.wait_for("app.log", ["1", "3"])
    assert "damaged" in again.raised[0].supplement
    assert saved.with_suffix(".damaged").exists()


def test_the_state_is_for_its_user_alone(stand: Stand) -> None:
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    monitor.stop()
    directory = stand.directory / "state" / "logs"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        "positions": 0o600,
        "lock": 0o600,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make others' links")
def test_nobody_has_the_monitor_read_others_files_by_a_link(stand: Stand) -> None:
    """As the user of a log directory might, where the daemon runs as root."""
    secret, link = stand.directory / "secret", stand.file("evil.log")
    monitor = stand.follow("*.log")
    append(secret, "root:$6$secret")
    unseen = stand.directory / "link"
    unseen.symlink_to(secret)
    os.lchown(unseen, 54321, 54321)
    unseen.rename(link)
    (event,) = wait_until("it is told", lambda: monitor.raised)
    assert event.state == "WARNING"
    assert f"{link} cannot be read: {link} is a link of user 54321 to a file of 0" in event.supplement
    append(secret, "more")
    append(stand.file("good.log"), "harmless")
    stand.wait_for("good.log", ["harmless"])
    assert stand.stored("evil.log") == []
    link.unlink()
    wait_until("all is well", lambda: monitor.raised[-1].state == "OK")
    assert [event.state for event in monitor.raised] == ["WARNING", "OK"], "nothing is lost that was never to be read"
    link.symlink_to(secret)
    stand.wait_for("evil.log", ["root:$6$secret", "more"])  # now it is root's own


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make others' links")
def test_a_strangers_link_that_replaces_another_stays_told(stand: Stand) -> None:
    """The first is forgotten after the second was refused."""
    monitor, link = stand.follow("*.log"), stand.file("evil.log")
    for name in ("secret", "other"):
        append(stand.directory / name, name)
        unseen = stand.directory / "link"
        unseen.symlink_to(stand.directory / name)
        os.lchown(unseen, 54321, 54321)
        unseen.rename(link)
        wait_until("it is told", lambda: monitor.raised)
        monitor.await_looks()
    assert [event.state for event in monitor.raised] == ["WARNING"]


def test_well_after_a_life_that_ended_badly_is_told_once(stand: Stand) -> None:
    stand.follow("app.log").kill()
    again = stand.follow("app.log")
    wait_until("it says that all is well", lambda: [event.state for event in again.raised] == ["OK"])
    again.stop()
    assert stand.follow("app.log").raised == []


def test_a_daemon_that_talks_nonsense_ends_the_monitor(stand: Stand) -> None:
    monitor = stand.follow("app.log")
    monitor.tell_raw(b"\x00\x00\x00\x03abc")
    assert monitor.process.wait(20) == 1
