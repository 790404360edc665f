"""Procedure message on real System V queues, with a receiver written in C."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sysv_ipc
from notifying import FIELDS, compile_receiver, job, run
from waiting import Stopwatch, wait_until

from noroshi.node.notifier.message import Message, reply_type
from noroshi.node.notifier.procedure import Job, Outcome, Refused


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_receiver(tmp_path_factory.mktemp("receiver"))


@pytest.fixture
def key() -> Iterator[int]:
    """A key of the upper half, as an unsigned number, whose queue is removed afterwards."""
    value = random.randrange(0x80000000, 0xFFFFFFFF)
    yield value
    try:
        sysv_ipc.MessageQueue(value).remove()
    except sysv_ipc.ExistentialError:
        return


def queue_of(key: int) -> sysv_ipc.MessageQueue:
    return sysv_ipc.MessageQueue(key, sysv_ipc.IPC_CREX, mode=0o600, max_message_size=8192)


async def sent(*jobs: Job) -> list[Outcome]:
    procedure = Message()
    for each in jobs:
        procedure.check(each)
    return list(await asyncio.gather(*(procedure.run(each) for each in jobs)))


class Receiver:
    """The C receiver, running; `lines` waits for its end and gives what it printed."""

    def __init__(self, printed: Path, *command: str) -> None:
        self._printed = printed
        with printed.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def lines(self) -> list[str]:
        assert self._process.wait(timeout=10) == 0, self._printed.read_text()
        return self._printed.read_text().splitlines()[1:]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start(receiver: str, tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    running: list[Receiver] = []

    def start(*arguments: str) -> Receiver:
        printed = tmp_path / f"printed{len(running)}"
        running.append(Receiver(printed, receiver, *arguments))
        wait_until("the receiver has its queue", lambda: printed.read_text() == "ready\n")
        return running[-1]

    yield start
    for each in running:
        each.stop()


def test_a_receiver_in_c_gets_the_json(start: Callable[..., Receiver], key: int) -> None:
    process = start(hex(key), "5", "2")
    first, second = job({"key": key, "type": 5}), job({"key": key, "type": 5}, fields={"line": "Out of memory €"})
    outcomes = run(sent(first, second))
    assert [each.reason for each in outcomes] == [f"sent to queue {key:#010x}"] * 2
    assert [json.loads(line) for line in process.lines()] == [FIELDS, {"line": "Out of memory €"}]


def test_the_type_is_1_unless_given(start: Callable[..., Receiver], key: int) -> None:
    process = start(hex(key), "1", "1")
    assert run(sent(job({"key": key})))[0].outcome == "delivered"
    assert len(process.lines()) == 1


def test_the_receivers_answer(start: Callable[..., Receiver], key: int) -> None:
    process = start(hex(key), "1", "2", "taken by desk 4")
    jobs = [job({"key": key}, reply="required", timeout=20.0) for _ in range(2)]
    outcomes = run(sent(*jobs))
    assert {(each.outcome, each.reason, each.output) for each in outcomes} == {
        ("delivered", "answered", "taken by desk 4")
    }
    told = [json.loads(line) for line in process.lines()]
    assert [each.pop("reply_type") for each in told] == [reply_type(each.delivery) for each in jobs]
    assert [each.pop("reply_key") for each in told] == [key, key] and told == [FIELDS, FIELDS]


def test_no_answer_in_time_and_its_late_arrival(key: int) -> None:
    queue = queue_of(key)

    async def ask_then_send() -> None:
        procedure = Message()
        asked = job({"key": key}, reply="required", timeout=0.3)
        outcome = await procedure.run(asked)
        assert (outcome.outcome, outcome.reason) == (
            "failed",
            f"queue {key:#010x} took the message, no answer within 0.3 s",
        )
        queue.receive(type=1, block=False)
        queue.send(b"late", type=reply_type(asked.delivery))
        assert (await procedure.run(job({"key": key}))).outcome == "delivered"
        text, kind = queue.receive(block=False)
        assert (json.loads(text), kind, queue.current_messages) == (FIELDS, 1, 0)

    run(ask_then_send())


def test_a_missing_queue(key: int) -> None:
    (outcome,) = run(sent(job({"key": key})))
    assert outcome.outcome == "failed"
    assert outcome.reason == f"queue {key:#010x} does not exist: nobody has created it: is the receiver running?"
    with pytest.raises(sysv_ipc.ExistentialError):
        sysv_ipc.MessageQueue(key)


def test_a_full_queue_fails_without_holding_up_another(key: int) -> None:
    queue = queue_of(key)
    queue.send(b"x" * 8192, block=False)
    queue.send(b"x" * 8192, block=False)

    other = queue_of(key - 1)

    async def timed(*jobs: Job) -> tuple[list[Outcome], float, float]:
        """And how long it took: by the clock, and of this process's own time."""
        began = time.monotonic()
        with Stopwatch() as watch:
            return await sent(*jobs), time.monotonic() - began, watch.seconds

    async def both() -> list[tuple[list[Outcome], float, float]]:
        full = timed(*(job({"key": key}, timeout=1.0) for _ in range(50)))
        return list(await asyncio.gather(full, timed(job({"key": key - 1}))))

    (outcomes, took, own), ((quick,), _, quick_own) = run(both())
    other.remove()
    assert quick.outcome == "delivered" and quick_own < 0.3
    assert {each.reason for each in outcomes} == {
        f"queue {key:#010x} stayed full for 0.5 s: its receiver does not read"
    }
    assert took >= 0.5 and own < 1.0


def test_a_burst_through_a_small_queue_arrives_whole_and_in_order(start: Callable[..., Receiver], key: int) -> None:
    process = start(hex(key), "1", "2000")
    outcomes = run(sent(*(job({"key": key}, fields={"n": number, "fill": "x" * 200}) for number in range(2000))))
    assert {each.outcome for each in outcomes} == {"delivered"}
    assert [json.loads(line)["n"] for line in process.lines()] == list(range(2000))


def test_too_big_a_message(key: int) -> None:
    queue_of(key)
    (outcome,) = run(sent(job({"key": key}, fields={"line": "x" * 9000})))
    assert outcome.outcome == "failed" and "bytes are too big for queue" in outcome.reason
    assert "8192" in outcome.reason


def test_too_big_for_a_queue_made_small(key: int) -> None:
    queue = queue_of(key)
    queue.max_size = 100
    (outcome,) = run(sent(job({"key": key})))
    assert "too big" in outcome.reason and "takes 100" in outcome.reason


def test_a_queue_removed_while_waiting(key: int) -> None:
    queue = queue_of(key)
    queue.send(b"x" * 8192)
    queue.send(b"x" * 8192)

    async def remove() -> Outcome:
        waiting = asyncio.create_task(sent(job({"key": key})))
        await asyncio.sleep(0.05)
        queue.remove()
        return (await waiting)[0]

    outcome = run(remove())
    assert outcome.outcome == "failed" and f"queue {key:#010x}" in outcome.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_queue_without_permission(key: int) -> None:
    queue_of(key)
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from noroshi.node.notifier.message import Message
from notifying import job, run
import os; os.setuid(65534)
print(run(Message().run(job({{"key": {key}}}))).reason)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == f"queue {key:#010x}: no permission for the node daemon's user\n", done.stderr


@pytest.mark.parametrize(
    "application",
    [None, "x", ["x"], {}, {"key": 0}, {"key": 2**32}, {"key": "x"}, {"key": 1, "type": 0}, {"key": 1, "type": 2**31}],
)
def test_no_queue_at_all(application: object) -> None:
    with pytest.raises(Refused, match=r"the (application|key|type) of a"):
        run(sent(job(application)))  # type: ignore[arg-type]
