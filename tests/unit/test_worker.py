"""The worker thread of an event loop: in order, results and errors back in the loop, nothing lost at its end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from noroshi.node.worker import Done, Worker


def failing() -> int:
    raise OSError(28, "no space")


def test_calls_run_in_order_in_one_thread_and_come_back_in_the_loop() -> None:
    async def story() -> None:
        worker, came = Worker("w"), asyncio.Event()
        ran: list[tuple[int, str]] = []
        back: list[tuple[int, str]] = []

        def then(done: Done[int]) -> None:
            back.append((done.result(), threading.current_thread().name))
            if done.result() == 9:
                came.set()

        for number in range(10):
            worker.call(lambda number=number: ran.append((number, threading.current_thread().name)) or number, then)
        await asyncio.wait_for(came.wait(), 10)
        worker.shutdown()
        assert ran == [(number, "w") for number in range(10)]
        assert back == [(number, threading.current_thread().name) for number in range(10)]

    asyncio.run(story())


def test_an_error_is_handed_over_and_the_thread_goes_on() -> None:
    async def story() -> None:
        worker = Worker("w")
        came: asyncio.Future[Done[int]] = asyncio.get_running_loop().create_future()
        worker.call(failing, came.set_result)
        done = await asyncio.wait_for(came, 10)
        assert isinstance(done.error, OSError)
        with pytest.raises(OSError, match="no space"):
            done.result()
        with pytest.raises(OSError, match="no space"):
            await asyncio.get_running_loop().run_in_executor(worker, failing)
        assert await asyncio.get_running_loop().run_in_executor(worker, int, "7") == 7
        worker.shutdown()

    asyncio.run(story())


def test_shutdown_finishes_what_was_given_and_takes_no_more() -> None:
    worker, begun, go = Worker("w"), threading.Event(), threading.Event()
    worker.submit(lambda: (begun.set(), go.wait(10)))
    last = worker.submit(lambda: "the last")
    assert begun.wait(10)
    worker.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="takes no more"):
        worker.submit(int)
    go.set()
    worker.shutdown()
    assert last.result(0) == "the last"


def test_a_loop_that_has_ended_meanwhile_stops_nothing() -> None:
    worker, begun, go = Worker("w"), threading.Event(), threading.Event()

    async def story() -> None:
        worker.call(lambda: (begun.set(), go.wait(10)), lambda done: pytest.fail(f"called back: {done}"))
        assert begun.wait(10)

    asyncio.run(story())
    go.set()
    assert worker.submit(int, "3").result(10) == 3
    worker.shutdown()
