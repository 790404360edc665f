"""The notifier as a whole: what it refuses, that it delivers once, that nothing blocks another, how it ends."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from notifying import deliver, is_running, node_config, program, run, size_of, until
from waiting import Stopwatch

from noroshi.node.notifier import message, process
from noroshi.node.notifier import notifier as module
from noroshi.node.notifier.notifier import Notifier
from noroshi.node.wire.messages import Answer, Deliver
from noroshi.store.config import DefaultDestination
from noroshi.store.errors import NoroshiError


@asynccontextmanager
async def notifier(tmp_path: Path, *programs: str, **changes: object) -> AsyncIterator[Notifier]:
    this = Notifier(node_config(tmp_path, *programs, **changes), "demo", device=tmp_path / "log")
    try:
        yield this
    finally:
        await this.close()


def counting(tmp_path: Path, then: str = "") -> str:
    """A program that leaves a line each time it runs."""
    return program(tmp_path / "page", f"echo $NOROSHI_ID >> {tmp_path}/ran; echo paged; {then}")


def times_run(tmp_path: Path) -> int:
    return (tmp_path / "ran").read_text().count("\n") if (tmp_path / "ran").exists() else 0


def asked(tmp_path: Path, message: Deliver, *programs: str, **changes: object) -> Answer:
    async def ask() -> Answer:
        async with notifier(tmp_path, *programs, **changes) as this:
            return await this.deliver(message)

    return run(ask())


def test_a_delivery_is_run_and_answered(tmp_path: Path) -> None:
    page = counting(tmp_path)
    message = deliver("process", [page])
    assert asked(tmp_path, message, page) == Answer(message.delivery, "delivered", "exit status 0", "paged\n")
    assert (tmp_path / "ran").read_text() == f"{message.delivery}\n"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": 2}, "protocol 2; node db1 speaks 1"),
        ({"cluster": "other"}, "cluster 'other'; node db1 belongs to 'demo'"),
        ({"delivery": ""}, "a delivery id has 1 to 64 characters"),
        ({"delivery": "x" * 65}, "a delivery id has 1 to 64 characters"),
        ({"payload": b"junk"}, "the payload is no JSON object"),
        ({"timeout": -1.0}, "a time limit of -1.0 s"),
        ({"application": ["/bin/false"]}, "program /bin/false is not in notifier.programs of node db1"),
        ({"procedure": "socket"}, "is no address of a socket"),
        ({"procedure": "message"}, "the application of a message is"),
    ],
)
def test_what_is_refused_runs_nothing_and_is_not_recorded(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    page = counting(tmp_path)
    message = msgspec.structs.replace(deliver("process", [page]), **changes)
    answer = asked(tmp_path, message, page)
    assert answer.outcome == "failed" and reason in answer.reason
    assert times_run(tmp_path) == 0
    assert b"started" not in (tmp_path / "state" / "deliveries" / "record").read_bytes()


def test_a_repeat_is_answered_from_the_record(tmp_path: Path) -> None:
    page = counting(tmp_path, "exit 5")
    message = deliver("process", [page])

    async def twice() -> list[Answer]:
        async with notifier(tmp_path, page) as this:
            answers = [await this.deliver(message), await this.deliver(message)]
            assert (this.counts.failed, this.counts.repeats) == (1, 1)
            return answers

    first, second = run(twice())
    assert first == second == Answer(message.delivery, "failed", "exit status 5", "paged\n")
    later = asked(tmp_path, msgspec.structs.replace(message, term=9), page)
    assert later == first
    assert times_run(tmp_path) == 1


def test_repeats_while_it_runs_wait_for_the_same_result(tmp_path: Path) -> None:
    page = counting(tmp_path, "sleep 0.3")
    message = deliver("process", [page])

    async def many() -> list[Answer]:
        async with notifier(tmp_path, page) as this:
            given_up = asyncio.create_task(this.deliver(message))
            answers = asyncio.gather(*(this.deliver(message) for _ in range(5)))
            await asyncio.sleep(0.05)
            given_up.cancel()
            return await answers

    assert run(many()) == [Answer(message.delivery, "delivered", "exit status 0", "paged\n")] * 5
    assert times_run(tmp_path) == 1


def test_a_term_that_is_over_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    page = counting(tmp_path)
    new, old = deliver("process", [page], term=5), deliver("process", [page], term=4)
    assert asked(tmp_path, new, page).outcome == "delivered"
    answer = asked(tmp_path, old, page)
    assert answer.outcome == "failed" and answer.reason.startswith("term 4 is over, term 5 has been heard")
    assert asked(tmp_path, deliver("process", [page], term=5), page).outcome == "delivered"
    assert times_run(tmp_path) == 2


def test_a_term_is_remembered_though_its_delivery_was_refused(tmp_path: Path) -> None:
    asked(tmp_path, deliver("process", ["/bin/false"], term=8))
    assert asked(tmp_path, deliver("default", term=7)).reason.startswith("term 7 is over")


def test_a_record_that_cannot_be_written_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = counting(tmp_path)

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def on_a_full_disk() -> tuple[Answer, Answer]:
        async with notifier(tmp_path, page) as this:
            await this.deliver(deliver("process", ["/bin/false"]))  # the term is on the disk
            with monkeypatch.context() as full:
                full.setattr(os, "fdatasync", refuse)
                full.setattr(os, "fsync", refuse)
                failed = await this.deliver(deliver("process", [page]))
            return failed, await this.deliver(deliver("process", [page]))

    failed, delivered = run(on_a_full_disk())
    assert failed.reason.startswith("not started, it could not be recorded: No space left on device (make room")
    assert delivered.outcome == "delivered" and times_run(tmp_path) == 1


def test_a_result_that_cannot_be_written_is_answered_and_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = counting(tmp_path, "sleep 0.2")
    message = deliver("process", [page])

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def disk_fails_while_it_runs() -> list[Answer]:
        async with notifier(tmp_path, page) as this:
            first = asyncio.create_task(this.deliver(message))
            await until("it runs", lambda: times_run(tmp_path))
            with monkeypatch.context() as broken:
                broken.setattr(os, "fdatasync", refuse)
                answers = [await first, await this.deliver(message)]
            await this.deliver(deliver("process", [page]))  # the disk is back
            return answers

    answers = run(disk_fails_while_it_runs())
    assert [each.outcome for each in answers] == ["delivered", "delivered"]
    assert asked(tmp_path, message, page).outcome == "delivered"
    assert times_run(tmp_path) == 2


def test_nothing_is_started_before_it_is_recorded(tmp_path: Path) -> None:
    record = tmp_path / "state" / "deliveries" / "record"
    page = program(tmp_path / "page", f"grep -c $NOROSHI_ID {record}")
    assert asked(tmp_path, deliver("process", [page]), page).output == "1\n"


def test_none_blocks_another(tmp_path: Path) -> None:
    slow = program(tmp_path / "slow", f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    quick = program(tmp_path / "quick", "exit 0")

    async def both() -> float:
        with socket.socket(socket.AF_UNIX) as full:
            full.bind(str(tmp_path / "full"))
            full.listen(0)
            async with notifier(tmp_path, slow, quick) as this:
                others = [
                    deliver("process", [slow]),
                    deliver("socket", f"unix://{tmp_path}/full", reply="required", timeout=1.0),
                    deliver("socket", f"unix://{tmp_path}/full", timeout=1.0),
                ]
                waiting = [asyncio.create_task(this.deliver(each)) for each in others]
                await asyncio.sleep(0)
                with Stopwatch() as watch:
                    assert (await this.deliver(deliver("process", [quick]))).outcome == "delivered"
                    took = watch.seconds
                assert not waiting[0].done()
                (tmp_path / "go").touch()
                await asyncio.gather(*waiting)
                return took

    assert run(both()) < 0.5


def test_what_waits_too_long_for_a_slot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_RUNNING", 2)
    page = counting(tmp_path, "sleep 1.5")

    async def burst() -> list[Answer]:
        async with notifier(tmp_path, page) as this:
            await this.deliver(deliver("process", []))  # the term is on the disk
            messages = [deliver("process", [page], timeout=2.5) for _ in range(6)]
            return list(await asyncio.gather(*(this.deliver(each) for each in messages)))

    answers = run(burst())
    assert [each.outcome for each in answers] == ["delivered"] * 4 + ["failed"] * 2
    assert {each.reason for each in answers[4:]} == {
        "waited 2.5 s on node db1 without being started: too many deliveries of this kind run here"
    }
    assert times_run(tmp_path) == 4


def test_too_many_waiting_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 10_000)
    page = counting(tmp_path, "sleep 0.3")

    async def burst() -> list[Answer]:
        async with notifier(tmp_path, page) as this:
            await this.deliver(deliver("process", []))  # the term is on the disk
            big = deliver("process", [page], fields={"line": "x" * 10_000})
            messages = [big, *(deliver("process", [page]) for _ in range(5))]
            answers = list(await asyncio.gather(*(this.deliver(each) for each in messages)))
            assert (await this.deliver(deliver("process", [page]))).outcome == "delivered"
            return answers

    answers = run(burst())
    assert [each.outcome for each in answers] == ["failed"] + ["delivered"] * 3 + ["failed"] * 2
    assert answers[0].reason == "node db1 has 0 deliveries under way already"
    assert answers[5].reason == "node db1 has 3 deliveries under way already"


def test_shutdown_ends_and_records_what_runs(tmp_path: Path) -> None:
    page = program(tmp_path / "page", f"echo $$ > {tmp_path}/pid; echo working; sleep 60 & wait")
    message, queued = deliver("process", [page]), deliver("process", [page])

    async def stop() -> list[Answer]:
        this = Notifier(node_config(tmp_path, page), "demo")
        answering = asyncio.create_task(this.deliver(message))
        await until("it runs", lambda: size_of(tmp_path / "pid"))
        closing = asyncio.create_task(this.close())
        await asyncio.sleep(0)
        answers = [await answering, await this.deliver(queued)]
        await closing
        return answers

    first, second = run(stop())
    assert (first.outcome, first.reason) == ("failed", "interrupted by shutdown of this node's daemon")
    assert (second.outcome, second.reason) == ("failed", "interrupted by shutdown of this node's daemon")
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert asked(tmp_path, message, page) == first


@pytest.mark.parametrize(("wait", "outcome"), [("exited", "failed"), ("started", "delivered")])
def test_shutdown_while_the_record_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str, outcome: str
) -> None:
    """It starts in the thread that recorded it, though the daemon is ending: it is ended too, or told as started."""
    page = program(tmp_path / "page", f"echo $$ > {tmp_path}/pid; sleep 60 & wait")
    hung, go = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(file: int) -> None:
        hung.set()
        go.wait(20)
        real(file)

    async def stop() -> Answer:
        this = Notifier(node_config(tmp_path, page), "demo")
        await this.deliver(deliver("process", ["/no"]))  # the term is recorded
        with monkeypatch.context() as disk:
            disk.setattr(os, "fdatasync", slow)
            answering = asyncio.create_task(this.deliver(deliver("process", [page], wait=wait)))
            await until("it is being recorded", hung.is_set)
            closing = asyncio.create_task(this.close())
            await asyncio.sleep(0)
            go.set()
            await closing
        return await answering

    answer = run(stop())
    assert answer.outcome == outcome, answer
    pids = [int(line) for line in (tmp_path / "pid").read_text().split()] if (tmp_path / "pid").exists() else []
    if wait == "exited":
        assert answer.reason == "interrupted by shutdown of this node's daemon"
        assert not any(is_running(pid) for pid in pids)
    else:
        pid = int(answer.reason.removeprefix("started as process "))
        assert is_running(pid)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_shutdown_with_many_waiting(tmp_path: Path) -> None:
    page = counting(tmp_path, "sleep 60")

    async def stop() -> list[Answer]:
        this = Notifier(node_config(tmp_path, page), "demo")
        messages = [deliver("process", [page]) for _ in range(process.MAX_RUNNING + 50)]
        answers = asyncio.gather(*(this.deliver(each) for each in messages))
        await until("as many run as may", lambda: times_run(tmp_path) == process.MAX_RUNNING)
        await this.close()
        return list(await answers)

    answers = run(stop())
    assert {(each.outcome, each.reason) for each in answers} == {
        ("failed", "interrupted by shutdown of this node's daemon")
    }
    assert times_run(tmp_path) == process.MAX_RUNNING


def test_the_default_is_the_system_log(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "log"))
        assert asked(tmp_path, deliver("default")).outcome == "delivered"
        assert b"raid/db1/md0 DEGRADED" in syslog.recv(65536)


def test_the_default_of_node_yaml_needs_no_second_permission(tmp_path: Path) -> None:
    page = counting(tmp_path)
    answer = asked(tmp_path, deliver("default"), default=DefaultDestination("process", [page]))
    assert (answer.outcome, answer.output) == ("delivered", "paged\n")


def test_a_fault_of_our_own_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(process, "_outcome", broken)
    page = counting(tmp_path)
    message = deliver("process", [page])
    answer = asked(tmp_path, message, page)
    assert answer.outcome == "failed" and "RuntimeError('unforeseen')" in answer.reason
    assert "an error in Noroshi itself" in caplog.text
    monkeypatch.undo()
    assert asked(tmp_path, message, page) == answer


def test_a_fault_of_our_own_before_it_is_begun_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the call that brings the delivery it would end the socket, and with it the daemon."""

    def broken(*_: object) -> None:
        raise KeyError("unforeseen")

    async def begun() -> Answer:
        notifier = Notifier(node_config(tmp_path), "demo", device=tmp_path / "log")
        await notifier.deliver(deliver("default"))  # the first of a term has another way
        monkeypatch.setattr(message.Message, "check", broken)
        answers: list[Answer] = []
        task = notifier.begin(deliver("message", {"key": 1}), answers.append)
        assert task is not None
        await task
        await until("it is answered", lambda: answers)
        await notifier.close()
        return answers[0]

    answer = run(begun())
    assert answer.outcome == "failed" and "KeyError('unforeseen')" in answer.reason


def test_an_unknown_user_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(NoroshiError, match="no such user"):
        Notifier(node_config(tmp_path, user="no-such-user"), "demo")
