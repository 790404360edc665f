"""What a node packs of any spool, and of the deliveries of its coordinator: in order, and told when it leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from deferstand import Packets, run
from waiting import eventually

from noroshi.node.core.packet import Kind
from noroshi.node.daemon.deferring.carrier import Carrier
from noroshi.node.daemon.deferring.outbox import Outbox
from noroshi.node.daemon.spool import Spool
from noroshi.node.wire.messages import (
    PROTOCOL,
    Deliver,
)


def test_an_older_stream_is_packed_to_its_end_before_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        spool = await Spool.open(tmp_path, boot=bytes(16))
        old = spool.stream
        await asyncio.gather(*(spool.append(b"old %d" % number).safe() for number in range(3)))
        await spool.close()
        spool = await Spool.open(tmp_path, boot=b"another boot....")
        packets = Packets()
        box = Outbox(spool, packets, Kind.EVENT)
        await box.append(b"new").safe()
        packets.send()  # asks for what has to be read back from the disk
        await eventually("read back", lambda: spool.source(old).pending(0, 999))
        assert _carried(packets) == [b"old 0", b"old 1", b"old 2"]
        box.acknowledged({old: 2})
        assert _carried(packets) == []
        box.acknowledged({old: 3})
        assert _carried(packets) == [b"new"]
        await spool.close()

    run(work)


def _carried(packets: Packets) -> list[bytes]:
    return [item for run in packets.send().carried for item in run.items]


def deliver(name: str, size: int = 100) -> Deliver:
    return Deliver(PROTOCOL, "c", 1, name, "process", ["page"], "exited", "none", 10.0, bytes(size))


def test_it_is_told_once_when_a_delivery_leaves() -> None:
    packets, left = Packets(), list[list[str]]()
    carrier = Carrier(("db1", "db2", "db3"), packets, left.append)
    for number in range(4):
        carrier.carry("db2", deliver(f"d{number}", 300))
    assert left == []
    streams = {}
    for _ in range(12):
        carried = packets.send().carried
        carrier.left(carried)
        streams.update({run.stream: run.last for run in carried})
    assert [name for names in left for name in names] == ["d0", "d1", "d2", "d3"]
    carrier.acknowledged(packets.acknowledged(streams, "db2"))
    assert packets.send().carried == ()


def test_what_is_for_a_node_that_is_gone_or_of_a_coordinator_that_ended_leaves_no_more() -> None:
    packets, left = Packets(), list[list[str]]()
    carrier = Carrier(("db1", "db2", "db3"), packets, left.append)
    carrier.carry("db2", deliver("d1"))
    carrier.carry("db3", deliver("d2"))
    carrier.withdraw("db2")
    carrier.withdraw("db2")
    assert [run.to for run in packets.send().carried] == ["db3"]
    carrier.carry("db2", deliver("d3"))
    carrier.end()
    assert packets.send().carried == ()
    carrier.carry("db9", deliver("d4"))
    assert left == [["d4"]], "no node of the cluster's: its time limit begins all the same"
