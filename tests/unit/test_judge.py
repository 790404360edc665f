"""The vote: tables of what observers say and what is declared, and the order of things over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.judge import Declared, Judge, Judgement, NodeState
from noroshi.node.core.membership import PeerState, pack_view
from noroshi.node.wire.messages import PeerView, Views
from noroshi.store.config import Heartbeat

UP, DOWN, SUSPECT, STOPPED = PeerState.UP, PeerState.DOWN, PeerState.SUSPECT, PeerState.STOPPED
LETTERS = {"U": UP, "D": DOWN, "S": SUSPECT, "X": STOPPED}
NAMES = ("a", "b", "c", "d", "e")
HEARTBEAT = Heartbeat()


def views(names: Sequence[str], says: Mapping[str, str], *, settled: bool = True, stopped: Sequence[str] = ()) -> Views:
    """`says` has a letter a node: U, S, D, or X for one that said goodbye; the first entry is the leader's own."""
    return Views(
        [PeerView(node, b"incarnat", pack_view([LETTERS[letter] for letter in row])) for node, row in says.items()],
        list(stopped),
        settled,
    )


class Court:
    """A judge and its clock; `says` once a second, what was declared as short text."""

    def __init__(self, names: Sequence[str] = NAMES, declared: Mapping[str, str] | None = None) -> None:
        self.names, self.now = tuple(names), 0.0
        everyone = {f"server/{name}": "UP" for name in names}
        self.judge = Judge(names, names[0], HEARTBEAT, everyone if declared is None else declared)

    def says(self, seconds: int = 1, *, settled: bool = True, stopped: Sequence[str] = (), **rows: str) -> list[str]:
        found: list[str] = []
        for _ in range(seconds):
            judgement = self.hear(settled=settled, stopped=stopped, **rows)
            found += [f"{event.event} {event.state}" for event in judgement.events]
        return found

    def hear(self, *, settled: bool = True, stopped: Sequence[str] = (), **rows: str) -> Judgement:
        self.now += 1.0
        return self.judge.handle(views(self.names, rows, settled=settled, stopped=stopped), self.now)


# Five nodes, `a` leads, e is judged: what a, b, c, d say of it, what is declared.
TABLE = [
    ("UUUU", None),
    ("SSSS", None),
    ("DDDD", "DOWN"),
    ("DDDS", "DOWN"),
    ("DDDU", "DOWN"),  # more than half, though one hears it
    ("DDUU", None),  # a tie
    ("DDSS", None),  # a tie, and not all have noticed yet
    ("DUUU", None),
    ("UDDD", "DOWN"),  # the leader's own vote is one of them
    ("XXXX", "STOPPED"),
    ("XXXS", "STOPPED"),
    ("XXSS", None),
    ("XXXU", None),  # its packet is older than the goodbye, or it was started again
    ("XXDD", "STOPPED"),  # half of them missed the goodbye
    ("XDDD", "DOWN"),
    ("XDSS", None),
    ("XSSS", None),
]


@pytest.mark.parametrize(("votes", "state"), TABLE)
def test_the_vote(votes: str, state: str | None) -> None:
    rows = {node: f"UUUU{vote}" for node, vote in zip("abcd", votes, strict=True)}
    assert Court().says(**rows) == ([f"server/e {state}"] if state else [])


def test_who_is_not_heard_has_no_vote() -> None:
    assert Court().says(a="USUUD", c="UUUUD", d="UUUUU") == ["server/e DOWN"]


def test_one_that_hears_nobody_counts_only_if_no_other_remains() -> None:
    court = Court()
    assert court.says(a="UUUSU", b="DUDDD", c="UUUSU", e="UUUSU") == []
    assert court.says(a="UUUDU", b="DUDDD", c="UUUSU", e="UUUSU") == [], "b's vote would have made it two of four"
    assert Court(("a", "b")).says(a="UD") == ["server/b DOWN"], "the leader alone, hearing nobody"


def test_the_leader_never_declares_its_own_node_down() -> None:
    assert Court().says(a="UUUUU", b="DUUUU", c="DUUUU", d="DUUUU", e="DUUUU") == []


def test_the_own_node_is_up_from_the_first() -> None:
    court = Court(("a",), declared={})
    assert court.hear(a="U") == Judgement((Declared("server/a", "UP", "packets heard", ("a",)),), (NodeState("a", UP),))
    assert court.hear(a="U") == Judgement()


class TestTwoNodes:
    def test_the_other_dies_and_returns(self) -> None:
        court = Court(("a", "b"))
        assert court.says(a="UU", b="UU") == []
        assert court.says(a="US") == []
        assert court.says(a="UD") == ["server/b DOWN"]
        assert court.says(a="UU", b="SU") == ["server/b UP"]

    def test_the_other_hears_nothing_of_a_leader_it_is_heard_by(self) -> None:
        assert Court(("a", "b")).says(10, a="UU", b="DU") == ["path/a/b DOWN"]

    def test_the_leader_that_left_was_stopped_though_it_could_not_say_so_itself(self) -> None:
        assert Court(("b", "a")).says(b="UX") == ["server/a STOPPED"]


class TestChanges:
    def test_supplements_are_the_same_whoever_saw_it(self) -> None:
        one, other = Court(), Court()
        first = one.hear(a="UUUUD", b="UUUUD", c="UUUUD", d="UUUUU").events
        second = other.hear(a="UUUUU", b="UUUUD", c="UUUUD", d="UUUUD").events
        assert first == (Declared("server/e", "DOWN", "no packet for 4 s", ("a", "b", "c")),)
        assert second[0].supplement == first[0].supplement
        assert second[0].observers == ("b", "c", "d")

    def test_each_change_is_told_once(self) -> None:
        court = Court()
        down = dict.fromkeys("abcd", "UUUUD")
        assert court.says(20, **down) == ["server/e DOWN"]
        up = dict.fromkeys("abcde", "UUUUU")
        assert court.says(20, **up) == ["server/e UP"]

    def test_down_to_up_needs_half_of_the_observers(self) -> None:
        court = Court(declared={"server/e": "DOWN"} | {f"server/{n}": "UP" for n in "abcd"})
        assert court.says(a="UUUUU", b="UUUUD", c="UUUUD", d="UUUUD") == []
        assert court.says(a="UUUUU", b="UUUUU", c="UUUUD", d="UUUUD") == ["server/e UP"]

    def test_a_stopped_node_is_up_on_the_first_packet_anybody_hears(self) -> None:
        court = Court(declared={"server/e": "STOPPED"} | {f"server/{n}": "UP" for n in "abcd"})
        assert court.says(a="UUUUX", b="UUUUX", c="UUUUX", d="UUUUU") == ["server/e UP"]

    def test_a_stopped_node_stays_stopped_when_observers_that_never_met_it_say_down(self) -> None:
        court = Court(declared={"server/e": "STOPPED"} | {f"server/{n}": "UP" for n in "abcd"})
        assert court.says(a="UUUUD", b="UUUUD", c="UUUUD", d="UUUUD") == []

    def test_a_goodbye_the_leaders_node_heard_is_enough_beside_its_view(self) -> None:
        assert Court(("a", "b")).says(a="US", stopped=["b"]) == ["server/b STOPPED"]

    def test_a_goodbye_is_not_undone_by_views_sent_before_it(self) -> None:
        court = Court(("a", "b", "c"))
        assert court.says(a="UUX", b="UUU") == []
        assert court.says(a="UUX", b="UUX") == ["server/c STOPPED"]
        assert court.says(5, a="UUX", b="UUX") == []

    def test_a_goodbye_of_an_earlier_life_does_not_hide_a_failure(self) -> None:
        """b heard the goodbye of c, and nothing of its second life; then c dies."""
        court = Court(("a", "b", "c"))
        assert court.says(a="UUX", b="UUX") == ["server/c STOPPED"]
        assert court.says(10, a="UUU", b="UUX", c="UUU") == ["server/c UP", "path/c/b DOWN"]
        assert court.says(a="UUS", b="UUX") == []
        assert court.says(a="UUD", b="UUX") == ["server/c DOWN"]


class TestNodeStates:
    def test_suspect_is_for_the_table_and_no_event(self) -> None:
        court = Court()
        judgement = court.hear(a="UUUUS", b="UUUUS", c="UUUUS", d="UUUUD")
        assert judgement == Judgement((), (NodeState("e", SUSPECT),))
        judgement = court.hear(a="UUUUS", b="UUUUU", c="UUUUS", d="UUUUD")
        assert judgement == Judgement((), (NodeState("e", UP),))

    def test_a_node_never_declared_is_suspect(self) -> None:
        court = Court(("a", "b"), declared={})
        assert court.judge.state("b") is SUSPECT
        assert court.hear(a="US").nodes == (NodeState("a", UP),)
        assert court.hear(a="UD").nodes == (NodeState("b", DOWN),)


class TestPaths:
    def test_a_minority_that_lost_a_node_has_a_broken_path_after_the_patience(self) -> None:
        court = Court()
        rows = {"a": "UUUUD", "b": "UUUUU", "c": "UUUUU", "d": "UUUUU", "e": "UUUUU"}
        assert court.says(5, **rows) == []
        assert court.says(1, **rows) == ["path/e/a DOWN"]
        assert court.says(20, **rows) == []
        assert court.says(1, **rows | {"a": "UUUUU"}) == ["path/e/a UP"]

    def test_a_tie_is_a_broken_path_for_each_that_lost_it(self) -> None:
        rows = {"a": "UUUUD", "b": "UUUUD", "c": "UUUUU", "d": "UUUUU", "e": "UUUUU"}
        assert Court().says(10, **rows) == ["path/e/a DOWN", "path/e/b DOWN"]

    def test_while_most_are_not_sure_yet_no_path_is_blamed(self) -> None:
        rows = {"a": "UUUUD", "b": "UUUUD", "c": "UUUUS", "d": "UUUUU", "e": "UUUUU"}
        assert Court().says(20, **rows) == []

    def test_a_death_noticed_at_different_times_breaks_no_path(self) -> None:
        court = Court()
        assert court.says(1, a="UUUUD", b="UUUUU", c="UUUUS", d="UUUUS") == []
        assert court.says(2, a="UUUUD", b="UUUUS", c="UUUUS", d="UUUUS") == []
        assert court.says(1, a="UUUUD", b="UUUUS", c="UUUUD", d="UUUUD") == ["server/e DOWN"]
        assert court.says(20, a="UUUUD", b="UUUUD", c="UUUUD", d="UUUUD") == []

    def test_of_a_deaf_node_only_the_path_from_the_leaders_node_is_told(self) -> None:
        rows = {"a": "UUUUU", "b": "DUDDD", "c": "UUUUU", "d": "UUUUU", "e": "UUUUU"}
        assert Court().says(20, **rows) == ["path/a/b DOWN"]

    def test_a_path_of_a_node_that_goes_down_stays_as_it_was(self) -> None:
        court = Court(("a", "b", "c"))
        assert court.says(10, a="UUD", b="UUU", c="UUU") == ["path/c/a DOWN"]
        assert court.says(10, a="UUD", b="UUD") == ["server/c DOWN"]
        assert court.says(1, a="UUU", b="UUD", c="UUU") == ["server/c UP", "path/c/a UP"]

    def test_broken_paths_are_restored(self) -> None:
        court = Court(declared={f"server/{n}": "UP" for n in NAMES} | {"path/e/a": "DOWN", "path/gone/a": "DOWN"})
        rows = dict.fromkeys("abcde", "UUUUU")
        assert court.says(5, **rows) == ["path/e/a UP"]


class TestInput:
    def test_unsettled_views_change_nothing(self) -> None:
        court = Court()
        assert court.says(20, settled=False, a="UDDDD") == []
        assert court.says(a="UDDDD") == [f"server/{name} DOWN" for name in "bcde"]

    def test_views_of_strangers_and_of_another_size_are_left_out(self) -> None:
        court = Court()
        rows = dict.fromkeys("abcd", "UUUUU") | {"zz": "DDDDD", "e": "DDDDDDDDD"}
        assert court.says(10, **rows) == []

    def test_without_the_own_view_nothing_is_judged(self) -> None:
        assert Court().says(10, b="UUDDD", c="UUDDD") == []

    def test_what_was_declared_is_not_told_again_by_the_next_leader(self) -> None:
        before = {"server/a": "UP", "server/b": "UP", "server/c": "DOWN", "server/d": "STOPPED", "server/e": "odd"}
        court = Court(declared=before)
        rows = {"a": "UUDXU", "b": "UUDDU", "e": "UUDXU"}
        assert court.says(10, **rows) == ["server/e UP"]


@given(st.lists(st.lists(st.text("USDX", min_size=5, max_size=5), min_size=1, max_size=5), max_size=30))
def test_whatever_is_said_every_event_is_a_change(rounds: list[list[str]]) -> None:
    court, declared = Court(declared={}), dict[str, str]()
    for rows in rounds:
        for event in court.hear(**dict(zip(NAMES, rows, strict=False))).events:
            assert declared.get(event.event) != event.state
            declared[event.event] = event.state
            assert event.observers
    assert declared.get("server/a", "UP") == "UP"


@given(st.lists(st.lists(st.text("USDX", min_size=5, max_size=5), min_size=5, max_size=5), min_size=1, max_size=12))
def test_a_judge_restored_from_what_was_declared_agrees(rounds: list[list[str]]) -> None:
    """Of the nodes; a path's patience begins anew with the next leader."""
    court, declared = Court(declared={}), dict[str, str]()
    for rows in rounds:
        said = dict(zip(NAMES, rows, strict=True))
        declared |= {event.event: event.state for event in court.hear(**said).events}
        restored = Court(declared=declared)
        assert not [event for event in restored.hear(**said).events if event.event.startswith("server/")]
