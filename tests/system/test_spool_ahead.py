"""An urgent event leaves before it is written, where nothing is before it; and what follows when it is then not."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from raisers import next_batch

from noroshi.node.core.spool import MAGIC, Loss, Name, Scan
from noroshi.node.daemon.segments import SEGMENT_SIZE
from noroshi.node.daemon.spool import Batch, Spool, SpoolFailed


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


@contextmanager
def halted(monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> Iterator[threading.Event]:
    """The disk takes no item until the event is set; then it works, or `fails`. New segments it takes."""
    goes_on, real = threading.Event(), os.pwrite

    def pwrite(file: int, data: bytes, offset: int) -> int:
        if bytes(data[: len(MAGIC)]) == MAGIC:
            return real(file, data, offset)
        goes_on.wait(30)
        if fails:
            raise OSError(errno.EIO, "Input/output error")
        return real(file, data, offset)

    with monkeypatch.context() as disk:
        disk.setattr("noroshi.node.daemon.segments.os.pwrite", pwrite)
        try:
            yield goes_on
        finally:
            goes_on.set()


def bodies(batch: Batch | None) -> list[bytes]:
    return [] if batch is None else [item.body for item in batch.items]


async def settled(spool: Spool, body: bytes) -> None:
    """Safe, and taken by somebody."""
    await spool.append(body).safe()
    batch = await next_batch(spool)
    assert batch is not None
    spool.acknowledge(batch.stream, batch.last)


def test_it_is_to_be_sent_before_it_is_written_and_confirmed_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s", urgent=True)
        with halted(monkeypatch) as goes_on:
            ticket = spool.append(b"urgent")
            assert bodies(spool.batch()) == [b"urgent"]
            assert not ticket.group.decided
            goes_on.set()
            assert await ticket.safe() == f"{spool.stream.hex()}-1"
        await spool.close()

    run(test)


def test_what_is_not_alone_or_has_to_be_known_again_is_written_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s", urgent=True)
        with halted(monkeypatch) as goes_on:
            recalled = spool.append(b"recalled", recalled=True)
            await asyncio.sleep(0)
            assert spool.batch() is None
            goes_on.set()
            await recalled.safe()
        with halted(monkeypatch) as goes_on:
            second = spool.append(b"behind another")
            await asyncio.sleep(0)
            assert bodies(spool.batch()) == [b"recalled"]
            goes_on.set()
            await second.safe()
        assert bodies(spool.batch()) == [b"recalled", b"behind another"]
        await spool.close()

    run(test)


@pytest.mark.parametrize("taken", [True, False])
def test_what_was_sent_and_could_not_be_written_is_refused_and_uses_its_sequence_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s", urgent=True)
        await settled(spool, b"first")
        stream = spool.stream
        with halted(monkeypatch, fails=True) as goes_on:
            ticket = spool.append(b"sent")
            await asyncio.sleep(0)
            assert bodies(spool.batch()) == [b"sent"]
            if taken:
                spool.acknowledge(stream, 2)
            goes_on.set()
            with pytest.raises(SpoolFailed, match="Input/output error"):
                await ticket.safe()
        assert (spool.pending, spool.batch()) == (0, None)
        with halted(monkeypatch) as goes_on:
            again = spool.append(b"again")
            await asyncio.sleep(0)
            assert spool.batch() is None  # after a failure nothing leaves before it is safe
            goes_on.set()
            await again.safe()
        batch = await next_batch(spool)
        assert batch is not None and bodies(batch) == [b"again"]
        assert (batch.first, batch.stream == stream) == (1, False)
        await spool.close()

    run(test)


def test_a_fault_that_is_none_of_the_disks_uses_the_sequence_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s", urgent=True)
        sent: list[Batch | None] = []
        with monkeypatch.context() as machine:
            machine.setattr("noroshi.node.daemon.segments.format.frames", _no_memory)
            ticket = spool.append(b"sent")
            sent.append(spool.batch())
            with pytest.raises(SpoolFailed, match="MemoryError"):
                await ticket.safe()
        await spool.append(b"other").safe()
        sent.append(await next_batch(spool))
        assert [bodies(batch) for batch in sent] == [[b"sent"], [b"other"]]
        assert len({(batch.stream, batch.first) for batch in sent if batch is not None}) == 2
        await spool.close()

    run(test)


def _no_memory(*_: object) -> bytes:
    raise MemoryError


def test_a_fault_in_sending_it_on_is_not_its_raisers(tmp_path: Path) -> None:
    async def test() -> None:
        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        spool = await Spool.open(tmp_path / "s", urgent=True)
        spool.subscribe(_no_memory)
        assert await spool.append(b"stored").safe() == f"{spool.stream.hex()}-1"
        assert bodies(spool.batch()) == [b"stored"]
        assert [type(context["exception"]) for context in told] == [MemoryError]
        await spool.close()

    run(test)


def test_what_was_taken_before_it_is_written_is_not_looked_for_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken, and the coordinator goes back before the disk answers: it is served once that has."""

    async def test() -> None:
        reads = 0
        spool = await Spool.open(tmp_path / "s", urgent=True)
        await settled(spool, b"first")
        real = spool._backlog._read

        def read(name: Name) -> Scan:
            nonlocal reads
            reads += 1
            return real(name)

        spool._backlog._read = read
        spool.subscribe(spool.batch)
        with halted(monkeypatch) as goes_on:
            ticket = spool.append(b"second")
            await asyncio.sleep(0)
            spool.acknowledge(spool.stream, 2)
            spool.acknowledge(spool.stream, 1)
            assert spool.batch() is None
            for _ in range(100):
                await asyncio.sleep(0.001)  # time in which it would read again and again
            assert reads == 0
            goes_on.set()
            await ticket.safe()
        assert bodies(await next_batch(spool)) == [b"second"]
        await spool.close()

    run(test)


def test_one_group_does_not_speak_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is raised, and leaves, in the very call that says that the one before is safe."""

    async def test() -> None:
        losses: list[Loss] = []
        monkeypatch.setattr("noroshi.node.daemon.groups.ALONE", -1.0)
        spool = await Spool.open(tmp_path / "s", urgent=True, on_loss=losses.append)
        first = spool.append(b"first", recalled=True)
        with halted(monkeypatch) as goes_on:
            goes_on.set()

            def another() -> None:
                goes_on.clear()
                spool.acknowledge(spool.stream, 1)
                spool.append(b"second")

            first.group.waiters[another] = None
            await first.safe()
            assert bodies(spool.batch()) == [b"second"]
            spool.acknowledge(spool.stream, 0)
            assert bodies(await next_batch(spool)) == [b"first"]
            goes_on.set()
        assert losses == []
        await spool.close()

    run(test)


def test_a_segment_in_which_nothing_came_to_be_is_missed_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s")
        big = bytes(SEGMENT_SIZE * 2 // 3)
        await settled(spool, big)
        with halted(monkeypatch, fails=True) as goes_on:
            goes_on.set()
            with pytest.raises(SpoolFailed):
                await spool.append(big).safe()
        for _ in range(3):
            await settled(spool, big)
        await spool.close()
        spool = await Spool.open(tmp_path / "s", on_loss=losses.append)
        while await next_batch(spool) is not None:
            spool.acknowledge(spool.stream, 4)
        assert losses == []
        await spool.close()

    run(test)


def test_what_is_not_written_yet_is_no_loss_to_who_reads_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator goes back, its database was restored, while an event is under way."""

    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", urgent=True, on_loss=losses.append)
        await settled(spool, b"first")
        with halted(monkeypatch) as goes_on:
            ticket = spool.append(b"second")
            await asyncio.sleep(0)
            assert bodies(spool.batch()) == [b"second"]
            spool.acknowledge(spool.stream, 0)
            assert bodies(await next_batch(spool)) == [b"first"]
            goes_on.set()
            await ticket.safe()
        assert losses == []
        spool.acknowledge(spool.stream, 1)
        assert bodies(await next_batch(spool)) == [b"second"]
        await spool.close()

    run(test)
