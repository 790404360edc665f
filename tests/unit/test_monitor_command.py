"""The user's own commands, and programs asked in general: real ones, ended with all they started."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from monitored import FakeRun, seen
from waiting import wait_until

from noroshi.node.monitors import program
from noroshi.node.monitors.command import CommandMonitor
from noroshi.node.monitors.matching import Matcher
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Ended, Finished, Programs


def _monitor(run: program.Run, match: str = "", timeout: float = 10.0) -> CommandMonitor:
    given = {"name": "check", "run": ("/bin/check", "-w", "5"), "interval": 60.0, "timeout": timeout, "match": match}
    return CommandMonitor("db1", Options(given), run, lambda pattern, text: re.search(pattern, text) is not None)


def _judged(done: Finished | Exception, match: str = "") -> tuple[str, str]:
    (found,) = seen(_monitor(FakeRun({"5": done}), match)).values()
    return found


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (Finished(0, "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958\nmore\n"), "DISK OK - free space: /"),
        (Finished(1, "LOAD WARNING\n"), "LOAD WARNING"),
        (Finished(2, "\n\n  PING CRITICAL | rta=0\n"), "PING CRITICAL"),
        (Finished(3, "UNKNOWN - no such host"), "unknown: UNKNOWN - no such host"),
        (Finished(3, ""), "unknown"),
        (Finished(127, "", "sh: x: not found\n"), "unknown: exit status 127: sh: x: not found"),
        (Finished(-9, "half"), "unknown: signal 9: half"),
        (FileNotFoundError(2, "No such file or directory"), "unknown: No such file or directory"),
        (TimeoutError("no end within 10 s"), "unknown: no end within 10 s"),
    ],
)
def test_the_manner_of_a_nagios_plugin(done: Finished | Exception, expected: str) -> None:
    state, said = _judged(done)
    status = done.status if isinstance(done, Finished) else 3
    assert state == {0: "OK", 1: "WARNING"}.get(status, "ERROR")
    assert said.startswith(expected) and "|" not in said and len(said) < 70


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "backup of today\ncomplete", ("OK", "backup of today")),
        (0, "backup of today", ("ERROR", "not found in its output: backup of today")),
        (0, "", ("ERROR", "not found in its output")),
        (1, "backup complete", ("WARNING", "backup complete")),
        (2, "", ("ERROR", "")),
    ],
)
def test_what_must_be_found_in_the_output(status: int, output: str, expected: tuple[str, str]) -> None:
    assert _judged(Finished(status, output), "complete$") == expected


def test_a_number_alone_makes_no_other_event() -> None:
    run = FakeRun()
    monitor = _monitor(run)
    said = []
    for output in ("used 41.5%", "used 42%", "used 1,000%", "used up 1%", "used up 2%"):
        run.answers["5"] = Finished(0, output)
        said.append(seen(monitor)["command/db1/check"][1])
    assert said == ["used 41.5%", "used 41.5%", "used 41.5%", "used up 1%", "used up 1%"]
    run.answers["5"] = Finished(1, "used up 9%")
    assert seen(monitor)["command/db1/check"] == ("WARNING", "used up 9%")


def test_a_long_line_is_cut() -> None:
    assert len(_judged(Finished(1, "x" * 10_000))[1]) == 500


# --- programs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def programs() -> Iterator[Programs]:
    running = Programs()
    yield running
    running.end()


def _sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_what_a_program_prints_and_how_it_ends(programs: Programs) -> None:
    assert programs.run(_sh("echo out; echo err >&2; exit 7"), 10) == Finished(7, "out\n", "err\n")
    assert programs.run(_sh("kill -TERM $$"), 10).status == -15
    assert programs.run(_sh("printf 'a\\377b'"), 10).output == "a�b"
    assert programs.run(_sh("exec >&- 2>&-; exit 4"), 10).status == 4


def test_it_gets_little_of_the_daemon(programs: Programs) -> None:
    here, there = os.pipe()
    os.set_inheritable(there, True)
    try:
        done = programs.run(_sh("env; pwd; cat; exec ls /proc/self/fd"), 10)
    finally:
        os.close(here)
        os.close(there)
    lines = done.output.splitlines()
    assert {"LC_ALL=C.UTF-8", "HOME=/", "/"} <= set(lines)
    assert not any(line.startswith(("PYTEST", "NOROSHI", "USER")) for line in lines)
    assert [line for line in lines if line.isdecimal()] == ["0", "1", "2", "3"]  # 3 is the directory being read


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(programs: Programs, tmp_path: Path) -> None:
    before = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no end within 1\.5 s"):
        programs.run(_sh(f"sleep 60 & echo $! >{tmp_path}/pid; trap '' TERM; wait; sleep 60"), 1.5)
    assert time.monotonic() - before < 30
    pid = int((tmp_path / "pid").read_text())
    wait_until("the child is gone", lambda: not psutil.pid_exists(pid) or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_it_leaves_in_the_background_delays_nothing_and_goes_with_it(programs: Programs) -> None:
    before = time.monotonic()
    done = programs.run(_sh("echo $$; sleep 60 & echo $!"), 30)
    assert time.monotonic() - before < 15
    left = int(done.output.split()[1])
    wait_until("the child is gone", lambda: not psutil.pid_exists(left) or _is_zombie(left))


def test_a_program_that_prints_without_end_is_ended(programs: Programs) -> None:
    with pytest.raises(OSError, match="prints more than"):
        programs.run(_sh("yes"), 30)


def test_a_program_that_cannot_be_started(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        programs.run(["/nowhere/program"], 5)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(PermissionError):
        programs.run([str(script)], 5)


def test_the_end_of_the_daemon_is_the_end_of_every_program(programs: Programs) -> None:
    results: list[object] = []

    def ask() -> None:
        results.append(programs.run(_sh("sleep 60"), 60))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until("it runs", lambda: programs._running)
    programs.end()
    asking.join(10)
    assert results == [Finished(-9, "", "")]
    with pytest.raises(Ended):
        programs.run(_sh("true"), 5)


def test_a_program_is_found_by_its_name_unless_it_is_configured() -> None:
    assert program.command((), "sh") in {("/usr/bin/sh",), ("/bin/sh",)}
    assert program.command((), "no-such-program-of-this-name") is None
    assert program.command(("/opt/x", "-a"), "sh") == ("/opt/x", "-a")


# --- patterns ----------------------------------------------------------------------------------------------------


def test_a_pattern_that_takes_too_long_is_given_up_and_the_next_one_works() -> None:
    matcher = Matcher(limit=1.0)
    try:
        wait_until("a helper works", lambda: _found(matcher, "x"), 40)
        first = matcher._helper
        assert first is not None
        with pytest.raises(TimeoutError, match="takes too long"):
            matcher.found("(a+)+$", "a" * 60 + "b")
        assert first.poll() is not None
        wait_until("another helper works", lambda: _found(matcher, "x"), 40)
    finally:
        matcher.end()
    with pytest.raises(TimeoutError):
        matcher.found("a", "a")


def test_what_a_pattern_means() -> None:
    matcher = Matcher(limit=30.0)
    try:
        assert [matcher.found(pattern, "aabbc\n|x") for pattern in ("b+c", "^b", "c$", r"\|", "ü")] == [
            True,
            False,
            False,
            True,
            False,
        ]
        assert matcher.found("ü{3}", "ü" * 100_000)
    finally:
        matcher.end()


def _found(matcher: Matcher, pattern: str) -> bool:
    """On a busy machine a search may be late."""
    try:
        return matcher.found(pattern, "x" * 100_000)
    except TimeoutError:
        return False


def test_a_real_command_from_end_to_end(tmp_path: Path, programs: Programs) -> None:
    check = tmp_path / "check_things"
    check.write_text('#!/bin/sh\necho "THINGS CRITICAL - $1 of $2 are gone | gone=3"\nexit 2\n')
    check.chmod(check.stat().st_mode | stat.S_IXUSR)
    given = {"name": "things", "run": (str(check), "3", "many ones"), "interval": 60.0, "timeout": 10.0, "match": None}
    monitor = CommandMonitor("db1", Options(given), programs.run, lambda pattern, text: True)
    assert seen(monitor) == {"command/db1/things": ("ERROR", "THINGS CRITICAL - 3 of many ones are gone")}
