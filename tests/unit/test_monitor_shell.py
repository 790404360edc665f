"""The shell of the monitors: what is news, who is looked at when and by which thread, what survives a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from waiting import wait_until

from noroshi.node.daemon import monitoring, told
from noroshi.node.daemon.monitoring import HANGS, Monitoring, event_name
from noroshi.node.daemon.polling import CORE, OVERDUE, Outcome, Pool
from noroshi.node.daemon.told import News, Told
from noroshi.node.monitors.observation import FINE, Monitor, Observation, worst
from noroshi.node.monitors.registry import MONITORS, build
from noroshi.node.monitors.tools import Tools
from noroshi.node.wire.raising import Raise
from noroshi.store.config import MONITORS as CONFIGURED
from noroshi.store.config.monitors import defaults
from noroshi.store.errors import NoroshiError
from noroshi.store.model import category_of

# --- the registry ------------------------------------------------------------------------------------------------


def test_every_monitor_of_the_node_file_is_built_and_there_is_no_other() -> None:
    assert set(MONITORS) == set(CONFIGURED)
    tools = Tools()
    built = build("db1", defaults(), tools)
    assert set(built) == set(MONITORS)
    assert {name: each.interval for name, each in built.items()} == {
        name: options["interval"] for name, options in defaults().items()
    }
    command = {"name": "x", "run": ("/bin/true",), "interval": 5.0, "timeout": 1.0, "match": None}
    assert set(build("db1", {"command/x": command, "raid": defaults()["raid"]}, tools)) == {"command/x", "raid"}
    assert build("db1", {}, tools) == {}


def test_the_category_follows_from_the_name() -> None:
    system = ("filesystem", "block", "link", "unit", "pressure", "command", "monitor")
    assert {category_of(f"{kind}/db1/x") for kind in system} == {"system"}
    maintenance = ("memory", "hardware", "raid", "pool", "smart", "bond", "multipath", "nic")
    assert {category_of(f"{kind}/db1/x") for kind in maintenance} == {"maintenance"}


def test_the_gravest_of_several_conditions() -> None:
    warning, degraded, error = ("WARNING", "w"), ("DEGRADED", "d"), ("ERROR", "e")
    assert worst() == FINE
    assert worst(warning, degraded, error, ("ERROR", "another")) == error
    assert worst(FINE, degraded, warning) == degraded


# --- what is news ------------------------------------------------------------------------------------------------

GOOD, BAD, WORSE = ("OK", ""), ("DEGRADED", "1 of 2"), ("ERROR", "0 of 2")


def _tell(told_: Told, *things: tuple[str, tuple[str, str]], gone: str = "gone") -> list[tuple[str, str, str]]:
    """One look; everything new is raised."""
    news = told_.news("raid", [Observation(name, *condition) for name, condition in things], gone)
    for each in news:
        told_.said(each)
    return [(each.observation.name, each.observation.state, each.observation.supplement) for each in news]


def test_only_changes_are_news_and_what_vanishes_ends() -> None:
    told_ = Told()
    assert _tell(told_, ("a", GOOD), ("b", GOOD)) == [("a", "OK", ""), ("b", "OK", "")]
    assert _tell(told_, ("a", GOOD), ("b", BAD)) == [("b", "DEGRADED", "1 of 2")]
    assert _tell(told_, ("a", GOOD), ("b", BAD)) == []
    assert told_.not_ok() == {"raid": ["b"]}
    assert _tell(told_, ("a", GOOD)) == [("b", "OK", "gone")]
    assert (_tell(told_, ("a", GOOD)), told_.not_ok()) == ([], {})
    assert _tell(told_, ("b", GOOD)) == [("b", "OK", ""), ("a", "OK", "gone")]


def test_what_was_not_taken_is_news_again() -> None:
    told_ = Told()
    look = [Observation("a", *BAD)]
    assert told_.news("raid", look, "") == told_.news("raid", look, "") == [News("raid", look[0])]
    assert told_.not_ok() == {}


def test_being_ok_at_first_is_no_news_of_a_monitor_itself() -> None:
    told_ = Told()
    assert told_.own("monitor/db1/raid", FINE) == []
    (failed,) = told_.own("monitor/db1/raid", WORSE)
    told_.said(failed)
    assert told_.not_ok() == {"": ["monitor/db1/raid"]}
    (fine,) = told_.own("monitor/db1/raid", FINE)
    told_.said(fine)
    assert (told_.own("monitor/db1/raid", FINE), told_.not_ok()) == ([], {})


def test_after_a_restart_all_is_said_again_and_what_is_not_there_any_more_ends(tmp_path: Path) -> None:
    file = tmp_path / "monitors" / "not-ok.json"
    assert told.load(file) == Told()
    told.save(file, {"": ["monitor/db1/lvm"], "raid": ["a", "b"], "smart": ["c"]})
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    told_ = told.load(file)
    assert told_.not_ok() == {"": ["monitor/db1/lvm"], "raid": ["a", "b"], "smart": ["c"]}
    assert _tell(told_, ("a", BAD), ("d", GOOD)) == [("a", *BAD), ("d", *GOOD), ("b", "OK", "gone")]
    running = {"raid": "monitor/db1/raid", "lvm": "monitor/db1/lvm"}
    assert told_.unwatched(running) == [News("smart", Observation("c", "OK", told.NOT_WATCHED), ends=True)]
    (recovered,) = told_.own("monitor/db1/lvm", FINE)
    told_.said(recovered)
    assert told_.not_ok() == {"raid": ["a"], "smart": ["c"]}
    (ended,) = Told({"": {"monitor/db1/old"}}).unwatched(running)
    assert (ended.monitor, ended.observation.name) == ("", "monitor/db1/old")


def test_after_a_lost_database_all_is_said_again() -> None:
    told_ = Told()
    assert len(_tell(told_, ("a", BAD), ("b", GOOD))) == 2
    told_.said(News(told.OWN, Observation("monitor/db1/lvm", *BAD)))
    told_.again()
    assert told_.not_ok() == {"": ["monitor/db1/lvm"], "raid": ["a"]}, "also should the daemon end now"
    assert _tell(told_, ("b", GOOD)) == [("b", *GOOD), ("a", "OK", "gone")]
    assert [each.observation.state for each in told_.own("monitor/db1/lvm", FINE)] == ["OK"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"raid": 5}', b"\xff"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "not-ok.json"
    file.write_bytes(content)
    assert told.load(file) == Told()
    assert (tmp_path / "not-ok.damaged").read_bytes() == content and not file.exists()


@pytest.mark.parametrize(
    "name", ["filesystem/db1/mnt/a\nb", "filesystem/db1/\udcff", f"filesystem/db1/{'x' * 300}", "plain/db1/x"]
)
def test_every_name_can_be_raised_and_stays_one_for_one_thing(name: str) -> None:
    assert Raise(event_name(name), "OK").event == event_name(name)
    assert (event_name(name) == name) == name.startswith("plain")
    assert event_name(name) != event_name(name + "\n") != event_name(name + "\n\n")


# --- the threads -------------------------------------------------------------------------------------------------


class Scripted(Monitor):
    """Says, or raises, one thing after the other, then repeats the last."""

    def __init__(self, *script: list[Observation] | Exception, interval: float = 0.01) -> None:
        self.interval = interval
        self.looks = 0
        self.recalled: list[str] = []
        self._script = list(script)

    def recall(self, names: Collection[str]) -> None:
        self.recalled = list(names)

    def observe(self, now: float) -> list[Observation]:
        self.looks += 1
        item = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(item, Exception):
            raise item
        return item


class Stuck(Monitor):
    """Does not come back until `release`."""

    interval = 0.01
    limit = 0.05

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()
        self.looks = 0

    def observe(self, now: float) -> list[Observation]:
        self.looks += 1
        self.began.set()
        self.release.wait(30)
        return []


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_what_differs_is_handed_over() -> None:
    said: list[tuple[str, Outcome]] = []
    fine, bad = [Observation("a", "OK")], [Observation("a", "ERROR")]
    monitor = Scripted(fine, fine, fine, bad, OSError(5, "Input/output error"), KeyError("x"), fine)
    pool = Pool({"m": monitor}, lambda name, outcome: said.append((name, outcome)))
    pool.start()
    wait_until("the script is through", lambda: monitor.looks > 9)
    pool.stop()
    wait_until("the threads end", lambda: pool.threads == 0)
    assert said == [
        ("m", Outcome((Observation("a", "OK"),))),
        ("m", Outcome((Observation("a", "ERROR"),))),
        ("m", Outcome(failed="[Errno 5] Input/output error")),
        ("m", Outcome(failed="a fault of its own: KeyError('x')")),
        ("m", Outcome((Observation("a", "OK"),))),
    ]


def test_many_monitors_share_few_threads_and_are_looked_at_again_and_again() -> None:
    monitors = {f"m{place}": Scripted([]) for place in range(200)}
    pool = Pool(monitors, lambda name, outcome: None)
    pool.start()
    wait_until("each was looked at three times", lambda: all(each.looks >= 3 for each in monitors.values()))
    assert pool.threads <= CORE
    pool.stop()
    wait_until("the threads end", lambda: pool.threads == 0)


def test_those_that_hang_keep_their_threads_and_the_others_get_others() -> None:
    clock, stuck = Clock(), {f"s{place}": Stuck() for place in range(CORE)}
    quick = Scripted([], interval=30.0)
    pool = Pool({**stuck, "quick": quick}, lambda name, outcome: None, clock)
    pool.start()
    try:
        wait_until("all threads are busy", lambda: all(each.began.is_set() for each in stuck.values()))
        assert (pool.tick(), quick.looks, pool.threads) == ([], 0, CORE)
        clock.now += OVERDUE + 0.01
        assert sorted(pool.tick()) == sorted(stuck)
        wait_until("the one that does not hang is looked at", lambda: quick.looks == 1)
        assert (pool.tick(), pool.threads) == ([], CORE + 1)
    finally:
        for each in stuck.values():
            each.release.set()
    wait_until("the surplus thread ends", lambda: pool.threads == CORE)
    wait_until("they are looked at again", lambda: (_move(clock, 1.0), all(s.looks > 1 for s in stuck.values()))[1])
    pool.stop()
    wait_until("the threads end", lambda: pool.threads == 0)


def _move(clock: Clock, seconds: float) -> None:
    clock.now += seconds


# --- the whole shell ---------------------------------------------------------------------------------------------

Raised = list[tuple[str, str, str]]


def _run(
    monitors: dict[str, Monitor],
    until: Callable[[Raised], object],
    *,
    directory: Path | None = None,
    refuse: Callable[[Raised], bool] = lambda raised: False,
) -> Raised:
    """Everything raised until the condition holds."""
    raised: Raised = []

    async def raise_event(event: str, state: str, supplement: str) -> None:
        Raise(event, state, supplement)
        raised.append((event, state, supplement))
        if refuse(raised):
            raise NoroshiError("the disk is full")

    async def main() -> None:
        shell = Monitoring("db1", monitors, raise_event, directory=directory)
        shell.start()
        await asyncio.to_thread(wait_until, "enough was raised", lambda: until(raised), 20)
        await shell.stop()
        await asyncio.to_thread(wait_until, "the threads end", lambda: shell.pool.threads == 0)

    asyncio.run(main())
    return raised


def test_only_changes_are_raised_and_a_failing_monitor_says_so_and_recovers() -> None:
    fine, bad = [Observation("raid/db1/md0", "OK")], [Observation("raid/db1/md0", "DEGRADED", "1 of 2")]
    monitor = Scripted(fine, fine, bad, OSError(5, "Input/output error"), fine, [])
    assert _run({"test": monitor}, lambda raised: len(raised) >= 6) == [
        ("raid/db1/md0", "OK", ""),
        ("raid/db1/md0", "DEGRADED", "1 of 2"),
        ("monitor/db1/test", "ERROR", "failed: [Errno 5] Input/output error"),
        ("monitor/db1/test", "OK", ""),
        ("raid/db1/md0", "OK", ""),
        ("raid/db1/md0", "OK", "no longer there"),
    ]


def test_what_is_so_is_said_again_when_it_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time though the monitor sees the same."""
    said = ("raid/db1/md0", "DEGRADED", "1 of 2")
    shells: list[Monitoring] = []
    start = Monitoring.start

    def noted(shell: Monitoring) -> None:
        shells.append(shell)
        start(shell)

    def until(raised: Raised) -> bool:
        if raised == [said]:
            shells[0]._loop.call_soon_threadsafe(shells[0].say_again)
        return len(raised) >= 2

    monkeypatch.setattr(Monitoring, "start", noted)
    assert _run({"test": Scripted([Observation(*said)])}, until)[:2] == [said, said]


def test_a_hanging_monitor_is_an_event_and_its_end_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "TICK", 0.02)
    stuck, other = Stuck(), Scripted([Observation("raid/db1/md0", "OK")])

    def until(raised: Raised) -> bool:
        if ("monitor/db1/stuck", "ERROR", HANGS) in raised:
            stuck.release.set()
        return ("monitor/db1/stuck", "OK", "") in raised

    raised = _run({"stuck": stuck, "other": other}, until)
    assert sorted(raised) == [
        ("monitor/db1/stuck", "ERROR", HANGS),
        ("monitor/db1/stuck", "OK", ""),
        ("raid/db1/md0", "OK", ""),
    ]


def test_what_the_spool_does_not_take_is_raised_at_the_next_look() -> None:
    bad = [Observation("raid/db1/md0", "DEGRADED", "1 of 2"), Observation("raid/db1/md1", "OK")]
    monitor = Scripted(bad)
    raised = _run({"m": monitor}, lambda raised: len(raised) >= 4, refuse=lambda raised: len(raised) in (1, 3))
    assert raised == [("raid/db1/md0", *BAD), ("raid/db1/md1", *GOOD), ("raid/db1/md0", *BAD), ("raid/db1/md0", *BAD)]


def test_a_restart_ends_what_vanished_meanwhile_and_asks_the_monitors_to_remember(tmp_path: Path) -> None:
    bad = [Observation("raid/db1/md0", "DEGRADED", "1 of 2"), Observation("raid/db1/md1", "OK")]
    first: dict[str, Monitor] = {"raid": Scripted(bad), "smart": Scripted([Observation("smart/db1/sda", "ERROR")])}
    file = tmp_path / "not-ok.json"
    _run(first, lambda raised: len(raised) == 3 and file.exists() and "sda" in file.read_text(), directory=tmp_path)
    again = Scripted([Observation("raid/db1/md1", "OK")])
    raised = _run({"raid": again}, lambda raised: len(raised) == 3, directory=tmp_path)
    assert again.recalled == ["raid/db1/md0"]
    assert raised == [
        ("smart/db1/sda", "OK", told.NOT_WATCHED),
        ("raid/db1/md1", "OK", ""),
        ("raid/db1/md0", "OK", "no longer there"),
    ]


def test_a_state_directory_that_cannot_be_used_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    monitor = Scripted([Observation("raid/db1/md0", "ERROR", "gone")])
    raised = _run({"raid": monitor}, lambda raised: len(raised) == 1, directory=tmp_path / "file")
    assert raised == [("raid/db1/md0", "ERROR", "gone")]
    assert "cannot be read" in caplog.text
