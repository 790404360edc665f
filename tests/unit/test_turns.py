"""What becomes of a turn that cannot be worked on: the item that is to blame is refused, and no other."""

from __future__ import annotations

import pytest

from noroshi.node.coordinator.app import Coordinator
from noroshi.node.coordinator.desk import Item
from noroshi.node.coordinator.intake import Asked
from noroshi.node.coordinator.turn import Route
from noroshi.node.wire.messages import PROTOCOL, Ping, Refused, Reply, Request


class Turns(Coordinator):
    """The loop's way with errors, above turns that fail for `bad` items, or always."""

    def __init__(self, *bad: Item, broken: bool = False) -> None:
        self.bad, self.broken = bad, broken
        self.worked: list[Item] = []
        self.refused: list[Route] = []
        self._intake = self  # type: ignore[assignment]

    def reply(self, route: Route, reply: Reply) -> None:
        assert isinstance(reply, Refused)
        self.refused.append(route)

    def _commit(self, items: list[Item]) -> None:
        if self.broken or any(item in self.bad for item in items):
            self._split(items, LookupError("a row is not there"))
        else:
            self.worked += items


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
