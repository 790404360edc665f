"""The log monitor as a process: files that are written, rotated and truncated; kills; a coordinator that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from logstand import QUICK, Coordinator, MonitorProcess, Shelf
from waiting import wait_until

from noroshi.node.daemon import logmonitor
from noroshi.node.daemon.logmonitor import LogMonitor
from noroshi.node.logs.messages import Rule, Taken
from noroshi.node.wire.messages import LogBatch, LogPart, Refused, Reply
from noroshi.store.config import Cluster, LogRule, NodeAddress, NodeConfig
from noroshi.store.errors import NoroshiError


class Story:
    """A log file written and rotated at random, and what of it has to arrive."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.log = directory / "app.log"
        self.expected: list[str] = []
        self.count = 0

    def append(self) -> None:
        with self.log.open("ab") as file:
            for _ in range(self.random.choice([1, 1, 3, 200])):
                file.write(self._line())

    def append_slowly(self) -> None:
        """A line in two pieces, and a look may fall between them."""
        line = self._line()
        cut = self.random.randrange(len(line))
        for piece in (line[:cut], line[cut:]):
            with self.log.open("ab") as file:
                file.write(piece)

    def _line(self) -> bytes:
        self.count += 1
        kind = self.random.randrange(8)
        if kind == 0:
            return b"noise %d\n" % self.count
        if kind == 1:
            self.expected.append(f"error {self.count} \ufffd\ufffd")
            return b"error %d \xff\xfe\r\n" % self.count
        if kind == 2 and self.random.random() < 0.1:
            line = f"error {self.count} ".ljust(1 << 20, "x")
            self.expected.append(f"{line[: 1 << 16]} …[cut {len(line) - (1 << 16)} bytes]")
            return line.encode() + b"\n"
        self.expected.append(f"error {self.count} ü")
        return f"error {self.count} ü\n".encode()

    def _shift(self) -> None:
        for number in range(40, 0, -1):
            old = self.log.with_name(f"app.log.{number}")
            if old.exists():
                old.rename(self.log.with_name(f"app.log.{number + 1}"))

    def rename(self) -> None:
        if self.log.exists():
            self._shift()
            self.log.rename(self.log.with_name("app.log.1"))

    def rename_while_open(self) -> None:
        """The writer goes on in the renamed file until it is told to reopen."""
        with self.log.open("ab") as file:
            file.write(self._line())
            self.rename()
            file.write(self._line())
            file.flush()

    def copy_and_truncate(self) -> None:
        if self.log.exists():
            self._shift()
            shutil.copyfile(self.log, self.log.with_name("app.log.1"))
            os.truncate(self.log, 0)


class Life:
    """The monitor's and the leader's comings and goings in a story."""

    def __init__(self, state: Path, rules: list[Rule], coordinator: Coordinator) -> None:
        self.state, self.rules, self.coordinator = state, rules, coordinator
        self.monitor: MonitorProcess | None = None

    def start(self) -> None:
        if self.monitor is None:
            self.monitor = MonitorProcess(self.state, self.rules)
            self.monitor.lead(self.coordinator.endpoint)

    def kill(self) -> None:
        if self.monitor is not None:
            self.monitor.kill()
            self.monitor = None

    def lose_leader(self) -> None:
        if self.monitor is not None:
            self.monitor.lead(None)

    def find_leader(self) -> None:
        if self.monitor is not None:
            self.monitor.lead(self.coordinator.endpoint)


def unreliable(seed: int) -> Callable[[LogBatch], Reply | str | None]:
    """A coordinator whose answers are sometimes lost, and sometimes the requests."""
    chance = random.Random(seed)
    return lambda batch: chance.choices([None, "mute", "drop"], [20, 1, 1])[0]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["app.log", "app*"])
@pytest.mark.parametrize("seed", range(3))
def test_every_selected_line_that_stayed_on_disk_is_stored_once_and_in_order(
    tmp_path: Path, seed: int, pattern: str
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    story, shelf = Story(logs, seed), Shelf()
    with Coordinator(shelf, unreliable(seed)) as coordinator:
        life = Life(tmp_path / "state", [Rule(str(logs / pattern), ["error"])], coordinator)
        life.start()
        _until_looking(life)
        steps = [
            (story.append, 8),
            (story.append_slowly, 4),
            (story.rename, 2),
            (story.rename_while_open, 2),
            (story.copy_and_truncate, 2),
            (life.kill, 2),
            (life.start, 4),
            (life.lose_leader, 1),
            (life.find_leader, 2),
            (lambda: _pause(life), 2),
        ]
        try:
            for step in story.random.choices([step for step, _ in steps], [weight for _, weight in steps], k=120):
                step()
            life.start()
            life.find_leader()
            wait_until("every line is stored", lambda: _stored(shelf) == len(story.expected) or None, 20)
        finally:
            life.kill()
    if pattern == "app.log":
        assert shelf.lines == {str(story.log): story.expected}
    order = {line: place for place, line in enumerate(story.expected)}
    for lines in shelf.lines.values():
        assert [order[line] for line in lines] == sorted(order[line] for line in lines)
    assert sorted(line for lines in shelf.lines.values() for line in lines) == sorted(story.expected)
    assert shelf.lost == 0


def _stored(shelf: Shelf) -> int:
    return sum(map(len, shelf.lines.values()))


def _until_looking(life: Life) -> None:
    monitor = life.monitor
    assert monitor is not None
    wait_until("the monitor has had its first look", lambda: monitor.alive)


def _pause(life: Life) -> None:
    """Until the monitor has had another turn or two, so that looks fall between the steps."""
    monitor = life.monitor
    if monitor is None or monitor.alive is None:
        return
    seen = monitor.alive
    wait_until("another sign of life", lambda: monitor.alive is not seen)


# --- one thing at a time -----------------------------------------------------------------------------------------


@dataclass
class Stand:
    """A directory of logs, a state directory, and what arrived so far; monitors come and go."""

    directory: Path
    coordinator: Coordinator
    monitors: list[MonitorProcess] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def file(self, name: str) -> Path:
        return self.logs / name

    def start(self, *rules: Rule, **more: object) -> MonitorProcess:
        """A monitor that has had its first look and knows the leader."""
        monitor = MonitorProcess(self.directory / "state", rules, **more)  # type: ignore[arg-type]
        self.monitors.append(monitor)
        monitor.lead(self.coordinator.endpoint)
        wait_until("the monitor has had its first look", lambda: monitor.alive)
        return monitor

    def follow(self, *names: str) -> MonitorProcess:
        return self.start(*(Rule(str(self.logs / name)) for name in names))

    def stored(self, name: str) -> list[str]:
        return self.coordinator.shelf.lines.get(str(self.logs / name), [])

    def wait_for(self, name: str, lines: list[str]) -> None:
        wait_until(f"{lines} of {name}", lambda: self.stored(name) == lines)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    (tmp_path / "logs").mkdir()
    with Coordinator(Shelf()) as coordinator:
        stand = Stand(tmp_path, coordinator)
        yield stand
        for monitor in stand.monitors:
            monitor.stop()


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


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
    seen = monitor.alive
    wait_until("two signs of life", lambda: monitor.alive is not seen)
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


@pytest.mark.parametrize("code", ["not-leader", "busy", "disk"])
def test_a_refusal_that_will_pass_is_waited_out(stand: Stand, code: str) -> None:
    refusals = iter([Refused(code, "later")] * 2)  # type: ignore[arg-type]
    stand.coordinator.judge = lambda batch: next(refusals, None)
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), "1")
    stand.wait_for("app.log", ["1"])
    assert monitor.raised == [] and stand.coordinator.batches == 3


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
    assert [event.supplement.split(" (")[0] for event in monitor.raised] == [
        f"{stand.file('pipe')} is no regular file and is not followed"
    ]


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


def test_well_after_a_life_that_ended_badly_is_told_once(stand: Stand) -> None:
    stand.follow("app.log").kill()
    again = stand.follow("app.log")
    wait_until("it says that all is well", lambda: [event.state for event in again.raised] == ["OK"])
    again.stop()
    assert stand.follow("app.log").raised == []


def test_a_daemon_that_talks_nonsense_ends_the_monitor(stand: Stand) -> None:
    monitor = stand.follow("app.log")
    monitor.tell_raw(b"\x00\x00\x00\x03abc")
    assert monitor.process.wait(5) == 1


# --- the daemon's side -------------------------------------------------------------------------------------------


class Daemon:
    """As much of the node daemon as the log monitor sees."""

    def __init__(self, directory: Path, *rules: LogRule, **more: Any) -> None:
        config = NodeConfig(
            directory / "node.yaml", "n1", directory, directory / "state", directory / "run", logs=rules, monitors={}
        )
        cluster = Cluster("test", nodes=(NodeAddress("n1", "127.0.0.1", 7400),))
        self.events: list[tuple[str, str, str]] = []
        self.monitor = LogMonitor(config, cluster, b"incarnat", self.raised, **{"timing": QUICK, **more})

    async def raised(self, event: str, state: str, supplement: str) -> None:
        self.events.append((event, state, supplement))

    async def until(self, describe: str, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """As wait_until, with the loop running."""
        await asyncio.to_thread(wait_until, describe, predicate, timeout)

    async def started(self) -> int:
        """Start it, and wait for its first sign of life; its process."""
        await self.monitor.start()
        await self.until("the process follows files", lambda: self.monitor.files)
        assert self.monitor.pid is not None
        return self.monitor.pid


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    append(path, "old")
    return path


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_the_daemon_starts_it_tells_it_the_leader_and_stops_it(tmp_path: Path, log: Path) -> None:
    async def story(coordinator: Coordinator) -> None:
        daemon = Daemon(tmp_path, LogRule(str(log), ("error",)))
        pid = await daemon.started()
        append(log, "error 1", "no")
        daemon.monitor.leader_changed(coordinator.endpoint)
        await daemon.until("the line is stored", lambda: coordinator.shelf.lines == {str(log): ["error 1"]})
        await daemon.until("it is counted", lambda: daemon.monitor.counts.get("lines") == 1)
        await daemon.monitor.stop()
        assert _gone(pid) and daemon.events == []

    with Coordinator(Shelf()) as coordinator:
        asyncio.run(story(coordinator))


def test_a_killed_process_is_told_and_started_again(tmp_path: Path, log: Path) -> None:
    async def story(coordinator: Coordinator) -> None:
        daemon = Daemon(tmp_path, LogRule(str(log)))
        daemon.monitor.leader_changed(coordinator.endpoint)
        os.kill(await daemon.started(), signal.SIGKILL)
        append(log, "meanwhile")
        told = daemon.events
        await daemon.until("it is told, then all is well", lambda: [state for _, state, _ in told] == ["ERROR", "OK"])
        await daemon.until("the line is stored", lambda: coordinator.shelf.lines == {str(log): ["meanwhile"]})
        await daemon.monitor.stop()
        assert daemon.events[0][0] == "monitor/n1/logs" and "signal 9" in daemon.events[0][2]

    with Coordinator(Shelf()) as coordinator:
        asyncio.run(story(coordinator))


def test_a_process_that_gives_no_sign_of_life_is_ended(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logmonitor, "SILENCE", 2)

    async def story() -> None:
        daemon = Daemon(tmp_path, LogRule(str(log)))
        pid = await daemon.started()
        os.kill(pid, signal.SIGSTOP)
        await daemon.until("another process runs", lambda: daemon.monitor.pid not in (None, pid))
        await daemon.monitor.stop()
        assert _gone(pid)

    asyncio.run(story())


def test_a_daemon_that_dies_takes_it_along(tmp_path: Path, log: Path) -> None:
    with MonitorProcess(tmp_path / "state", [Rule(str(log))]) as monitor:
        wait_until("the monitor has had its first look", lambda: monitor.alive)
        assert monitor.stop() == 0


def test_two_monitors_never_share_a_state(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        first, second = Daemon(tmp_path, LogRule(str(log))), Daemon(tmp_path, LogRule(str(log)))
        await first.started()
        await second.monitor.start()
        await second.until("the second is told that it failed", lambda: second.events, 20)
        assert "status 1" in second.events[0][2] and first.events == []
        await first.monitor.stop()
        await second.until("the second has its turn", lambda: second.monitor.files)
        await second.monitor.stop()

    asyncio.run(story())


def test_nothing_is_started_for_no_logs_and_what_cannot_be_deferred_is_refused(tmp_path: Path, log: Path) -> None:
    async def story() -> None:
        idle = Daemon(tmp_path)
        await idle.monitor.start()
        await idle.monitor.stop()
        assert idle.monitor.pid is None
        with pytest.raises(NoroshiError, match="cannot be deferred.*remove 'deferred'"):
            await Daemon(tmp_path, LogRule(str(log), deferred=True)).monitor.start()

    asyncio.run(story())


def test_deferred_lines_are_put_into_the_daemons_spool(tmp_path: Path, log: Path) -> None:
    spooled: list[str] = []

    async def defer(part: LogPart) -> int:
        spooled.extend(part.lines)
        return part.end

    async def story() -> None:
        daemon = Daemon(tmp_path, LogRule(str(log), deferred=True), defer=defer)
        await daemon.started()
        for number in range(3):
            append(log, str(number))
            await daemon.until("the line is spooled", lambda: len(spooled) == number + 1)  # noqa: B023
        await daemon.monitor.stop()

    asyncio.run(story())
    assert spooled == ["0", "1", "2"]
