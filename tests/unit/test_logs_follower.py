"""One incarnation of a file: what is read, what is kept until it is acknowledged, where reading goes on."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs import cutting
from noroshi.node.logs.follower import Follower, Packed, Replaced
from noroshi.node.logs.limiting import Limiter
from noroshi.node.logs.lines import text
from noroshi.node.logs.messages import Limit, Rule
from noroshi.node.logs.outgoing import NO_PROGRESS
from noroshi.node.logs.position import HEAD, Position, digest
from noroshi.node.logs.selection import Limits, Selection, Timer
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import MAX_MESSAGE, Held


class Log:
    """A file and its follower, which is shown the file before each read."""

    def __init__(
        self, directory: Path, content: bytes = b"", select: tuple[str, ...] = (), rule: Rule | None = None
    ) -> None:
        self.path = directory / "app.log"
        self.path.write_bytes(content)
        self.timer = Timer()
        seen = self.path.stat()
        position = Position(
            b"s" * 16, str(self.path), str(self.path), seen.st_dev, seen.st_ino, 0, digest(b""), 0, 0, 0, 0, 1
        )
        self.select, self.rule = select, rule or Rule(str(self.path))
        self.start_again(position)

    def start_again(self, position: Position) -> None:
        """In another life of the monitor."""
        rule, record = self.rule, self.rule.record
        start = record.start if record is not None else None
        selection = Selection(self.select, [], Limits(), self.timer, lambda: None, start)
        limiter = Limiter(rule.limit, position.caught_up_at) if rule.limit is not None else None
        self.follower = Follower(position, rule, selection, Counter(), limiter)
        assert self.follower.open()

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def look(self) -> bool:
        return self.follower.saw(self.path.stat(), 0.0)

    def read(self, now_us: int = 1) -> None:
        """All there is."""
        assert self.look()
        while self.follower.has_more:
            self.follower.read(now_us, whole=False)

    @property
    def parts(self) -> list[tuple[int, int, list[str]]]:
        return [(kept.part.start, kept.part.end, kept.part.lines) for kept in self.follower.out.pending]

    def close(self) -> None:
        self.follower.close()
        self.timer.close()


@pytest.fixture
def log(tmp_path: Path) -> object:
    made: list[Log] = []

    def make(content: bytes = b"", *select: str, rule: Rule | None = None) -> Log:
        made.append(Log(tmp_path, content, select, rule))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., Log]


def test_parts_leave_no_hole_where_nothing_was_selected(log: Make) -> None:
    one = log(b"error 1\nnothing\n", "error")
    one.read()
    one.follower.out.sending()
    one.append(b"nothing\nnothing\n")
    one.read()
    one.append(b"error 2\n")
    one.read()
    assert one.parts == [(0, 16, ["error 1"]), (16, 40, ["error 2"])]
    assert one.follower.position.offset == 0
    one.follower.out.taken(16, 0)
    assert (one.follower.position.stored, one.follower.position.offset) == (16, 32)
    one.follower.out.taken(40, 0)
    assert (one.follower.position.stored, one.follower.position.offset) == (40, 40)


def test_what_was_never_sent_grows_and_what_was_sent_stays_as_it_is(log: Make) -> None:
    one = log(b"1\n")
    one.read()
    one.append(b"2\n")
    one.read()
    assert one.parts == [(0, 4, ["1", "2"])]
    one.follower.out.sending()
    one.follower.out.not_taken()
    one.append(b"3\n")
    one.read()
    assert one.parts == [(0, 4, ["1", "2"]), (4, 6, ["3"])]


def test_lines_with_and_without_a_time_wait_in_one_part(log: Make) -> None:
    first, second = 1_795_731_723_000_000, 1_795_731_724_000_000
    one = log(b"no time\n")
    waiting = []
    for more in (b"none\n", b"1795731723 x\nnone\n", b"none\n", b"1795731724 x\n"):
        one.read(second)
        waiting.append(list(one.follower.out.pending[0].part.times))
        one.append(more)
    one.read(second)
    assert waiting == [[], [], [0, 0, first, 0], [0, 0, first, 0, 0]]
    assert one.follower.out.pending[0].part.times == [0, 0, first, 0, 0, second]
    assert one.parts[0][2][2] == "1795731723 x"


def test_what_waits_fits_into_a_message_however_many_bytes_a_character_takes(log: Make) -> None:
    one = log(("\U0001f980" * 500 + "\n").encode() * 2500 + (b"\xff" * 1000 + b"\n") * 2500)
    one.read()
    sizes = [len(encode(each.part)) for each in one.follower.out.pending]
    assert len(sizes) > 3 and sum(sizes) > 12_000_000
    assert all(size <= each.weight + 1000 for size, each in zip(sizes, one.follower.out.pending, strict=True))
    assert max(sizes) < MAX_MESSAGE // 2


def test_an_unfinished_line_waits_and_is_complete_in_a_rotated_file(log: Make) -> None:
    one = log(b"1\nunfin")
    one.read()
    assert one.parts == [(0, 2, ["1"])] and one.follower.partial and not one.follower.has_more
    one.append(b"ished\nrest")
    one.read()
    one.follower.read(1, whole=True)
    assert one.parts[-1] == (0, 17, ["1", "unfinished", "rest"])


def test_a_receiver_that_stands_inside_the_part_gets_the_rest(log: Make) -> None:
    one = log(b"1\n2\n3\n")
    one.read()
    one.follower.out.sending()
    one.follower.out.taken(4, 0)
    one.read()
    assert one.parts == [(4, 6, ["3"])]


def test_a_receiver_that_takes_nothing_is_not_asked_at_once(log: Make) -> None:
    one = log(b"1\n")
    one.follower.out.durable = True
    one.read()
    one.follower.out.sending()
    one.follower.out.taken(0, 100.0)
    one.read()
    assert one.parts == [(0, 2, ["1"])]
    assert not one.follower.out.may_send(100.0 + NO_PROGRESS / 2) and one.follower.out.may_send(100.0 + NO_PROGRESS)


def test_what_is_gone_before_what_cannot_be_read_again_stays_a_gap(log: Make) -> None:
    """The receiver's database was restored, and the file is no longer there."""
    one = log(b"1\n2\n")
    one.read()
    one.follower.out.sending()
    one.follower.out.taken(4, 0)
    one.append(b"3\n")
    one.read()
    one.follower.out.sending()
    one.follower.end()
    one.follower.out.taken(2, 0)
    assert one.parts == [(4, 6, ["3"])]
    one.follower.out.sending()
    one.follower.out.taken(6, 0)
    assert one.follower.drained


def test_what_is_read_again_is_counted_once_by_the_rate_limit(log: Make) -> None:
    one = log(b"1\n2\n3\n4\n5\n", rule=Rule("", deferred=True, limit=Limit(1, 3600, 4, "1/h")))
    one.read()
    assert one.parts == [(0, 10, ["1", "2", "3", "4"])]
    for stands in (0, 0, 4):  # a spool that is full takes nothing, then some
        one.follower.out.sending()
        one.follower.out.taken(stands, 0)
        one.read()
    assert one.parts == [(4, 10, ["3", "4"])]
    one.follower.out.sending()
    one.follower.out.taken(10, 0)
    one.append(b"6\n")
    one.read()
    assert one.parts == [(10, 12, [])], "and no more than before is let through"
    one.follower.out.sending()
    one.follower.out.taken(2, 0)  # a database that was restored
    one.read()
    assert [lines for _, _, lines in one.parts] == [["2", "3", "4", "5"]]
    held = one.follower.out.pending[0].part.held
    assert held is not None and held.lines == 1


def test_after_a_restart_a_restored_database_gets_again_what_was_let_through(log: Make) -> None:
    hour = 3600 * 1_000_000
    one = log(b"1\n2\n", rule=Rule("", limit=Limit(1, 3600, 2, "1/h")))
    for end, now_us in ((4, 1), (8, 2 * hour)):
        one.read(now_us)
        one.follower.out.sending()
        one.follower.out.taken(end, 0)
        one.append(b"3\n4\n")
    one.follower.close()
    one.start_again(one.follower.position)
    one.read(2 * hour)
    one.follower.out.sending()
    one.follower.out.taken(0, 0)
    one.read(2 * hour)
    ((_, end, lines),) = one.parts
    assert (end, lines) == (12, ["1", "2", "3", "4", "3", "4"]) and one.follower.out.pending[0].part.held is None


def test_of_what_cannot_be_read_again_the_rest_is_still_sent(log: Make) -> None:
    """The receiver stands inside the first part after a kill, and the file was truncated."""
    one = log(b"1\n2\n")
    one.read()
    one.follower.out.sending()
    one.follower.end()
    one.follower.out.taken(2, 0)
    assert one.parts == [(2, 4, ["2"])]
    one.follower.out.sending()
    one.follower.out.taken(4, 0)
    assert one.follower.drained


def test_of_what_was_held_back_and_cannot_be_read_again_the_rest_is_counted(log: Make) -> None:
    one = log(b"1\n2\n3\n", rule=Rule("", limit=Limit(1, 3600, 2, "1/h")))
    one.read()
    one.append(b"4\n5\n6\n")
    one.read(2 * 3600 * 1_000_000)  # 3 is held back, and 6
    held = one.follower.out.sending().held
    assert held is not None and (held.lines, held.ends) == (2, []), "no packet carries where they are"
    one.follower.end()
    one.follower.out.taken(8, 0)
    (waiting,) = one.follower.out.pending
    assert (waiting.part.lines, waiting.part.held) == (["5"], Held(1, "1/h", [12]))


def test_a_receiver_that_stands_before_what_was_unpacked_is_not_given_a_hole(log: Make) -> None:
    """Its database was restored: what it lacks is a gap, not a line of nothing."""
    first = b"1" * HEAD
    one = log(first + b"\n2\n")
    one.read()
    one.follower.out.sending()
    one.follower.out.taken(HEAD + 3, 0)
    with tempfile.TemporaryFile() as unpacked:
        unpacked.write(first + b"\0\0\0" + b"3\n")
        unpacked.flush()
        one.follower.unpack(os.dup(unpacked.fileno()), Packed("app.log.1.gz", 1, 1))
        one.follower.read(1, whole=False)
        one.follower.out.sending()
        one.follower.out.taken(HEAD + 1, 0)
        if one.follower.has_more:
            one.follower.read(1, whole=False)
        assert one.parts == [(HEAD + 3, HEAD + 5, ["3"])]


def test_ends_are_told_of_deferred_lines_and_known_of_the_first_part_of_a_life(log: Make) -> None:
    one = log(b"1\n2\n")
    one.read()
    assert one.follower.out.sending().ends == [], "what is not deferred is taken whole, or read again"
    assert one.follower.out.pending[0].part.ends == [2, 4]
    one.follower.out.taken(4, 0)
    one.append(b"3\n")
    one.read()
    assert one.follower.out.pending[0].part.ends == [], "from then on there is no part that the receiver has half of"


@pytest.mark.parametrize("new", [b"", b"x\n", b"1\nx\n", b"something else altogether\n"])
def test_a_file_that_is_not_what_it_was_is_noticed(log: Make, new: bytes) -> None:
    one = log(b"1\n2\n3\n")
    one.read()
    one.path.write_bytes(new)
    assert not one.look()


def test_a_truncation_between_a_look_and_the_read_is_noticed(log: Make) -> None:
    one = log(b"1\n2\n3\n")
    one.read()
    one.append(b"4\n")
    assert one.look()
    one.path.write_bytes(b"a new beginning, longer than before\n")
    with pytest.raises(Replaced):
        one.follower.read(1, whole=False)
    assert one.parts == [(0, 6, ["1", "2", "3"])]


def test_an_unfinished_line_may_be_taken_back(log: Make) -> None:
    first = b"1".ljust(HEAD, b"x")
    one = log(first + b"\nunfinished")
    one.read()
    os.truncate(one.path, HEAD + 3)
    one.read()
    one.append(b"known\n")
    one.read()
    assert one.parts == [(0, HEAD + 9, [first.decode(), "unknown"])]


def test_a_name_that_went_to_another_file_is_not_opened(log: Make) -> None:
    one = log(b"1\n")
    one.follower.close()
    other = one.path.with_name("other")
    other.write_bytes(b"x\n")
    other.replace(one.path)
    assert not one.follower.open()


@given(
    st.lists(st.binary(max_size=90) | st.sampled_from([b"\n", b"x" * 70, b"x" * 70 + b"\n", b"\0" * 50]), max_size=12),
    st.booleans(),
)
def test_however_it_is_written_and_read_the_lines_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], whole: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "BLOCK", 32)
        patch.setattr("noroshi.node.logs.lines.LIMIT", 40)
        one = Log(tmp_path_factory.mktemp("log"))
        for piece in pieces:
            one.append(piece)
            one.read()
        content = b"".join(pieces)
        if whole and one.follower.partial:
            one.follower.read(1, whole=True)
        raw = content.split(b"\n")
        expected = raw if whole and raw[-1] else raw[:-1]
        assert [line for _, _, lines in one.parts for line in lines] == [text(line) for line in expected]
        assert one.follower.read_at == sum(map(len, expected)) + content.count(b"\n")
        one.close()
