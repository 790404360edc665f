"""Items that wait for packets: nothing deferred is lost, doubled or out of order on the way."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from packing import STREAM, buffer_of, carried, header, packer, stream_id

from noroshi.node.core.deferred import COPIES, RESEND_PERIODS_MOST, Buffer, Inbox, Outgoing
from noroshi.node.core.packet import TO_ALL, TO_COORDINATOR, Kind, Packer, Run, decode, runs


class TestUntilAcknowledged:
    def sending(self, count: int = 20) -> tuple[Packer, Buffer]:
        packing, buffer = packer(), buffer_of([b"item %03d" % number for number in range(1, count + 1)])
        packing.add(Outgoing(buffer, Kind.EVENT, TO_COORDINATOR))
        packing.follow("leader")
        return packing, buffer

    def test_it_is_sent_again_after_four_periods_then_more_rarely(self) -> None:
        packing, _ = self.sending()
        at = [now for now in range(60) if packing.pack(header(now + 1), float(now)).carried]
        assert at == [0, 4, 12, 28, 44]

    def test_an_acknowledgement_of_a_part_sends_the_rest_again(self) -> None:
        packing, buffer = self.sending()
        packing.pack(header(1), 0.0)
        moved = packing.acknowledged({STREAM: 12, stream_id(9): 4}, "db1", leads=True, now=1.0)
        assert moved == {STREAM: 12}
        buffer.acknowledged(12)
        assert carried(packing.pack(header(2), 2.0)) == []
        assert carried(packing.pack(header(3), 5.0)) == [(STREAM, 13, 20)]
        assert packing.acknowledged({STREAM: 12}, "db1", leads=True, now=6.0) == {}

    def test_the_same_acknowledgement_again_tells_of_a_lost_packet(self) -> None:
        packing, buffer = self.sending(5)
        packing.pack(header(1), 0.0)
        packing.acknowledged({STREAM: 5}, "db1", leads=True, now=1.0)
        buffer.append(b"item 006, lost")
        assert carried(packing.pack(header(2), 1.5)) == [(STREAM, 6, 6)]
        buffer.append(b"item 007, ignored")
        assert packing.acknowledged({STREAM: 5}, "db1", leads=True, now=2.0) == {}, "told twice as ever"
        assert carried(packing.pack(header(3), 2.5)) == [(STREAM, 7, 7)]
        assert carried(packing.pack(header(3), 3.9)) == []
        packing.acknowledged({STREAM: 5}, "db1", leads=True, now=4.0)
        assert carried(packing.pack(header(4), 4.5)) == [(STREAM, 6, 7)]
        assert carried(packing.pack(header(5), 5.5)) == []

    def test_only_whom_it_is_for_acknowledges(self) -> None:
        packing, _ = self.sending()
        packing.add(Outgoing(buffer_of([b"x"], stream_id(2)), Kind.DATA, "db2"))
        packing.pack(header(), 0.0)
        acks = {STREAM: 20, stream_id(2): 1}
        assert packing.acknowledged(acks, "db3", leads=False, now=1.0) == {}
        assert packing.acknowledged(acks, "db2", leads=False, now=1.0) == {stream_id(2): 1}
        assert packing.acknowledged(acks, "db3", leads=True, now=1.0) == {STREAM: 20}

    def test_another_leader_gets_all_that_is_unacknowledged(self) -> None:
        packing, _ = self.sending()
        packing.pack(header(1), 0.0)
        packing.follow(None)
        assert carried(packing.pack(header(2), 1.0)) == []
        packing.follow("another")
        assert carried(packing.pack(header(3), 2.0)) == [(STREAM, 1, 20)]

    def test_a_coordinator_whose_database_was_restored_gets_what_is_kept(self) -> None:
        packing, buffer = self.sending()
        packing.pack(header(1), 0.0)
        packing.acknowledged({STREAM: 20}, "db1", leads=True, now=1.0)
        buffer.append(b"item 021")
        assert packing.acknowledged({STREAM: 5}, "db1", leads=True, now=2.0) == {STREAM: 5}
        assert carried(packing.pack(header(2), 3.0)) == [(STREAM, 6, 21)]

    def test_what_an_earlier_process_sent_may_be_acknowledged(self) -> None:
        packing, _ = self.sending()
        assert packing.acknowledged({STREAM: 15}, "db1", leads=True, now=0.0) == {STREAM: 15}
        assert carried(packing.pack(header(1), 0.0)) == [(STREAM, 16, 20)]

    def test_data_for_all_rides_in_so_many_packets_and_is_done(self) -> None:
        packing, buffer = packer(), buffer_of([b"one", b"two"])
        packing.add(Outgoing(buffer, Kind.DATA, TO_ALL, copies=COPIES))
        finished = {}
        for sequence in range(1, COPIES + 1):
            packed = packing.pack(header(sequence), float(sequence))
            assert carried(packed) == [(STREAM, 1, 2)]
            buffer.append(b"later")
            finished = packed.finished
        assert finished == {STREAM: 2}
        buffer.acknowledged(2)
        assert carried(packing.pack(header(9), 9.0)) == [(STREAM, 3, 5)]

    def test_data_for_all_dropped_from_a_full_buffer_holds_nothing_up(self) -> None:
        packing, buffer = packer(), Buffer(STREAM, 10)
        packing.add(Outgoing(buffer, Kind.DATA, TO_ALL, copies=COPIES))
        buffer.append(b"12345")
        packing.pack(header(1), 0.0)
        for _ in range(4):
            buffer.append(b"12345")
        assert buffer.dropped == 3
        assert carried(packing.pack(header(2), 1.0)) == [(STREAM, 4, 5)]

    def test_a_removed_stream_is_not_packed(self) -> None:
        packing, _ = self.sending()
        assert packing.owns(STREAM)
        packing.remove(STREAM)
        packing.remove(STREAM)
        assert carried(packing.pack(header(1), 0.0)) == []


class Holed:
    """A spool whose items 4 to 6 were lost to the disk."""

    stream, oldest = STREAM, 1

    def pending(self, after_sequence: int, room_bytes: int) -> list[tuple[int, bytes]]:
        return [(number, b"x") for number in (1, 2, 3, 7, 8) if number > after_sequence]


def test_behind_a_hole_nothing_is_sent_before_the_rest_was_acknowledged() -> None:
    packing = packer()
    packing.add(Outgoing(Holed(), Kind.EVENT, TO_COORDINATOR))
    inbox = Inbox()
    first = packing.pack(header(1), 0.0).carried[0]
    assert (first.first, first.last, inbox.take(first).position) == (1, 3, 3)
    assert packing.pack(header(2), 1.0).carried == ()
    packing.acknowledged({STREAM: 3}, "db1", leads=True, now=2.0)
    second = packing.pack(header(3), 3.0).carried[0]
    assert (second.first, second.last, second.oldest) == (7, 8, 7)
    taken = inbox.take(second)
    assert (taken.lost, taken.position) == (3, 8)


def test_an_item_from_a_time_of_larger_packets_is_told_of() -> None:
    packing, buffer = packer(), buffer_of([b"ok", bytes(9000), b"behind"])
    packing.add(Outgoing(buffer, Kind.EVENT, TO_COORDINATOR))
    assert carried(packing.pack(header(1), 0.0)) == [(STREAM, 1, 1)]
    assert packing.oversized == {}
    packing.pack(header(2), 1.0)
    assert packing.oversized == {STREAM: 2}
    packing.acknowledged({STREAM: 2}, "db1", leads=True, now=2.0)
    buffer.acknowledged(2)
    assert carried(packing.pack(header(3), 3.0)) == [(STREAM, 3, 3)]
    packing.pack(header(4), 4.0)
    assert packing.oversized == {}


class TestBuffer:
    def test_when_full_the_oldest_go_and_are_counted(self) -> None:
        buffer = Buffer(STREAM, 100)
        assert [buffer.append(bytes(40)) for _ in range(4)] == [1, 2, 3, 4]
        assert (buffer.oldest, buffer.dropped) == (3, 2)
        assert buffer.append(bytes(500)) == 5, "the newest is always kept"
        assert (buffer.oldest, buffer.dropped) == (5, 4)

    def test_pending_keeps_to_the_room_but_gives_the_first(self) -> None:
        buffer = buffer_of([b"aaaa", b"bb", b"cc", b"dd"])
        assert buffer.pending(0, 6) == [(1, b"aaaa"), (2, b"bb")]
        assert buffer.pending(0, 1) == [(1, b"aaaa")]
        assert buffer.pending(4, 99) == []
        buffer.acknowledged(2)
        assert (buffer.oldest, buffer.pending(0, 2)) == (3, [(3, b"cc")])


def one_period(
    period: int,
    node: Packer,
    coordinator: Packer,
    inbox: Inbox,
    taken: list[bytes],
    buffer: Buffer,
    chance: random.Random,
    loss: float,
) -> None:
    """A packet of the node's, and one of the coordinator's with its acknowledgements; each may be lost."""
    packed = node.pack(header(period + 1), float(period))
    if chance.random() >= loss:
        for run in runs(decode(packed.data), "db1", leads=True):
            got = inbox.take(run)
            assert got.lost == 0
            taken += got.items
            coordinator.acknowledge({run.stream: got.position})
    answer = decode(coordinator.pack(header(period + 1, role="leader", term=1), float(period)).data)
    if chance.random() >= loss:
        for position in node.acknowledged(answer.acks, "db1", leads=True, now=float(period)).values():
            buffer.acknowledged(position)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0, 0.6), st.sampled_from(["wait", "flush"]))
def test_over_a_network_that_loses_packets_everything_arrives_once_in_order(
    seed: int, loss: float, overflow: str
) -> None:
    """Two packers, each way lossy, one period a round: what the inbox takes is what was raised."""
    chance = random.Random(seed)
    node, coordinator, inbox, taken = packer(overflow), packer(), Inbox(), list[bytes]()
    buffer, raised = Buffer(STREAM, 10**6), list[bytes]()
    node.add(Outgoing(buffer, Kind.EVENT, TO_COORDINATOR))
    node.follow("db1")
    for period in range(600):
        for _ in range(chance.randrange(4) if period < 60 else 0):
            raised.append(b"%d " % len(raised) + bytes(chance.randrange(900)))
            buffer.append(raised[-1])
        one_period(period, node, coordinator, inbox, taken, buffer, chance, loss)
        if period > 60 and buffer.oldest > len(raised):
            break
    assert taken == raised
    assert buffer.oldest == len(raised) + 1


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(0, 0.5), st.floats(0, 0.3), st.floats(0, 0.3))
def test_nothing_stalls_when_leaders_change_and_some_goes_beside_the_packets(
    seed: int, loss: float, changing: float, beside: float
) -> None:
    """A new leader owes no acknowledgements of the old one's; what is too big for a packet goes by a request, with all
    before it, whose answer the packer does not hear of, and which may overtake packets and their acknowledgements."""
    chance = random.Random(seed)
    node, coordinator, inbox, taken = packer(packet=700), packer(packet=700), Inbox(), list[bytes]()
    buffer, term, quiet = Buffer(STREAM, 10**6), 1, 0
    node.add(Outgoing(buffer, Kind.LOG, TO_COORDINATOR))
    node.follow(term)
    raised: list[bytes] = []

    def by_request() -> None:
        """All that waits, in one go."""
        items = tuple(item for _, item in buffer.pending(0, 10**9))
        got = inbox.take(Run(Kind.LOG, TO_COORDINATOR, STREAM, buffer.oldest, buffer.oldest, items))
        taken.extend(got.items)
        buffer.acknowledged(got.position)

    for period in range(400):
        if period < 100:
            for _ in range(chance.randrange(5)):
                raised.append(b"%d " % len(raised) + bytes(chance.randrange(200)))
                buffer.append(raised[-1])
            if buffer.size and chance.random() < beside:
                by_request()
            if chance.random() < changing:
                term, coordinator = term + 1, packer(packet=700)
                node.follow(chance.choice([term, None]))
        else:
            node.follow(term)
            loss, quiet = 0.0, quiet + 1
        one_period(period, node, coordinator, inbox, taken, buffer, chance, loss)
        if quiet and buffer.oldest > len(raised):
            break
    assert taken == raised
    assert buffer.oldest == len(raised) + 1
    assert quiet <= RESEND_PERIODS_MOST + 2 + len(raised) // 2, "and soon after the trouble is over"
