"""The doctor's side of the wire, before peers that are none of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq

from noroshi.node.wire import codec
from noroshi.node.wire.messages import PROTOCOL
from noroshi.node.wire.panel import Heading, Junk, Panel
from noroshi.node.wire.probing import AskFacts, Done, Probed, Stay
from noroshi.store.config import NodeAddress

RUN = "0" * 16


@contextmanager
def answering(*answers: list[bytes]) -> Iterator[NodeAddress]:
    """A peer on the delivery port of a node that says these, one after the other."""
    context = zmq.Context()
    socket = context.socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    def serve() -> None:
        for answer in answers:
            socket.recv()
            socket.send_multipart(answer)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield NodeAddress("b", "127.0.0.1", port - 1)
    finally:
        serving.join()
        context.destroy(linger=0)


DONE = codec.encode(Probed(PROTOCOL, Done()))


@pytest.mark.parametrize(
    ("answer", "why"), [([b"a", b"b"], "2 parts"), ([DONE, DONE, b""], "3 parts"), ([b"\xc1"], ""), ([b""], "")]
)
def test_what_is_no_answer_is_said_and_the_next_question_is_asked(answer: list[bytes], why: str) -> None:
    with answering(answer, [DONE]) as node, Panel("demo", "a", RUN) as panel:
        junk = panel.ask({node: AskFacts()}, 5.0)["b"].answer
        assert isinstance(junk, Junk)
        assert why in junk.why
        assert panel.ask({node: Stay()}, 5.0)["b"].answer == Done()


def test_an_answer_that_would_fill_the_terminal_is_none() -> None:
    from noroshi.node.wire.panel import _heading

    header = [PROTOCOL, "demo", "b", b"12345678", 7]
    assert _heading(codec.encode([header])) == Heading(*header)  # type: ignore[arg-type]
    assert isinstance(_heading(codec.encode([[PROTOCOL, "demo", "b", bytes(65), 7]])), Junk)
    assert isinstance(_heading(codec.encode([[PROTOCOL, "demo", "b" * 256, b"12345678", 7]])), Junk)
