"""The periodic packet: its bytes and its packing."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import STREAM, buffer_of, carried, header, packer, stream_id

from noroshi.node.core.deferred import WINDOW_ITEMS, Outgoing
from noroshi.node.core.packet import (
    TO_COORDINATOR,
    Header,
    Kind,
    Label,
    Packer,
    Packet,
    decode,
    decode_item,
    runs,
)
from noroshi.node.wire.codec import BadMessage, encode
from noroshi.node.wire.messages import Answer, Deliver, LogPart, Report
from noroshi.store.errors import NoroshiError

# --- bytes --------------------------------------------------------------------------------------------------------

names = st.text(min_size=1, max_size=63)
endpoints = st.from_regex(r"\A(tcp://[a-z0-9.-]{1,63}:[0-9]{1,5})\Z")
ids = st.binary(min_size=16, max_size=16)
numbers = st.integers(1, 2**63 - 1)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    role = draw(st.sampled_from(["none", "leader", "leaving"]))
    term = draw(numbers)
    head = Header(
        1, draw(names), draw(names), draw(st.binary(min_size=8, max_size=8)), draw(numbers), draw(numbers),
        role, term, draw(endpoints), draw(st.integers(0, 2**32 - 1)), draw(st.binary(max_size=75)),
    )  # fmt: skip
    labels, body = [], b""
    for items in draw(st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=5), max_size=5)):
        first = draw(numbers)
        oldest = draw(st.integers(1, first))
        lengths = [len(item) for item in items]
        labels.append(Label(draw(st.sampled_from(Kind)), draw(names), draw(ids), first, oldest, len(body), lengths))
        body += b"".join(items)
    return Packet(head, draw(st.dictionaries(ids, numbers, max_size=5)), labels, body)


@given(packets())
def test_a_packet_there_and_back(packet: Packet) -> None:
    assert decode(encode(packet)) == packet


@given(packets(), st.data())
def test_a_damaged_packet_is_a_bad_message_or_a_valid_packet(packet: Packet, data: st.DataObject) -> None:
    raw = bytearray(encode(packet))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for damaged in (bytes(raw), cut):
        try:
            found = decode(damaged)
        except BadMessage:
            continue
        for run in runs(found, found.header.node, leads=True):
            assert run.items


@given(st.binary(max_size=4096))
def test_junk_is_a_bad_message(junk: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(junk)


def _as_list(packet: Packet, fields: Mapping[str, object]) -> list[object]:
    """The packet as a plain list, so that nothing is checked when it is encoded."""
    head = list(msgspec.structs.astuple(packet.header))
    for name, value in fields.items():
        if name in Header.__struct_fields__:
            head[Header.__struct_fields__.index(name)] = value
    rest = [fields.get("acks", packet.acks), fields.get("label", []), fields.get("body", b"")]
    return [head, *rest]


BAD: list[tuple[dict[str, object], str]] = [
    ({"protocol": 2}, "packet protocol 2, this program speaks 1: run one version"),
    ({"protocol": 2, "view": 17}, "packet protocol 2"),
    ({"incarnation": b"short"}, "length >= 8"),
    ({"sequence": 0}, ">= 1"),
    ({"node": ""}, "length >= 1"),
    ({"role": "king"}, "Invalid enum value 'king'"),
    ({"role": "leader", "term": 0}, "a leader without a term"),
    ({"role": "leader", "term": 1, "endpoint": ""}, "a leader without a term or an endpoint"),
    ({"endpoint": "no endpoint"}, "matching regex"),
    ({"endpoint": "tcp://db1:7402\n"}, "matching regex"),
    ({"endpoint": "tcp://\x1b]0;db1:7402"}, "matching regex"),
    ({"endpoint": "ipc:///run/x"}, "matching regex"),
    ({"view": bytes(1025)}, "length <= 1024"),
    ({"acks": {b"short": 1}}, "length >= 16"),
    ({"acks": {STREAM: -1}}, ">= 0"),
    ({"body": b"x"}, "the label tells of 0 bytes, the body has 1"),
    ({"label": [[9, "", STREAM, 1, 1, 0, [1]]], "body": b"x"}, "Invalid enum value 9"),
    ({"label": [[1, "", STREAM, 1, 1, 1, [1]]], "body": b"xx"}, "items at 1 where 0 was due"),
    ({"label": [[1, "", STREAM, 1, 1, 0, [2]]], "body": b"x"}, "the label tells of 2 bytes, the body has 1"),
    ({"label": [[1, "", STREAM, 1, 1, 0, [-1, 2]]], "body": b"x"}, ">= 0"),
    ({"label": [[1, "", STREAM, 1, 1, 0, []]]}, "length >= 1"),
    ({"label": [[1, "", STREAM, 3, 4, 0, [1]]], "body": b"x"}, "item 3 is older than the oldest kept, 4"),
]


@pytest.mark.parametrize(("fields", "why"), BAD)
def test_what_does_not_fit_is_refused_with_the_reason(fields: dict[str, object], why: str) -> None:
    plain = Packet(header(), {}, [], b"")
    assert decode(encode(_as_list(plain, {}))) == plain
    with pytest.raises(BadMessage, match=why):
        decode(encode(_as_list(plain, fields)))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Kind.EVENT, Report(1, "app/x", "OK", "", 5)),
        (Kind.LOG, LogPart(STREAM, "/var/log/x", 0, 9, 5, ["a line"])),
        (Kind.NOTIFICATION, Deliver(1, "demo", 1, "id", "process", ["/bin/true"], "exited", "none", 10.0, b"{}")),
        (Kind.OUTCOME, Answer("id", "delivered", "exit 0")),
    ],
)
def test_each_kind_of_item_is_one_kind_of_message(kind: Kind, message: msgspec.Struct) -> None:
    assert decode_item(kind, encode(message)) == message
    with pytest.raises(BadMessage):
        decode_item(kind, b"\x00junk")


def test_data_is_the_users_own() -> None:
    assert decode_item(Kind.DATA, b"\x00anything") == b"\x00anything"


# --- packing ------------------------------------------------------------------------------------------------------


def test_the_label_says_what_for_whom_where_and_how_long() -> None:
    packing = packer()
    packing.add(Outgoing(buffer_of([b"one", b"three"]), Kind.EVENT, TO_COORDINATOR))
    packing.add(Outgoing(buffer_of([b"hello"], stream_id(2)), Kind.DATA, "db2"))
    packet = decode(packing.pack(header(), 0.0).data)
    assert packet.label == [
        Label(Kind.EVENT, TO_COORDINATOR, STREAM, 1, 1, 0, [3, 5]),
        Label(Kind.DATA, "db2", stream_id(2), 1, 1, 8, [5]),
    ]
    assert packet.body == b"onethreehello"
    assert runs(packet, "db3", leads=False) == []
    assert [run.items for run in runs(packet, "db2", leads=False)] == [(b"hello",)]
    assert [run.items for run in runs(packet, "db3", leads=True)] == [(b"one", b"three")]


@settings(max_examples=60)
@given(
    st.integers(1, 300),
    st.integers(600, 8192),
    st.lists(st.lists(st.integers(0, 5000), max_size=40), max_size=8),
    st.integers(0, 600),
    st.integers(1, 300),
)
def test_no_packet_is_larger_than_its_limit(
    nodes: int, limit: int, streams: list[list[int]], acks: int, sequence: int
) -> None:
    packing = packer(packet=limit, nodes=nodes)
    for number, lengths in enumerate(streams):
        items = [bytes(length) for length in lengths if length <= packing.largest_item]
        packing.add(Outgoing(buffer_of(items, stream_id(number)), Kind.EVENT, "n" * (number % 9)))
    packing.acknowledge({stream_id(1000 + number): 2**40 for number in range(acks)})
    for step in range(6):
        packed = packing.pack(header(sequence + step, nodes, "leader", 2**40), float(step))
        assert len(packed.data) <= limit
        decode(packed.data)


def test_three_hundred_nodes_leave_room_in_4096_bytes() -> None:
    packing = packer(nodes=300)
    assert packing.largest_item > 3700
    packing.add(Outgoing(buffer_of([bytes(256)] * 100), Kind.EVENT, TO_COORDINATOR))
    assert carried(packing.pack(header(nodes=300), 0.0)) == [(STREAM, 1, 15)], "fifteen items of the usual size"


def test_an_item_just_fits_or_is_refused_when_raised() -> None:
    packing = packer()
    packing.fits(bytes(packing.largest_item))
    with pytest.raises(NoroshiError, match=r"a packet of 4096 bytes has room for \d+ .*larger heartbeat.packet"):
        packing.fits(bytes(packing.largest_item + 1))
    packing.add(Outgoing(buffer_of([bytes(packing.largest_item)]), Kind.EVENT, "longname"))
    packed = packing.pack(header(2**63 - 1, 3, "leader", 2**63 - 1), 0.0)
    assert carried(packed) == [(STREAM, 1, 1)]
    assert 4096 - 32 <= len(packed.data) <= 4096


def test_a_packet_size_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(NoroshiError, match=r"heartbeat.packet: 260.*set it to \d+ or more in cluster.yaml"):
        packer(packet=260, nodes=300)


class TestOverflow:
    """A packet of 4096 bytes holds 15 items of 256."""

    def filled(self, overflow: str, count: int, leader: object = "db1") -> Packer:
        packing = packer(overflow)
        packing.add(Outgoing(buffer_of([bytes(256)] * count), Kind.EVENT, TO_COORDINATOR))
        packing.follow(leader)
        return packing

    def test_flush_says_now_as_soon_as_the_buffer_fills_a_packet(self) -> None:
        assert self.filled("flush", 14).due(5.0) == math.inf
        assert self.filled("flush", 15).due(5.0) == 5.0
        assert self.filled("flush", 500).due(5.0) == 5.0

    def test_early_packets_are_counted_and_keep_a_distance(self) -> None:
        packing = self.filled("flush", 60)
        packing.pack(header(), 5.0, early=True)
        assert packing.early == 1
        assert packing.due(5.0) == 5.0 + 1 / 32
        packing.pack(header(2), 6.0)
        assert packing.early == 1

    def test_flush_of_several_streams_counts_them_together(self) -> None:
        packing = packer("flush")
        for number in range(8):
            packing.add(Outgoing(buffer_of([bytes(512)], stream_id(number)), Kind.DATA, "db2"))
            assert (packing.due(5.0) == 5.0) == (number == 7)

    def test_flush_for_a_coordinator_that_nobody_hears_adds_no_packet(self) -> None:
        packing = self.filled("flush", 500, leader=None)
        assert packing.due(5.0) == math.inf
        assert carried(packing.pack(header(), 5.0)) == [(STREAM, 1, 15)], "but it rides along"
        packing.follow("db1")
        assert packing.due(6.0) == 6.0

    def test_an_item_that_no_packet_holds_makes_none_leave_early(self) -> None:
        packing = packer("flush")
        packing.add(Outgoing(buffer_of([bytes(5000), bytes(256)]), Kind.EVENT, TO_COORDINATOR))
        packing.follow("db1")
        assert carried(packing.pack(header(), 5.0)) == []
        assert packing.oversized == {STREAM: 1}
        assert packing.due(6.0) == math.inf

    def test_wait_lets_the_rest_ride_in_the_next(self) -> None:
        packing = self.filled("wait", 32)
        assert packing.due(5.0) == math.inf
        for sequence, run in enumerate([(1, 15), (16, 30), (31, 32)], 1):
            assert carried(packing.pack(header(sequence), float(sequence))) == [(STREAM, *run)]
        assert carried(packing.pack(header(4), 4.0)) == []

    def test_a_window_bounds_what_is_unacknowledged(self) -> None:
        packing = self.filled("flush", 2000)
        sent = [carried(packing.pack(header(sequence), 0.0)) for sequence in range(1, 60)]
        assert sent[-1] == []
        assert sum(last - first + 1 for run in sent for _, first, last in run) == WINDOW_ITEMS
        assert packing.due(0.0) == math.inf


class TestAcknowledgements:
    def test_each_rides_in_two_packets_and_only_when_it_moved(self) -> None:
        packing = packer()
        packing.acknowledge({STREAM: 5})
        acks = [decode(packing.pack(header(sequence), 0.0).data).acks for sequence in range(1, 5)]
        assert acks == [{STREAM: 5}, {STREAM: 5}, {}, {}]

    def test_three_hundred_ride_in_rotation(self) -> None:
        packing = packer(nodes=300)
        packing.acknowledge({stream_id(number): number for number in range(300)})
        told: dict[bytes, int] = {}
        for sequence in range(1, 4):
            told |= decode(packing.pack(header(sequence, 300), 0.0).data).acks
        assert told == {stream_id(number): number for number in range(300)}

    def test_neither_they_nor_small_items_keep_a_large_item_out(self) -> None:
        packing = packer(nodes=300)
        packing.add(Outgoing(buffer_of([bytes(100)] * 9999, stream_id(1)), Kind.EVENT, TO_COORDINATOR))
        packing.add(Outgoing(buffer_of([bytes(3700)], stream_id(2)), Kind.NOTIFICATION, "db2"))
        told = 0
        streams = set()
        for sequence in range(1, 9):
            packing.acknowledge({stream_id(1000 + number): sequence for number in range(300)})
            packet = decode(packing.pack(header(sequence, 300), float(sequence)).data)
            told += len(packet.acks)
            streams |= {label.stream for label in packet.label}
        assert streams == {stream_id(1), stream_id(2)}
        assert told >= 300
