"""The two reading threads: what they tell, in which turn, and that trouble does not end them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from filling import fill, layout_of, leading, lines
from textual.message import Message
from waiting import wait_until

from noroshi.console.app.definition_jobs import Answer, Failed, answering
from noroshi.console.app.messages import (
    Answered,
    JobFailed,
    LeadershipSeen,
    PictureRead,
    ReadingBroke,
    RowsRead,
    ScanStepped,
)
from noroshi.console.app.reading import Fetcher, Watcher
from noroshi.console.app.table_jobs import rows_job, scan_job
from noroshi.console.app.tables import LogTable
from noroshi.console.queries import Queries, open_queries
from noroshi.store.errors import ReadFailed
from noroshi.store.views import LogFilter


@pytest.fixture
def told() -> Queue[Message]:
    return Queue()


@pytest.fixture
def fetcher(filled: Path, told: Queue[Message]) -> Iterator[Fetcher]:
    running = Fetcher(open_queries(filled), told.put)
    running.start()
    yield running
    running.stop()
    running.join(30)


@pytest.fixture
def watcher(filled: Path, told: Queue[Message]) -> Iterator[Watcher]:
    running = Watcher(open_queries(filled), told.put, interval=0.02)
    running.start()
    yield running
    running.stop()
    running.join(30)


def test_it_reads_anew_when_something_changed_and_not_otherwise(
    filled: Path, watcher: Watcher, told: Queue[Message]
) -> None:
    first, second = told.get(timeout=30), told.get(timeout=30)
    assert isinstance(first, LeadershipSeen) and not first.leadership.held
    assert isinstance(second, PictureRead) and second.picture.bounds.last == 63
    seen = watcher.health.answered
    wait_until("three more looks", lambda: (watcher.health.answered or 0) > (seen or 0) + 0.06)
    assert told.empty()
    with leading(layout_of(filled)) as order:
        held = told.get(timeout=30)
        assert isinstance(held, LeadershipSeen) and held.leadership.held
        order("line new")
        wait_until(
            "the new line",
            lambda: isinstance(found := told.get(timeout=30), PictureRead) and found.picture.bounds.last == 64,
        )


def test_trouble_is_in_its_health_and_passes(filled: Path, watcher: Watcher) -> None:
    wait_until("an answer", lambda: watcher.health.answered)
    database = layout_of(filled).database
    content = database.read_bytes()
    with database.open("r+b") as file:  # never empty in between: that would be no database yet
        file.write(b"no database at all" * 1000)
    wait_until("trouble", lambda: watcher.health.trouble)
    assert not watcher.health.no_database
    answered = watcher.health.answered
    with database.open("r+b") as file:
        file.write(content)
    wait_until("health", lambda: not watcher.health.trouble and (watcher.health.answered or 0) > (answered or 0))


def test_a_search_without_end_does_not_hold_up_a_page(fetcher: Fetcher, told: Queue[Message]) -> None:
    def endless(queries: Queries) -> Iterator[None]:
        while True:
            queries.log_bounds()
            yield None

    fetcher.submit("older", endless)
    fetcher.submit("page", rows_job(LogTable(), (1, 2)))
    assert isinstance(told.get(timeout=30), RowsRead)
    assert fetcher.has("older")


def test_a_search_tells_every_step(filled: Path, fetcher: Fetcher, told: Queue[Message]) -> None:
    fill(layout_of(filled), lambda connection: lines(connection, ["x"] * 50_000))
    fetcher.submit("older", scan_job(LogTable(), LogFilter(text=("giving",)), None, 1, backward=True))
    found = []
    while True:
        message = told.get(timeout=30)
        assert isinstance(message, ScanStepped)
        found += [line.line for line in message.found.rows]
        if message.found.done:
            break
    assert found == ["giving up on db2: timeout"]


def test_a_job_takes_the_place_of_the_one_before_it(fetcher: Fetcher, told: Queue[Message]) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(queries: Queries) -> Iterator[Message]:
        begun.set()
        go.wait(30)
        yield JobFailed("old", "told too late")

    fetcher.submit("page", slow)
    assert begun.wait(30)
    fetcher.submit("page", rows_job(LogTable(), (1,)))
    go.set()
    message = told.get(timeout=30)
    assert isinstance(message, RowsRead)
    assert [line.id for line in message.rows] == [1]
    wait_until("nothing left", lambda: not fetcher.has("page"))
    fetcher.submit("page", rows_job(LogTable(), (2,)))
    fetcher.cancel("page")
    fetcher.submit("other", rows_job(LogTable(), (3,)))
    assert isinstance(told.get(timeout=30), RowsRead)


def test_a_job_that_cannot_read_is_told_and_the_thread_goes_on(fetcher: Fetcher, told: Queue[Message]) -> None:
    def failing(queries: Queries) -> Iterator[Message]:
        yield from ()
        raise ReadFailed("cannot read", why="the disk is away")

    fetcher.submit("page", failing)
    message = told.get(timeout=30)
    assert isinstance(message, JobFailed)
    assert (message.key, message.why) == ("page", "cannot read: the disk is away")
    fetcher.submit("page", rows_job(LogTable(), (1,)))
    assert isinstance(told.get(timeout=30), RowsRead)


def test_a_fault_of_our_own_is_handed_over(fetcher: Fetcher, told: Queue[Message]) -> None:
    def faulty(queries: Queries) -> Iterator[Message]:
        yield from ()
        raise KeyError("ours")

    fetcher.submit("page", faulty)
    failed, broke = told.get(timeout=30), told.get(timeout=30)
    assert isinstance(failed, JobFailed)
    assert (failed.key, failed.why, failed.fault) == ("page", "KeyError: 'ours'", True)
    assert isinstance(broke, ReadingBroke)
    assert isinstance(broke.error, KeyError)


def test_a_screen_that_asked_is_told_of_a_fault_of_our_own(fetcher: Fetcher, told: Queue[Message]) -> None:
    def faulty(queries: Queries) -> Iterator[Answer]:
        yield from ()
        raise KeyError("ours")

    asking = object()
    fetcher.submit("change", answering(asking, "change", faulty))
    answered, failed, broke = (told.get(timeout=30) for _ in range(3))
    assert isinstance(answered, Answered) and answered.screen is asking
    assert answered.answer == Failed("change", "KeyError: 'ours'")
    assert isinstance(failed, JobFailed) and failed.key == "change"
    assert isinstance(broke, ReadingBroke) and isinstance(broke.error, KeyError)
