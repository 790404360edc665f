"""What becomes of a turn that cannot be worked on: the item that is to blame is refused, and no other."""

from __future__ import annotations

import pytest

from noroshi.node.coordinator.app import Coordinator
from noroshi.node.coordinator.desk import Item
from noroshi.node.coordinator.intake import Asked
from noroshi.node.coordinator.narrowing import Narrowing
from noroshi.node.coordinator.turn import Route
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import PROTOCOL, EventBatch, Heard, Ping, Refused, Reply, Report, Request, Unfit

STREAM = b"a stream of b's."


class Turns(Coordinator):
    """The loop's way with errors, above turns that fail for `bad` items, or always."""

    def __init__(self, *bad: Item, broken: bool = False) -> None:
        self.bad, self.broken = bad, broken
        self.fail_once: list[Item] = []
        self._narrowing = Narrowing()
        self.worked: list[Item] = []
        self.refused: list[Route] = []
        self._intake = self  # type: ignore[assignment]

    def reply(self, route: Route, reply: Reply) -> None:
        assert isinstance(reply, Refused)
        self.refused.append(route)

    def _commit(self, items: list[Item]) -> None:
        at_first = [item for item in items if item in self.fail_once]
        self.fail_once = [item for item in self.fail_once if item not in at_first]
        if self.broken or at_first or any(_has(item, self.bad) for item in items):
            self._split(items, LookupError("a row is not there"))
        else:
            self.worked += items


def _has(item: Item, bad: tuple[Item, ...]) -> bool:
    """Whether the item, or one that rode in it, is bad."""
    rode = item.batch.reports if isinstance(item, Heard) and isinstance(item.batch, EventBatch) else []
    return item in bad or any(_heard(report.sequence, report.sequence) in bad for report in rode)


def _heard(first: int, last: int) -> Heard:
    reports = [Report(number, f"app/{number}", "OK", "", 5) for number in range(first, last + 1)]
    return Heard("db2", EventBatch(STREAM, first, 1, reports))


def asked(name: bytes) -> Asked:
    return Asked([name], Request(PROTOCOL, "test", "a", b"", Ping()))


class Mended(Turns):
    """Turns that fail until so many rows were set aside."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.turns = rows, 0

    _commit = Coordinator._commit

    def _work(self, items: list[Item]) -> bool:
        self.turns += 1
        if self.turns <= self.rows:
            return False
        self.worked += items
        return True


ONE, TWO, THREE = asked(b"1"), asked(b"2"), asked(b"3")


def test_only_the_bad_one_is_refused() -> None:
    turns = Turns(TWO)
    turns._commit([ONE, TWO, THREE])
    assert turns.refused == [TWO.route]
    assert turns.worked == [ONE, THREE]


@pytest.mark.parametrize("poison", [3, 5, 9])
def test_of_what_rode_in_packets_the_one_item_is_found_and_the_rest_is_worked_on_in_order(poison: int) -> None:
    turns = Turns(_heard(poison, poison))
    turns._commit([ONE, _heard(3, 9), TWO])
    assert [item for item in turns.worked if isinstance(item, Asked)] == [ONE, TWO]
    taken: list[int] = []
    for item in turns.worked:
        if isinstance(item, Heard) and isinstance(item.batch, EventBatch):
            assert (item.batch.first, item.batch.oldest) == (item.batch.reports[0].sequence, 1)
            taken += [report.sequence for report in item.batch.reports]
        elif isinstance(item, Heard):
            body = encode(Report(poison, f"app/{poison}", "OK", "", 5))
            assert item.batch == Unfit(STREAM, poison, 1, "deferred", body, "LookupError: a row is not there")
            taken.append(item.batch.first)
    assert taken == list(range(3, 10))
    assert turns.refused == []


def test_what_fails_only_at_a_desk_that_is_gone_is_not_set_aside() -> None:
    turns, heard = Turns(), _heard(3, 3)
    turns.fail_once = [heard]
    turns._commit([heard])
    assert turns.worked == [heard]


def test_what_cannot_even_be_set_aside_comes_again() -> None:
    unfit = Heard("db2", Unfit(STREAM, 3, 1, "deferred", b"\xc1", "no message"))
    turns = Turns(unfit)
    turns._commit([unfit])
    assert turns.worked == []


@pytest.mark.parametrize("items", [[], [ONE], [ONE, TWO]])
def test_where_no_turn_can_be_worked_on_nothing_is_refused(items: list[Item]) -> None:
    """A sender sets aside what was refused twice, and so for good; what is not answered it keeps."""
    turns = Turns(broken=True)
    with pytest.raises(LookupError):
        turns._commit(items)
    assert turns.refused == []


def test_a_turn_is_worked_on_again_however_many_rows_had_to_be_set_aside() -> None:
    turns = Mended(3000)
    turns._commit([ONE])
    assert turns.worked == [ONE]
