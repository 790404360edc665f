"""The daemon's side of the log monitor: its process is started, told, watched, started again and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logstand import QUICK, Coordinator, MonitorProcess, Shelf, append
from waiting import wait_until

from noroshi.node.daemon import logmonitor
from noroshi.node.daemon.logmonitor import LogMonitor
from noroshi.node.logs.messages import Rule
from noroshi.node.wire.messages import LogPart
from noroshi.store.config import Cluster, LogRule, NodeAddress, NodeConfig, Rate, RecordRule
from noroshi.store.errors import NoroshiError


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

    async def until(self, describe: str, predicate: Callable[[], object]) -> None:
        """As wait_until, with the loop running."""
        await asyncio.to_thread(wait_until, describe, predicate)

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


def test_all_that_a_rule_says_reaches_the_process(tmp_path: Path, log: Path) -> None:
    rule = LogRule(
        str(log), encoding="latin-1", record=RecordRule(None), record_timeout=0.2, rate=Rate(2, 3600, "2/h"), burst=3
    )

    async def story(coordinator: Coordinator) -> None:
        daemon = Daemon(tmp_path, rule)
        await daemon.started()
        daemon.monitor.leader_changed(coordinator.endpoint)
        with log.open("ab") as file:
            file.write("".join(f"é {number}\n  more\n" for number in range(5)).encode("latin-1"))
        shelf, records = coordinator.shelf, [f"é {number}\n  more" for number in range(3)]
        await daemon.until("the records are stored", lambda: shelf.lines == {str(log): records} and shelf.held == 2)
        assert {part.held.limit for part in shelf.parts if part.held is not None} == {"2/h"}
        await daemon.monitor.stop()

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


def test_a_process_is_not_blamed_for_a_spool_that_takes_long(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is not read meanwhile, its signs of life neither."""

    async def story() -> None:
        begun, go_on, taken = asyncio.Event(), asyncio.Event(), list[str]()

        async def defer(part: LogPart) -> int:
            begun.set()
            await go_on.wait()
            taken.extend(part.lines)
            return part.end

        daemon = Daemon(tmp_path, LogRule(str(log), deferred=True), defer=defer)
        pid = await daemon.started()
        append(log, "slow")
        await asyncio.wait_for(begun.wait(), 20)
        with monkeypatch.context() as hasty:
            hasty.setattr(logmonitor, "SILENCE", 2)
            await asyncio.sleep(4 * logmonitor.TICK)  # twice as long as it would be ended in
            assert (daemon.monitor.pid, daemon.events) == (pid, [])
        go_on.set()
        await daemon.until("the line is taken", lambda: taken == ["slow"])
        await daemon.monitor.stop()
        assert daemon.events == []

    asyncio.run(story())


def test_a_process_that_gives_no_sign_of_life_is_ended(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        daemon = Daemon(tmp_path, LogRule(str(log)))
        pid = await daemon.started()
        monkeypatch.setattr(logmonitor, "SILENCE", 2)  # a start may take longer
        os.kill(pid, signal.SIGSTOP)
        await daemon.until("another process runs", lambda: daemon.monitor.pid not in (None, pid))
        await daemon.monitor.stop()
        assert _gone(pid)

    asyncio.run(story())


def test_a_daemon_that_dies_takes_it_along(tmp_path: Path, log: Path) -> None:
    with MonitorProcess(tmp_path / "state", [Rule(str(log))]) as monitor:
        wait_until("the monitor has had its first look", lambda: monitor.alive)
        assert monitor.stop() == 0


def test_two_monitors_never_share_a_state(tmp_path: Path, log: Path) -> None:
    async def story() -> None:
        first, second = Daemon(tmp_path, LogRule(str(log))), Daemon(tmp_path, LogRule(str(log)))
        await first.started()
        await second.monitor.start()
        await second.until("the second is told that it failed", lambda: second.events)
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
        with pytest.raises(NoroshiError, match=r"cannot be deferred.*remove 'deferred'"):
            await Daemon(tmp_path, LogRule(str(log), deferred=True)).monitor.start()

    asyncio.run(story())


def test_a_fault_of_the_daemons_own_is_told_and_costs_no_line(tmp_path: Path, log: Path) -> None:
    spooled: list[str] = []

    async def defer(part: LogPart) -> int:
        if not spooled:
            spooled.append("")
            raise RuntimeError("a fault")
        spooled.extend(part.lines)
        return part.end

    async def story() -> None:
        daemon = Daemon(tmp_path, LogRule(str(log), deferred=True), defer=defer)
        await daemon.started()
        append(log, "new")
        await daemon.until("the line is spooled in the next life", lambda: spooled[1:] == ["new"])
        assert ("ERROR", True) in [(state, "a fault" in what) for _, state, what in daemon.events]
        await daemon.monitor.stop()

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
