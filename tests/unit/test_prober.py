"""The daemon's part in a doctor's round, with the real process that measures."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from waiting import Stopwatch, wait_until

from noroshi.node.core.membership import Membership
from noroshi.node.daemon import probing
from noroshi.node.daemon.probing import Prober
from noroshi.node.wire.messages import PROTOCOL
from noroshi.node.wire.probing import (
    Answer,
    AskFacts,
    Clear,
    Done,
    Facts,
    Failed,
    Kill,
    Locate,
    Located,
    Lock,
    Probe,
    Step,
    Sync,
    Write,
)
from noroshi.store.config import Cluster, Heartbeat, NodeAddress, NodeConfig

CLUSTER = Cluster("demo", (NodeAddress("a", "127.0.0.1", 7400), NodeAddress("b", "127.0.0.1", 7410)))
RUN, OTHER = "0" * 16, "1" * 16
Ask = Callable[..., Awaitable[Answer]]


def run(shared: Path, story: Callable[[Ask, Prober], Awaitable[None]]) -> None:
    """Play a story with a prober of node a, closed at the end."""
    node = NodeConfig(shared / "node.yaml", "a", shared, shared / "state", shared / "run")
    membership = Membership(CLUSTER.names, "a", b"12345678", Heartbeat(), time.monotonic())

    async def play() -> None:
        prober = Prober(node, CLUSTER, b"12345678", membership)

        async def ask(step: Step, run: str = RUN) -> Answer:
            return (await prober.answer(Probe(PROTOCOL, "demo", "b", run, step))).answer

        try:
            await story(ask, prober)
        finally:
            await prober.close()

    asyncio.run(play())
    assert _children() == []


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if _measures(child)]


def _measures(process: psutil.Process) -> bool:
    """False for one that ends at this moment."""
    try:
        return "noroshi.node.probe" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_facts_touch_no_disk(tmp_path: Path) -> None:
    async def story(ask: Ask, prober: Prober) -> None:
        facts = await ask(AskFacts())
        assert isinstance(facts, Facts)
        assert (facts.node, facts.cluster, facts.digest, facts.leader) == ("a", "demo", "", "")
        assert [(heard.node, heard.state, heard.silent) for heard in facts.heard] == [("b", "SUSPECT", -1.0)]

    run(tmp_path / "missing", story)


def test_one_run_at_a_time_and_the_next_after_its_end(tmp_path: Path) -> None:
    async def story(ask: Ask, prober: Prober) -> None:
        assert isinstance(await ask(Locate()), Located)
        busy = await ask(Locate(), OTHER)
        assert isinstance(busy, Failed)
        assert busy.code == "busy"
        assert await ask(Clear()) == Done()
        assert isinstance(await ask(Locate(), OTHER), Located)

    run(tmp_path, story)


def test_killed_with_its_locks_held_it_is_gone(tmp_path: Path) -> None:
    async def story(ask: Ask, prober: Prober) -> None:
        await ask(Locate())
        assert await ask(Lock()) == Done()
        assert await ask(Kill()) == Done()
        assert _children() == []
        refused = await ask(Write(1))
        assert isinstance(refused, Failed)
        assert refused.code == "refused"

    run(tmp_path, story)


def test_a_process_that_ends_by_itself_ends_the_run(tmp_path: Path) -> None:
    async def story(ask: Ask, prober: Prober) -> None:
        await ask(Locate())
        for child in _children():
            child.kill()
        ended = await ask(Write(1))
        assert isinstance(ended, Failed)
        assert "the process that measures ended" in ended.why
        assert isinstance(await ask(Locate()), Located)

    run(tmp_path, story)


def test_a_flood_of_steps_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MOST_WAITING", 3)

    async def story(ask: Ask, prober: Prober) -> None:
        answers = await asyncio.gather(*(ask(Locate()) for _ in range(10)))
        assert [isinstance(answer, Located) for answer in answers].count(True) == 3
        assert {answer.code for answer in answers if isinstance(answer, Failed)} == {"busy"}

    run(tmp_path, story)


def test_a_daemon_that_stops_does_not_wait_for_a_step(tmp_path: Path) -> None:
    async def story(ask: Ask, prober: Prober) -> None:
        await ask(Locate())
        step = asyncio.create_task(ask(Sync(5.0)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.to_thread(wait_until, "it began", lambda: list((tmp_path / "doctor").glob("a.*.sync")))
        with Stopwatch() as watch:
            await prober.close()
            assert isinstance(await step, Failed)
            assert watch.seconds < 4

    run(tmp_path, story)


def test_where_no_process_can_be_started_that_is_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*arguments: object, **options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuses)

    async def story(ask: Ask, prober: Prober) -> None:
        answer = await ask(Locate())
        assert isinstance(answer, Failed)
        assert answer.why == "cannot start the process that measures: Resource temporarily unavailable"

    run(tmp_path, story)


def test_a_run_that_nobody_asks_for_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "IDLE", 0.05)

    async def story(ask: Ask, prober: Prober) -> None:
        await ask(Locate())
        await asyncio.to_thread(wait_until, "it ends", lambda: not _children())
        assert not (tmp_path / "doctor").exists()

    run(tmp_path, story)
