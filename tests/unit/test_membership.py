"""One node's observation of its peers: states, leaders, pauses, incarnations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core.membership import (
    Change,
    Leader,
    Membership,
    PeerState,
    Restarted,
    Twin,
    pack_view,
    roster_of,
    unpack_view,
)
from noroshi.node.core.packet import Header, Role
from noroshi.store.config import Heartbeat

UP, DOWN, SUSPECT, STOPPED = PeerState.UP, PeerState.DOWN, PeerState.SUSPECT, PeerState.STOPPED
NAMES = ("a", "b", "c")
FIRST, SECOND = b"1" * 8, b"2" * 8
HEARTBEAT = Heartbeat()  # 1 s, SUSPECT after 2 missed, DOWN after 4


def member(names: tuple[str, ...] = NAMES, now: float = 0.0) -> Membership:
    return Membership(names, "a", b"own-inc.", HEARTBEAT, now)


def header(
    node: str,
    sequence: int,
    incarnation: bytes = FIRST,
    role: Role = "none",
    term: int = 0,
    view: bytes = b"\x15",
    roster: int | None = None,
) -> Header:
    endpoint = f"tcp://{node}:3" if role == "leader" else ""
    known = roster_of(NAMES) if roster is None else roster
    return Header(1, "demo", node, incarnation, sequence, 0, role, term, endpoint, known, view)


def hear(membership: Membership, node: str, start: int, end: int, **kind: object) -> None:
    """One packet each second, and a tick."""
    for second in range(start, end):
        membership.heard(header(node, second + 1, **kind), second)  # type: ignore[arg-type]
        membership.tick(second)


def states(membership: Membership) -> dict[str, PeerState]:
    return {name: membership.state(name) for name in NAMES if name != "a"}


def test_a_peer_never_heard_is_suspect_and_after_the_down_time_from_the_start_down() -> None:
    membership = member()
    for second in range(5):
        assert membership.tick(float(second)) == []
        assert states(membership) == {"b": SUSPECT, "c": SUSPECT}
    assert membership.tick(4.25) == [Change("b", SUSPECT, DOWN), Change("c", SUSPECT, DOWN)]


@pytest.mark.parametrize(("silence", "state"), [(2.0, UP), (2.2, UP), (2.25, SUSPECT), (4.2, SUSPECT), (4.25, DOWN)])
def test_a_packet_is_missed_when_it_is_a_quarter_of_an_interval_late(silence: float, state: PeerState) -> None:
    membership = member()
    hear(membership, "b", 0, 10)
    for quarter in range(1, int(silence * 4) + 1):
        membership.tick(9 + quarter / 4)
    membership.tick(9 + silence)
    assert membership.state("b") is state


def test_one_packet_makes_a_down_peer_up_again() -> None:
    membership = member()
    for second in range(6):
        membership.tick(second)
    assert membership.heard(header("b", 1), 5.0) == [Change("b", DOWN, UP)]


def test_a_goodbye_is_told_apart_from_a_failure_and_lasts() -> None:
    membership = member()
    hear(membership, "b", 0, 3)
    assert membership.heard(header("b", 9, role="leaving"), 3.0) == [Change("b", UP, STOPPED)]
    for second in range(4, 60):
        membership.tick(second)
    assert membership.state("b") is STOPPED
    assert membership.heard(header("b", 1, SECOND), 60.0) == [
        Restarted("b", FIRST, SECOND),
        Change("b", STOPPED, UP),
    ]


def test_an_older_packet_of_the_same_incarnation_changes_nothing() -> None:
    membership = member()
    membership.heard(header("b", 5), 0.0)
    for sequence in (5, 4, 1):
        assert membership.heard(header("b", sequence, role="leaving"), 1.0) == []
    membership.tick(2.2)
    membership.tick(2.3)
    assert membership.state("b") is SUSPECT, "a stale packet is no sign of life"


def test_next_deadline_is_when_a_tick_changes_something() -> None:
    membership = member()
    hear(membership, "b", 0, 5)
    hear(membership, "c", 0, 5)
    assert membership.next_deadline(4.0) == 6.25
    assert membership.tick(6.25) == [Change("b", UP, SUSPECT), Change("c", UP, SUSPECT)]
    assert membership.next_deadline(6.25) == 8.25
    membership.tick(8.25)
    assert membership.next_deadline(8.25) == math.inf


@given(st.floats(0, 1e6), st.floats(0.05, 60))
def test_a_tick_at_the_deadline_always_changes_something(now: float, interval: float) -> None:
    membership = Membership(NAMES, "a", b"own-inc.", Heartbeat(interval=interval), now)
    for name in "bc":
        membership.heard(header(name, 1), now)
    now += interval
    membership.tick(now)
    for _ in range(2):  # SUSPECT, DOWN
        deadline, changes = membership.next_deadline(now), []
        while now < deadline:
            now = min(now + interval, deadline)
            changes = membership.tick(now)
        assert len(changes) == 2
    assert membership.next_deadline(now) == math.inf


class TestIncarnations:
    def test_a_restart_is_noted_once_and_its_leftovers_are_ignored(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        assert membership.heard(header("b", 1, SECOND), 5.0) == [Restarted("b", FIRST, SECOND)]
        assert membership.heard(header("b", 6, FIRST), 5.1) == []
        assert membership.is_current("b", SECOND)

    def test_a_former_incarnation_that_goes_on_is_a_second_host_and_is_named_once(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        seen = []
        for second in range(5, 30):
            seen += membership.heard(header("b", second, SECOND), second)
            seen += membership.heard(header("b", second, FIRST), second + 0.5)
            membership.tick(second + 0.5)
        assert seen == [Restarted("b", FIRST, SECOND), Twin("b", SECOND, FIRST)]
        assert membership.incarnation_of("b") == SECOND

    def test_the_second_host_is_followed_when_the_first_is_gone(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        hear(membership, "b", 5, 10, incarnation=SECOND)
        for second in range(10, 16):
            membership.tick(second)
        assert membership.state("b") is DOWN
        assert membership.heard(header("b", 99, FIRST), 16.0) == [Twin("b", FIRST, SECOND), Change("b", DOWN, UP)]

    def test_what_was_buffered_over_a_pause_names_nobody(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        membership.heard(header("b", 1, SECOND), 5.0)
        assert membership.heard(header("b", 6, FIRST), 100.0) == [], "read after a pause, sent before it"
        assert membership.heard(header("b", 2, SECOND), 100.0) == []


class TestPause:
    def paused(self) -> Membership:
        membership = member()
        hear(membership, "b", 0, 10)
        hear(membership, "c", 0, 10)
        assert membership.settled(9.0)
        return membership

    def test_after_a_pause_nobody_is_judged_for_the_suspect_time(self) -> None:
        membership = self.paused()
        assert membership.tick(60.0) == []
        assert not membership.settled(61.9)
        assert membership.tick(61.0) == membership.tick(61.9) == []
        assert membership.settled(62.0)

    def test_then_silence_counts_from_the_end_of_the_pause(self) -> None:
        membership = self.paused()
        membership.tick(60.0)
        hear(membership, "b", 61, 64)
        assert membership.state("c") is SUSPECT
        hear(membership, "b", 64, 66)
        assert states(membership) == {"b": UP, "c": DOWN}

    def test_the_view_sent_meanwhile_claims_nothing_from_before_it(self) -> None:
        membership = self.paused()
        assert unpack_view(membership.view(), 3) == [UP, UP, UP]
        membership.tick(60.0)
        membership.heard(header("b", 70), 60.1)
        assert unpack_view(membership.view(), 3) == [UP, UP, SUSPECT]

    def test_heard_first_notices_it_too(self) -> None:
        membership = self.paused()
        membership.heard(header("b", 50), 60.0)
        assert not membership.settled(60.0)
        assert membership.tick(60.0) == []

    def test_a_late_tick_within_the_suspect_time_is_no_pause(self) -> None:
        membership = self.paused()
        membership.tick(12.0)
        assert membership.settled(12.0)

    def test_the_start_is_like_a_pause(self) -> None:
        assert not member().settled(1.9)
        assert member().settled(2.0)


class TestLeader:
    def test_the_highest_term_leads_while_it_is_heard(self) -> None:
        membership = member()
        membership.heard(header("b", 1, role="leader", term=3), 0.0)
        membership.heard(header("c", 1, role="leader", term=4), 0.5)
        membership.heard(header("b", 2, role="leader", term=3), 1.0)
        assert membership.leader(1.0) == Leader("c", FIRST, 4, "tcp://c:3")
        assert membership.highest_term == 4

    def test_nobody_leads_after_the_down_time_and_then_it_is_to_be_tried(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5, role="leader", term=3)
        for second in range(5, 9):
            membership.tick(second)
            assert membership.leader(second) is not None
            assert not membership.should_try_lead(second)
        membership.tick(8.25)
        assert membership.leader(8.25) is None
        assert membership.should_try_lead(8.25)

    @pytest.mark.parametrize("role", ["leaving", "none"])
    def test_a_leader_that_says_it_left_is_to_be_replaced_at_once(self, role: Role) -> None:
        membership = member()
        hear(membership, "b", 0, 5, role="leader", term=3)
        membership.heard(header("b", 9, role=role), 5.0)
        assert membership.leader(5.0) is None
        assert membership.should_try_lead(5.0)

    def test_so_is_one_whose_daemon_was_restarted(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5, role="leader", term=3)
        membership.heard(header("b", 1, SECOND), 5.0)
        assert membership.should_try_lead(5.0)

    def test_a_stale_packet_of_the_leader_does_not_depose_it(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5, role="leader", term=3)
        membership.heard(header("b", 2), 5.0)
        assert membership.leader(5.0) is not None

    def test_at_the_start_a_leader_is_waited_for_for_the_down_time(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        assert not membership.should_try_lead(4.2)
        assert membership.should_try_lead(4.25)

    def test_a_cluster_of_one_need_not_wait(self) -> None:
        membership = member(names=("a",))
        assert membership.should_try_lead(0.0)
        membership.set_own_role(1, "tcp://a:3")
        assert not membership.should_try_lead(1.0)

    def test_this_node_leads_until_a_higher_term_is_heard(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        membership.set_own_role(7, "tcp://a:3")
        assert membership.leader(4.0) == Leader("a", b"own-inc.", 7, "tcp://a:3")
        membership.tick(1000.0)
        assert membership.leader(1000.0) is not None, "hears itself, whatever it hears of others"
        membership.heard(header("b", 2000, role="leader", term=8), 1000.0)
        membership.set_own_role(0, "")
        assert membership.leader(1000.0) == Leader("b", FIRST, 8, "tcp://b:3")

    def test_when_its_own_coordinator_ended_it_is_to_be_tried_again(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        membership.set_own_role(7, "tcp://a:3")
        membership.set_own_role(0, "")
        assert membership.should_try_lead(5.0)

    def test_two_leaders_of_one_term_are_not_followed_in_turn(self) -> None:
        membership = member()
        membership.heard(header("b", 1, role="leader", term=3), 0.0)
        membership.heard(header("c", 1, role="leader", term=3), 0.0)
        leader = membership.leader(0.0)
        assert leader is not None
        assert leader.node == "b"

    def test_after_a_pause_the_leader_is_given_time_to_be_heard(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5, role="leader", term=3)
        membership.tick(60.0)
        assert membership.leader(60.0) is not None
        for quarter in range(1, 17):
            membership.tick(60 + quarter / 4)
            assert not membership.should_try_lead(60 + quarter / 4)
        assert membership.should_try_lead(64.25)


class TestSilent:
    def test_a_silent_peer_is_reopened_each_down_time(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        reopened = []
        for quarter in range(20, 80):
            membership.tick(quarter / 4)
            membership.heard(header("c", quarter), quarter / 4)
            reopened += [(name, quarter / 4) for name in membership.silent(quarter / 4)]
        assert reopened == [("b", 8.25), ("b", 12.5), ("b", 16.75)]

    def test_a_stopped_one_too_for_its_host_may_vanish(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5, role="leaving")
        hear(membership, "c", 5, 10)
        assert membership.silent(9.0) == ["b"]


class TestViews:
    @given(st.lists(st.sampled_from(list(PeerState)), max_size=310))
    def test_two_bits_a_node_there_and_back(self, given_states: list[PeerState]) -> None:
        view = pack_view(given_states)
        assert len(view) == -(-len(given_states) // 4)
        assert unpack_view(view, len(given_states)) == given_states

    def test_a_view_of_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="for 5 nodes"):
            unpack_view(b"\x00", 5)

    def test_the_judge_gets_the_own_view_and_those_of_peers_heard(self) -> None:
        membership = member()
        hear(membership, "b", 0, 5)
        membership.heard(header("c", 9, role="leaving"), 4.0)
        views = membership.views(4.0)
        assert [each.node for each in views.views] == ["a", "b"]
        assert unpack_view(views.views[0].view, 3) == [UP, UP, STOPPED]
        assert views.views[1].view == b"\x15"
        assert views.stopped == ["c"]
        assert views.settled

    def test_the_view_of_a_peer_with_another_cluster_file_is_left_out(self) -> None:
        membership = member()
        membership.heard(header("b", 1, roster=99), 0.0)
        assert membership.state("b") is UP
        assert [each.node for each in membership.views(0.0).views] == ["a"]

    def test_the_roster_tells_orders_apart(self) -> None:
        assert roster_of(("a", "b")) != roster_of(("b", "a"))


@given(
    st.lists(
        st.tuples(st.sampled_from("bc"), st.integers(0, 3), st.integers(1, 50), st.floats(0, 9), st.booleans()),
        max_size=60,
    )
)
def test_whatever_arrives_the_rules_hold(steps: list[tuple[str, int, int, float, bool]]) -> None:
    """Any incarnations, sequences, gaps in time: no exception, and each change starts from the state before it."""
    membership, now = member(), 0.0
    known = dict.fromkeys("bc", SUSPECT)
    for node, incarnation, sequence, gap, leads in steps:
        now += gap
        kind: Role = "leader" if leads else "none"
        observations = membership.tick(now)
        observations += membership.heard(header(node, sequence, bytes([incarnation]) * 8, kind, incarnation + 1), now)
        for observation in observations:
            if isinstance(observation, Change):
                assert known[observation.node] is observation.old is not observation.new
                known[observation.node] = observation.new
        assert known == states(membership)
        assert not (membership.leader(now) is not None and membership.should_try_lead(now))
