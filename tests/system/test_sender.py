"""From the spool to the acknowledgement: a real REQ socket against coordinators that answer in every way one might."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from raisers import body
from waiting import Patience, Stopwatch

from noroshi.node.daemon.sender import Sender
from noroshi.node.daemon.spool import Spool
from noroshi.node.wire import codec, requests, sockets
from noroshi.node.wire.messages import PROTOCOL, Acknowledged, EventBatch, Ping, Refused, Reply, Report, Request
from noroshi.store.errors import NoroshiError

INCARNATION = b"12345678"
Rule = Callable[[EventBatch], Reply | bytes | None]


class Coordinator:
    """Takes batches as design section 2 says, unless a rule for the n-th request says something else."""

    def __init__(self) -> None:
        self.taken: dict[bytes, list[Report]] = {}
        self.requests: list[tuple[float, EventBatch]] = []
        self.rule: Rule = lambda batch: self.take(batch)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)
        self._context.destroy(0)

    def take(self, batch: EventBatch) -> Acknowledged:
        mine = self.taken.setdefault(batch.stream, [])
        last = mine[-1].sequence if mine else batch.first - 1
        if batch.first <= last + 1 or batch.oldest > last + 1:
            mine += [report for report in batch.reports if report.sequence > last]
        return Acknowledged(1, {batch.stream: mine[-1].sequence if mine else 0})

    def states(self) -> list[str]:
        return [report.state for reports in self.taken.values() for report in reports]

    def _serve(self) -> None:
        while not self._ending.is_set():
            if not self._socket.poll(50):
                continue
            route, empty, data = self._socket.recv_multipart()
            request = codec.requests.decode(data)
            assert (request.protocol, request.cluster, request.node) == (PROTOCOL, "demo", "db1")
            assert request.incarnation == INCARNATION and isinstance(request.body, EventBatch)
            self.requests.append((time.monotonic(), request.body))
            reply = self.rule(request.body)
            if reply is not None:
                answer = reply if isinstance(reply, bytes) else codec.encode(reply)
                self._socket.send_multipart([route, empty, answer])


class Link:
    """A spool, its sender, and coordinators to send to."""

    def __init__(self, spool: Spool, sender: Sender) -> None:
        self.spool, self.sender = spool, sender

    async def raise_states(self, *states: str) -> None:
        await asyncio.gather(*[self.spool.append(body(state=state)).safe() for state in states])

    async def sent(self, within: float = 20.0) -> None:
        await until("everything acknowledged", lambda: not self.spool.pending, within)


async def until(describe: str, predicate: Callable[[], object], within: float = 20.0) -> None:
    patience = Patience(within)
    while not predicate():
        assert not patience.over, f"not within {within} s: {describe}"
        await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def linked(directory: Path, patience: float = 20.0) -> AsyncIterator[Link]:
    spool = await Spool.open(directory / "events")
    context = zmq.asyncio.Context()
    sender = Sender(spool, context, cluster="demo", node="db1", incarnation=INCARNATION, timeout=patience)
    task = asyncio.create_task(sender.run())
    try:
        yield Link(spool, sender)
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        await spool.close()
        context.destroy(0)
        assert isinstance(ended, asyncio.CancelledError), f"the sender ended by itself: {ended!r}"


def scenario(directory: Path, test: Callable[[Link, Coordinator], object], timeout: float = 20.0) -> Coordinator:
    """Run the test with one coordinator that leads from the start."""
    coordinator = Coordinator()

    async def run() -> None:
        async with linked(directory, timeout) as link:
            link.sender.leader_changed(coordinator.endpoint, 1)
            await test(link, coordinator)  # type: ignore[misc]

    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        coordinator.close()
    return coordinator


def numbered(count: int) -> list[str]:
    return [str(at) for at in range(count)]


def test_events_arrive_once_in_order_and_leave_the_spool(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        await link.raise_states(*numbered(5000))
        await link.sent()
        assert link.sender.acknowledged == 5000

    coordinator = scenario(tmp_path, test)
    assert coordinator.states() == numbered(5000)
    assert all(batch.oldest <= batch.first for _, batch in coordinator.requests)


def test_an_event_is_on_its_way_at_once(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        took = []
        for at in range(30):
            await link.raise_states(str(at))  # on the disk: how long that takes is another matter
            with Stopwatch() as watch:
                await link.sent()
                took.append(watch.seconds)
        assert sorted(took)[len(took) // 2] < 0.05

    scenario(tmp_path, test)


@pytest.mark.parametrize("nowhere", ["no endpoint", "tcp://-:1"])
def test_an_endpoint_that_is_none_is_one_where_nobody_answers(tmp_path: Path, nowhere: str) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        link.sender.leader_changed(nowhere, 2)
        await link.raise_states("0")
        await asyncio.sleep(0.05)
        link.sender.leader_changed(coordinator.endpoint, 3)
        await link.sent()

    assert scenario(tmp_path, test).states() == ["0"]


def test_without_a_leader_they_wait_and_go_to_whoever_leads_then(tmp_path: Path) -> None:
    coordinators = [Coordinator(), Coordinator()]

    async def run() -> None:
        async with linked(tmp_path) as link:
            await link.raise_states("0", "1")
            await asyncio.sleep(0.05)
            assert not coordinators[0].requests
            link.sender.leader_changed(coordinators[0].endpoint, 1)
            await link.sent()
            link.sender.leader_changed(None)
            await link.raise_states("2")
            await asyncio.sleep(0.05)
            assert len(coordinators[0].requests) == 1
            link.sender.leader_changed(coordinators[1].endpoint, 2)
            await link.sent()

    try:
        asyncio.run(run())
    finally:
        for coordinator in coordinators:
            coordinator.close()
    assert [coordinator.states() for coordinator in coordinators] == [["0", "1"], ["2"]]


@pytest.mark.parametrize("first", [lambda batch: None, lambda batch: b"\xc1junk", lambda batch: b""])
def test_without_a_usable_answer_the_same_batch_goes_again(tmp_path: Path, first: Rule) -> None:
    """Taken, but the answer lost: the repeat is known as one and nothing is stored twice."""

    async def test(link: Link, coordinator: Coordinator) -> None:
        def lossy(batch: EventBatch) -> Reply | bytes | None:
            reply = coordinator.take(batch)
            return first(batch) if len(coordinator.requests) <= 2 else reply

        coordinator.rule = lossy
        await link.raise_states(*numbered(10))
        await link.sent()

    coordinator = scenario(tmp_path, test, timeout=0.3)
    assert coordinator.states() == numbered(10)
    batches = [batch.first for _, batch in coordinator.requests]
    assert batches[:3] == [1, 1, 1]


def test_a_new_leader_ends_the_wait_for_the_old_one(tmp_path: Path) -> None:
    other = Coordinator()

    async def test(link: Link, coordinator: Coordinator) -> None:
        coordinator.rule = lambda batch: None
        await link.raise_states("0")
        await until("asked", lambda: coordinator.requests)
        link.sender.leader_changed(other.endpoint, 2)
        await link.sent()

    try:
        scenario(tmp_path, test, timeout=50)
        assert other.states() == ["0"]
    finally:
        other.close()


def test_the_same_leader_with_a_new_term_is_asked_again_at_once(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        coordinator.rule = lambda batch: coordinator.take(batch) if len(coordinator.requests) > 1 else None
        await link.raise_states("0")
        await until("asked", lambda: coordinator.requests)
        link.sender.leader_changed(coordinator.endpoint, 1)  # no news
        await asyncio.sleep(0.05)
        assert len(coordinator.requests) == 1
        link.sender.leader_changed(coordinator.endpoint, 2)
        await link.sent()

    scenario(tmp_path, test, timeout=50)


@pytest.mark.parametrize("code", ["not-leader", "busy", "disk", "identity", "cluster", "protocol"])
def test_a_refusal_is_waited_out_without_a_busy_loop(tmp_path: Path, code: str) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        coordinator.rule = lambda batch: Refused(code, "not now", "wait")  # type: ignore[arg-type]
        await link.raise_states("0")
        end = time.monotonic() + 0.5
        while time.monotonic() < end or len(coordinator.requests) < 3:  # raising more does not hurry it
            await link.raise_states("x")
        asked = [at for at, _ in coordinator.requests]
        pauses = [later - earlier for earlier, later in pairwise(asked)]
        assert all(pause > least for pause, least in zip(pauses, (0.045, 0.095, 0.19), strict=False)), pauses
        coordinator.rule = lambda batch: coordinator.take(batch)
        await link.sent()

    scenario(tmp_path, test)


def test_a_refusing_leader_is_left_at_once_for_the_next(tmp_path: Path) -> None:
    other = Coordinator()

    async def test(link: Link, coordinator: Coordinator) -> None:
        coordinator.rule = lambda batch: Refused("not-leader", "no longer")
        await link.raise_states("0")
        await until("tried for a while", lambda: len(coordinator.requests) >= 5)
        with Stopwatch() as watch:
            link.sender.leader_changed(other.endpoint, 2)
            await link.sent()
            assert watch.seconds < 0.7  # the pause would have been 0.8 s

    try:
        scenario(tmp_path, test)
    finally:
        other.close()


def test_a_poisoned_event_is_set_aside_and_its_notice_takes_its_place(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        def refuse(batch: EventBatch) -> Reply:
            if any(report.state == "700" for report in batch.reports):
                return Refused("bad-message", "cannot store 700")
            return coordinator.take(batch)

        coordinator.rule = refuse
        await link.raise_states(*numbered(1500))
        await link.sent()
        await link.raise_states("after")
        await link.sent()

    coordinator = scenario(tmp_path, test)
    expected = [*numbered(1500), "after"]
    expected[700] = "ERROR"
    assert coordinator.states() == expected
    (reports,) = coordinator.taken.values()
    assert [report.sequence for report in reports] == list(range(1, 1502))
    notice = reports[700]
    told = json.loads(notice.supplement)
    assert (notice.event, told["reason"]) == ("monitor/db1/spool", "cannot store 700")
    aside = Path(told["set_aside"])
    assert aside.parent == tmp_path / "events" / "aside" and aside.read_bytes() == body(state="700")
    assert len(coordinator.requests) < 60


def test_a_coordinator_that_finds_everything_bad_loses_nothing(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        coordinator.rule = lambda batch: Refused("bad-message", "another version")
        await link.raise_states(*numbered(3))
        await until("tried alone, and with the notice", lambda: len(coordinator.requests) >= 6)
        assert link.spool.pending == 3
        coordinator.rule = lambda batch: coordinator.take(batch)
        await link.sent()

    assert scenario(tmp_path, test).states() == numbered(3)


def test_a_body_of_another_version_is_set_aside(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        await link.spool.append(b"\xc1 no event").safe()
        await link.raise_states("after")
        await link.sent()

    coordinator = scenario(tmp_path, test)
    assert coordinator.states() == ["ERROR", "after"]


def test_a_coordinator_with_a_restored_database_gets_again_what_is_kept(tmp_path: Path) -> None:
    forgotten: list[None] = []

    async def test(link: Link, coordinator: Coordinator) -> None:
        link.sender._forgotten = lambda: forgotten.append(None)
        await link.raise_states(*numbered(20))
        await link.sent()
        assert forgotten == []
        for reports in coordinator.taken.values():
            del reports[12:]
        await link.raise_states("20")
        await link.sent()

    assert scenario(tmp_path, test).states() == numbered(21)
    assert len(forgotten) == 1, "so that the monitors say again what is now so"


def test_an_answer_that_takes_nothing_is_no_busy_loop(tmp_path: Path) -> None:
    async def test(link: Link, coordinator: Coordinator) -> None:
        coordinator.rule = lambda batch: Acknowledged(1, {batch.stream: 0})
        await link.raise_states("0")
        await asyncio.sleep(0.4)
        assert len(coordinator.requests) <= 6
        coordinator.rule = lambda batch: Acknowledged(1, {})
        await asyncio.sleep(0.2)
        coordinator.rule = lambda batch: coordinator.take(batch)
        await link.sent()

    scenario(tmp_path, test)


def test_a_restarted_daemon_goes_on_where_the_coordinator_stands(tmp_path: Path) -> None:
    coordinator = Coordinator()

    async def life(states: list[str]) -> None:
        async with linked(tmp_path) as link:
            link.sender.leader_changed(coordinator.endpoint, 1)
            await link.raise_states(*states)
            await link.sent()

    try:
        for start in range(0, 40, 10):
            asyncio.run(life(numbered(40)[start : start + 10]))
    finally:
        coordinator.close()
    assert coordinator.states() == numbered(40)
    assert len(coordinator.taken) == 1


def test_a_command_asks_and_says_when_nobody_answers() -> None:
    context = zmq.Context()
    router = sockets.router(context, "tcp://127.0.0.1:*")
    endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)
    ping = Request(PROTOCOL, "demo", "db1", b"", Ping())

    def serve() -> None:
        for answer in (codec.encode(Acknowledged(7)), b"\xc1"):
            route, empty, data = router.recv_multipart()
            assert codec.requests.decode(data) == ping
            router.send_multipart([route, empty, answer])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert requests.ask(endpoint, ping, timeout=20.0) == Acknowledged(7)
        with pytest.raises(NoroshiError, match="another version"):
            requests.ask(endpoint, ping, timeout=20.0)
    finally:
        thread.join(10)
        context.destroy(0)
    with Stopwatch() as watch, pytest.raises(NoroshiError, match=r"nothing within 0\.2 s") as error:
        requests.ask(endpoint, ping, timeout=0.2)
    assert error.value.hint and watch.seconds < 2
