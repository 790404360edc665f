"""A rule that is switched between immediate and deferred at a stop: what its rate limit held back is counted once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.batches import split
from noroshi.node.core.receiver import take_part
from noroshi.node.logs.follower import Follower
from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.messages import Limit, Rule
from noroshi.node.logs.position import Position, digest
from noroshi.node.logs.selection import Limits, Selection, Timer
from noroshi.node.wire.messages import LogPart

HOUR = 3600 * 1_000_000
LIMIT = Limit(5, 3600, 5, "5/h")


class Receiver:
    """As the log manager counts."""

    def __init__(self) -> None:
        self.position: int | None = None
        self.lines: list[str] = []
        self.held = 0

    def take(self, part: LogPart) -> int:
        found = take_part(part.start, part.end, self.position, part.ends)
        assert found.lost == 0
        if found.taken:
            self.lines += part.lines[found.skip :]
            self.held += part.held.lines if part.held is not None else 0
        self.position = found.position
        return found.position


def following(position: Position, timer: Timer, *, deferred: bool) -> Follower:
    rule = Rule(position.source, deferred=deferred, limit=LIMIT)
    selection = Selection([], [], Limits(), timer, lambda: None)
    found = Follower(position, rule, selection, Counter(), Limiter(LIMIT, position.caught_up_at))
    assert found.open()
    return found


def read(follower: Follower, log: Path, now_us: int) -> None:
    assert follower.saw(log.stat(), 0.0)
    while follower.has_more:
        follower.read(now_us, whole=False)


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=4), st.integers(1, 12))
def test_what_was_sent_and_perhaps_taken_at_the_stop_is_stored_or_counted_once(
    tmp_path_factory: pytest.TempPathFactory, before: list[tuple[int, bool]], after: int
) -> None:
    """`before`: lines written, and whether the part with them was sent then; none is acknowledged."""
    log, receiver, timer = tmp_path_factory.mktemp("logs") / "app.log", Receiver(), Timer()
    log.touch()
    seen = log.stat()
    where = str(log)
    begun = Position(b"s" * 16, where, where, seen.st_dev, seen.st_ino, 0, digest(b""), 0, 0, 0, 0, 1)
    follower = following(begun, timer, deferred=False)
    count = 0
    for lines, sends in before:
        with log.open("a") as file:
            file.writelines(f"{count + number}\n" for number in range(lines))
        count += lines
        read(follower, log, HOUR)
        if sends:
            receiver.take(follower.out.sending())
    saved = follower.position
    follower.close()
    with log.open("a") as file:
        file.writelines(f"{count + number}\n" for number in range(after))
    follower = following(saved, timer, deferred=True)
    read(follower, log, 2 * HOUR)
    for waiting in follower.out.pending:
        for piece in split(waiting.part, 120):
            receiver.take(piece)
    follower.close()
    timer.close()
    assert receiver.position == log.stat().st_size
    assert len(receiver.lines) == len(set(receiver.lines))
    assert len(receiver.lines) + receiver.held == count + after
