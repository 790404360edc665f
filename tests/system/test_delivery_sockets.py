"""The coordinator's end of deliveries: what cannot go yet waits, and ends with a node that went down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq
from notifying import deliver
from ports import free_ports
from waiting import wait_until

from noroshi.node.coordinator.deliveries import DeliverySockets
from noroshi.node.wire import codec, sockets
from noroshi.node.wire.messages import Answer, Deliver
from noroshi.store.config import Cluster, Heartbeat, NodeAddress


class Stand:
    """A coordinator's sockets to one node, whose notifier the test plays."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.poller = zmq.Poller()
        node = NodeAddress("db1", "127.0.0.1", free_ports(1)[0])
        cluster = Cluster("demo", (node,), Heartbeat())
        self.endpoint, self.ends = node.notifier, DeliverySockets(self.context, self.poller, cluster)
        self.notifier: zmq.Socket[bytes] | None = None

    def appear(self) -> None:
        self.notifier = sockets.router(self.context, self.endpoint)

    def heard(self) -> list[bytes]:
        """The next delivery that has come to the node, as frames; nothing yet."""
        self.ends.push()
        assert self.notifier is not None
        return self.notifier.recv_multipart() if self.notifier.poll(20) else []

    def close(self) -> None:
        self.ends.close()
        if self.notifier is not None:
            self.notifier.close()
        self.context.term()


@pytest.fixture
def stand() -> Iterator[Stand]:
    there = Stand()
    yield there
    there.close()


def delivery_in(frames: list[bytes]) -> str:
    message = codec.to_notifier.decode(frames[-1])
    assert isinstance(message, Deliver)
    return message.delivery


def test_what_cannot_go_yet_goes_when_the_node_is_there_and_is_answered(stand: Stand) -> None:
    first, second = deliver("default"), deliver("default")
    stand.ends.send("db1", first)
    stand.ends.send("db1", second)
    assert stand.ends.push() is not None, "it is tried again"
    stand.appear()
    frames = wait_until("the first came", stand.heard)
    assert delivery_in(frames) == first.delivery
    assert delivery_in(wait_until("the second came", stand.heard)) == second.delivery
    assert stand.ends.push() is None
    answer = Answer(first.delivery, "delivered", "exit status 0")
    assert stand.notifier is not None
    stand.notifier.send_multipart([frames[0], codec.encode(answer)])
    wait_until("the answer came", lambda: stand.poller.poll(20))
    assert stand.ends.receive(dict(stand.poller.poll(0))) == [answer]


def test_what_waited_for_a_node_that_went_down_is_never_sent(stand: Stand) -> None:
    """Its attempt has ended, and others have been told instead."""
    stale, fresh = deliver("default"), deliver("default")
    stand.ends.send("db1", stale)
    stand.ends.reopen("db1")
    assert stand.ends.push() is None
    stand.appear()
    stand.ends.send("db1", fresh)
    assert delivery_in(wait_until("one came", stand.heard)) == fresh.delivery


def test_a_node_that_left_the_cluster_gets_nothing_and_a_bad_answer_is_counted(stand: Stand) -> None:
    stand.ends.send("db9", deliver("default"))
    stand.ends.reopen("db9")
    assert stand.ends.push() is None
    stand.appear()
    stand.ends.send("db1", deliver("default"))
    frames = wait_until("it came", stand.heard)
    assert stand.notifier is not None
    for said in (b"junk", codec.encode(Answer("d", "failed", "exit status 1"))):
        stand.notifier.send_multipart([frames[0], said])
    answers: list[Answer] = []

    def good() -> list[Answer]:
        answers.extend(stand.ends.receive(dict(stand.poller.poll(20))))
        return answers

    assert [each.reason for each in wait_until("the good one came", good)] == ["exit status 1"]
    assert stand.ends.bad["db1"] == 1
