"""What an earlier version kept and sent, before there were records, rate limits and own times, is understood."""

from __future__ import annotations

from pathlib import Path

import msgspec

from noroshi.node.core.packet import Kind, decode_item
from noroshi.node.logs.position import Position
from noroshi.node.logs.saved import State, Store
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import Held, LogPart


class EarlierPart(msgspec.Struct, frozen=True, array_like=True):
    """LogPart as it was."""

    stream: bytes
    source: str
    start: int
    end: int
    observed_at: int
    lines: list[str]
    ends: list[int] = []


def test_positions_that_an_earlier_version_saved_are_gone_on_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    earlier = [b"s" * 16, b"/var/log/app", b"/var/log/app.1", 1, 2, 3, b"h" * 16, 40, 30, 50, 6, 7]
    content = {"format": 1, "clean": True, "patterns": ["/var/log/*"], "positions": [earlier]}
    (tmp_path / "positions").write_bytes(msgspec.msgpack.encode(content))
    position = Position(b"s" * 16, "/var/log/app", "/var/log/app.1", 1, 2, 3, b"h" * 16, 40, 30, 50, 6, 7)
    assert store.load() == State(frozenset({"/var/log/*"}), (position,), clean=True)


def test_a_deferred_part_of_an_earlier_version_is_taken_as_it_was() -> None:
    body = encode(EarlierPart(b"s" * 16, "/var/log/app", 0, 4, 1, ["1", "2"], [2, 4]))
    assert decode_item(Kind.LOG, body) == LogPart(b"s" * 16, "/var/log/app", 0, 4, 1, ["1", "2"], [2, 4])


def test_an_earlier_version_reads_the_lines_of_a_part_and_not_what_is_new_in_it() -> None:
    """So the protocol is the same: nothing is misread."""
    body = encode(LogPart(b"s" * 16, "journal/a", 0, 2, 1, ["1", "2"], [], [0, 5], Held(3, "1/s")))
    earlier = msgspec.msgpack.decode(body, type=EarlierPart)
    assert earlier == EarlierPart(b"s" * 16, "journal/a", 0, 2, 1, ["1", "2"])
