"""The spool on real files: safe when it says so, in order, bounded, known again after a restart, whatever is torn."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from raisers import all_items, next_batch
from spoolstand import BIG, drain, run, segments

from noroshi.node.core.spool import Loss
from noroshi.node.daemon.segments import SEGMENT_SIZE
from noroshi.node.daemon.spool import Limits, Spool, SpoolFailed


def test_items_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        tickets = [spool.append(b"%d" % index) for index in range(1000)]
        ids = [await ticket.safe() for ticket in tickets]
        assert ids == [f"{spool.stream.hex()}-{sequence}" for sequence in range(1, 1001)]
        stream = spool.stream
        await spool.close()
        spool = await Spool.open(tmp_path / "s")
        assert spool.stream == stream
        assert (await spool.append(b"more").safe()) == f"{stream.hex()}-1001"
        assert [body for _, body in await all_items(spool)] == [*(b"%d" % index for index in range(1000)), b"more"]
        await spool.close()

    run(test)


def test_everything_in_it_is_for_its_user_alone(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await spool.append(b"x").safe()
        await spool.close()

    before = os.umask(0)
    try:
        run(test)
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in segments(tmp_path / "s")] == [0o600]


def test_acknowledged_segments_leave_the_disk_and_the_rest_is_read_back(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        for index in range(60):
            await spool.append(b"%03d" % index + BIG).safe()
        assert len(segments(tmp_path / "s")) >= 6 and spool.size >= 6 * SEGMENT_SIZE
        stream, oldest = spool.stream, []
        bodies = []
        while batch := await next_batch(spool):
            oldest.append(batch.oldest)
            bodies += [item.body[:3] for item in batch.items]
            spool.acknowledge(stream, batch.last)
        assert bodies == [b"%03d" % index for index in range(60)]
        assert oldest == sorted(oldest) and oldest[0] == 1 and oldest[-1] > 40
        await spool.close()
        assert len(segments(tmp_path / "s")) == 1
        spool = await Spool.open(tmp_path / "s")
        assert (await spool.append(b"next").safe()) == f"{stream.hex()}-61"
        await spool.close()

    run(test)


def test_batches_keep_to_their_limits_but_hold_at_least_one(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        for size in (10, 10, 5000, 10):
            await spool.append(bytes(size)).safe()
        assert spool.batch(limit_bytes=100) is not None
        batches = []
        while batch := spool.batch(limit_bytes=100, limit_items=5):
            batches.append([len(item.body) for item in batch.items])
            spool.acknowledge(batch.stream, batch.last)
        assert batches == [[10, 10], [5000], [10]]
        await spool.close()

    run(test)


def test_a_batch_again_until_it_is_acknowledged_and_back_when_told_so(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await asyncio.gather(*[spool.append(b"%d" % index).safe() for index in range(20)])
        first = spool.batch(limit_items=5)
        assert first == spool.batch(limit_items=5) and first is not None
        spool.acknowledge(spool.stream, 20)
        assert spool.batch() is None
        spool.acknowledge(spool.stream, 12)  # its database was restored
        batch = await next_batch(spool)
        assert batch is not None and (batch.first, batch.last, batch.oldest) == (13, 20, 1)
        await spool.close()

    run(test)


def test_the_bound_drops_the_oldest_and_says_what_was_lost(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", limits=Limits(size=3 * SEGMENT_SIZE), on_loss=losses.append)
        for index in range(60):
            await spool.append(b"%03d" % index + BIG).safe()
        batch = await next_batch(spool)
        assert batch is not None and batch.oldest == batch.first == losses[-1].last + 1
        assert spool.pending + sum(loss.count for loss in losses) == 60
        assert {(loss.reason, loss.stream) for loss in losses} == {("size", spool.stream)}
        assert [body[:3] for _, _, body in await drain(spool)] == [b"%03d" % at for at in range(batch.first - 1, 60)]
        await spool.close()
        assert len(segments(tmp_path / "s")) <= 3

    run(test)


def test_age_drops_also_the_segment_being_written(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", limits=Limits(age=100.0), on_loss=losses.append)
        await spool.append(b"old").safe()
        now = time.monotonic()
        spool.expire(now + 50)
        assert spool.pending == 1
        spool.expire(now + 200)
        await spool.append(b"new").safe()  # after the rotation, in the one worker
        spool.expire(now + 90)
        assert spool.pending == 2
        spool.expire(now + 105)
        assert [(loss.reason, loss.first, loss.last) for loss in losses] == [("age", 1, 1)]
        assert [body for _, _, body in await drain(spool)] == [b"new"]
        await spool.close()

    run(test)


def test_a_torn_tail_ends_the_stream_and_nothing_safe_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await asyncio.gather(*[spool.append(b"%d" % index).safe() for index in range(10)])
        old = spool.stream
        await spool.close()
        (path,) = segments(tmp_path / "s")
        with path.open("r+b") as file:
            end = len(file.read().rstrip(b"\0"))
            file.seek(end)
            file.write(b"\xff\xfeN\xfdtorn")
        spool = await Spool.open(tmp_path / "s")
        assert spool.streams == [old, spool.stream] and spool.stream != old
        assert (await spool.append(b"new").safe()) == f"{spool.stream.hex()}-1"
        assert await drain(spool) == [*((old, at + 1, b"%d" % at) for at in range(10)), (spool.stream, 1, b"new")]
        await spool.close()

    run(test)


def test_damage_in_the_middle_costs_its_item_and_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s")
        await asyncio.gather(*[spool.append(b"item %d" % index).safe() for index in range(10)])
        old = spool.stream
        await spool.close()
        (path,) = segments(tmp_path / "s")
        path.write_bytes(path.read_bytes().replace(b"item 4", b"itEm 4"))
        spool = await Spool.open(tmp_path / "s", on_loss=losses.append)
        first = await next_batch(spool)
        assert first is not None and (first.first, first.last) == (1, 4)
        spool.acknowledge(old, 4)
        rest = await next_batch(spool)
        assert rest is not None and (rest.first, rest.oldest, rest.last) == (6, 6, 10)
        assert losses == [Loss("damage", old, 5, 5)]
        await spool.close()

    run(test)


def test_another_boot_is_another_stream(tmp_path: Path) -> None:
    """A machine that lost its power, or an image restored, may have forgotten what was sent under these numbers."""

    async def test() -> None:
        spool = await Spool.open(tmp_path / "s", boot=b"1" * 16)
        await spool.append(b"before").safe()
        old = spool.stream
        await spool.close()
        spool = await Spool.open(tmp_path / "s", boot=b"2" * 16)
        await spool.append(b"after").safe()
        assert await drain(spool) == [(old, 1, b"before"), (spool.stream, 1, b"after")]
        await spool.close()

    run(test)


def test_a_lost_segment_file_is_a_loss_not_a_crash(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", on_loss=losses.append)
        for index in range(40):
            await spool.append(b"%03d" % index + BIG).safe()
        segments(tmp_path / "s")[1].unlink()
        bodies = [int(body[:3]) for _, _, body in await drain(spool)]
        (loss,) = losses
        assert loss.reason == "damage"
        assert bodies == [at for at in range(40) if not loss.first <= at + 1 <= loss.last]
        await spool.close()

    run(test)


def test_what_was_written_last_is_known_by_its_id_after_a_kill(tmp_path: Path) -> None:
    """It is in another stream than what comes then, and its raiser may ask again."""

    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        ids = [await spool.append(b"%d" % at).safe() for at in range(3)]
        await spool.close()
        for _ in range(2):  # killed, and killed again before anything was written
            (tmp_path / "s" / "open").touch()
            again = await Spool.open(tmp_path / "s")
            assert [(item.body, ticket.id) for item, ticket in again.recovered()] == [
                (b"%d" % at, known) for at, known in enumerate(ids)
            ]
            assert again.stream != spool.stream
            assert len(segments(tmp_path / "s")) == 2
            await again.close()
        last = await Spool.open(tmp_path / "s")
        assert [body for _, _, body in await drain(last)] == [b"0", b"1", b"2"]
        await last.close()

    run(test)


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        last = spool.append(b"last")
        await spool.close()
        assert last.group.decided and last.sequence == 1
        with pytest.raises(SpoolFailed, match="closed"):
            spool.append(b"late")

    run(test)
