"""Deferred lines of a node on their way into its packets: real spools and a real packer, the coordinator played."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio
from deferstand import Stand, part, run
from waiting import eventually

from noroshi.node.daemon.deferring.at_once import asker
from noroshi.node.daemon.deferring.lines import BACKLOG_MOST
from noroshi.node.daemon.segments import SEGMENT_SIZE
from noroshi.node.daemon.spool import Loss
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import (
    Acknowledged,
    LineBatch,
    LogPart,
    Refused,
    Reply,
)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_lines_ride_in_order_over_lost_packets_and_restarts(stand: Stand) -> None:
    wanted = [f"line {number}" for number in range(500)]

    async def work() -> None:
        await stand.start()
        end = await stand.lines.defer(part(wanted[:300]))
        assert end == part(wanted[:300]).end
        stand.ride()
        stand.ride(lose=True)
        await stand.stop()
        await stand.start()  # the monitor had not saved all of it: some is read again, and more
        again = part(wanted[:100]).end
        assert await stand.lines.defer(part(wanted[100:], again)) == end, "known by what is in the spool"
        assert await stand.lines.defer(part(wanted[300:], end)) == part(wanted).end
        assert await stand.lines.defer(part(wanted[450:], part(wanted[:450]).end)) == part(wanted).end
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == wanted
    assert stand.shelf.lost == 0
    assert stand.shelf.requests == []


def test_what_is_known_is_not_taken_again(stand: Stand) -> None:
    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(["one", "two"]))
        assert await stand.lines.defer(part(["one", "two", "three"])) == part(["one", "two"]).end
        await stand.stop()

    run(work)


@pytest.mark.parametrize("damage", [b"", b"\xc1 no note"])
def test_what_was_taken_is_known_also_when_it_has_left_the_spool(stand: Stand, damage: bytes) -> None:
    other = LogPart(b"stream-of-others", "/var/log/y", 0, 9, 5, ["x" * SEGMENT_SIZE], [9])

    async def work() -> None:
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.lines.defer(part(["one", "two"]))
        for _ in range(2):
            await stand.lines.defer(other)
            other.lines[0] += "y"
            await stand.lines.defer(msgspec.structs.replace(other, start=9, end=18, ends=[18]))
            await stand.lines.flush()
        await stand.stop()
        kept = list((stand.directory / "spool").iterdir())
        assert len(kept) == 2, "a segment and the note"
        if damage:
            (stand.directory / "spool" / "note").write_bytes(damage)
        await stand.start()
        again = await stand.lines.defer(part(["one", "two", "three"]))
        assert again == part(["one", "two", "three"] if damage else ["one", "two"]).end
        await stand.stop()

    run(work)


def test_a_line_too_big_goes_at_once_with_what_is_before_it_and_the_rest_rides(stand: Stand) -> None:
    lines = ["before", "b" * 5000, "after"]

    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(lines))
        stand.ride(lose=True)
        stand.at_once.leader_changed("tcp://leader:1")
        await eventually("sent at once", lambda: stand.shelf.lines == lines[:2])
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == lines
    assert [len(batch.parts) for batch in stand.shelf.requests] == [2]


def test_a_line_too_big_is_found_again_after_a_restart(stand: Stand) -> None:
    lines = ["before", "b" * 5000, "after"]

    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(lines))
        await stand.stop()
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == lines
    assert len(stand.shelf.requests) == 1


def test_a_request_without_an_answer_is_sent_again(stand: Stand) -> None:
    stand.shelf.answer = lambda batch: Refused("not-leader", "no") if len(stand.shelf.requests) < 3 else None

    async def work() -> None:
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.lines.defer(part(["b" * 5000]))
        await eventually("taken", lambda: stand.shelf.lines == ["b" * 5000])
        await eventually("nothing waits", lambda: not stand.lines.waiting)
        await stand.stop()

    run(work)
    assert len(stand.shelf.requests) == 3


def test_a_line_that_nobody_takes_is_set_aside_and_another_says_where(stand: Stand) -> None:
    stand.shelf.answer = lambda batch: (
        Refused("bad-message", "no such thing") if any("poison" in one.lines[0] for one in batch.parts) else None
    )
    lines = ["x" * 2000, "poison" * 300, "y" * 2000]

    async def work() -> None:
        await stand.start()
        stand.at_once.leader_changed("tcp://leader:1")
        await stand.lines.defer(part(lines))
        await eventually("nothing waits", lambda: not stand.lines.waiting)
        await stand.stop()

    run(work)
    (aside,) = (stand.directory / "spool" / "aside").iterdir()
    assert b"poison" in aside.read_bytes()
    first, notice, last = stand.shelf.lines
    assert [first, last] == [lines[0], lines[2]]
    assert str(aside) in notice and "no such thing" in notice
    assert stand.shelf.lost == 0


def test_what_this_version_cannot_read_is_set_aside_and_a_line_says_where(stand: Stand) -> None:
    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(["one"]))
        await stand.spool.append(b"\xc1 of another version").safe()
        await stand.lines.defer(part(["two"], part(["one"]).end))
        stand.at_once.leader_changed("tcp://leader:1")
        await asyncio.wait_for(stand.lines.flush(), 20)
        await stand.stop()

    run(work)
    (aside,) = (stand.directory / "spool" / "aside").iterdir()
    assert aside.read_bytes() == b"\xc1 of another version"
    first, notice, last = stand.shelf.lines
    assert (first, last) == ("one", "two")
    assert str(aside) in notice


def test_flush_sends_whatever_waits_and_then_lines_ride_again(stand: Stand) -> None:
    async def work() -> None:
        await stand.start()
        await stand.lines.defer(part(["one", "two"]))
        stand.at_once.leader_changed("tcp://leader:1")
        await asyncio.wait_for(stand.lines.flush(), 5)
        assert stand.shelf.lines == ["one", "two"]
        await asyncio.sleep(0)
        await stand.lines.defer(part(["three"], part(["one", "two"]).end))
        await stand.until_taken()
        await stand.stop()

    run(work)
    assert stand.shelf.lines == ["one", "two", "three"]
    assert len(stand.shelf.requests) == 1


def test_a_flush_ends_where_what_waited_is_too_old_by_now(stand: Stand) -> None:
    """Lines that are not deferred any more wait for it."""
    lost: list[Loss] = []

    async def work() -> None:
        await stand.start(on_loss=lost.append)
        await stand.lines.defer(part(["one", "two"]))
        flushing = asyncio.create_task(stand.lines.flush())
        await asyncio.sleep(0)

        def expired() -> bool:
            stand.spool.expire(time.monotonic() + 8 * 86400)
            return not stand.lines.waiting

        await eventually("it is lost", expired)
        await asyncio.wait_for(flushing, 5)
        await stand.stop()

    run(work)
    assert [loss.reason for loss in lost] == ["age"]


@pytest.mark.parametrize("limit", [64 * SEGMENT_SIZE, 2 * SEGMENT_SIZE])
def test_while_too_much_waits_the_files_keep_it(stand: Stand, limit: int) -> None:
    block = ["x" * 900] * 1000
    lost: list[Loss] = []

    async def work() -> None:
        await stand.start(limit, lost.append)
        position, last = 0, -1
        while position > last:
            last, position = position, await stand.lines.defer(part(block, position))
        assert stand.spool.size <= min(BACKLOG_MOST, limit // 2) + SEGMENT_SIZE
        stand.at_once.leader_changed("tcp://leader:1")
        await asyncio.wait_for(stand.lines.flush(), 20)
        assert await stand.lines.defer(part(block, position)) > position
        await stand.stop()

    run(work)
    assert lost == []
    assert len(stand.shelf.lines) >= 1000


def test_a_request_over_a_real_socket_and_one_that_nobody_answers() -> None:
    body = LineBatch(bytes(16), 1, 1, [part(["one"])])

    async def work() -> tuple[Reply | None, object]:
        context = zmq.asyncio.Context()
        router = sockets.router(zmq.Context.shadow(context), "tcp://127.0.0.1:*")
        endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)
        asking = asyncio.ensure_future(asker(context, "c", "db1", b"incarnat")(endpoint, body))
        await eventually("the request is here", lambda: router.poll(0))
        *route, data = router.recv_multipart()
        router.send_multipart([*route, encode(Acknowledged(3, {bytes(16): 1}))])
        reply = await asking
        asking = asyncio.ensure_future(asker(context, "c", "db1", b"incarnat")(endpoint, body))
        await eventually("asked again", lambda: router.poll(0))
        *route, _ = router.recv_multipart()
        router.send_multipart([*route, b"junk"])
        unreadable = await asking
        assert unreadable is None
        router.close()
        context.destroy(0)
        return reply, codec.requests.decode(data).body

    assert asyncio.run(work()) == (Acknowledged(3, {bytes(16): 1}), body)
