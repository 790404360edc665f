"""Claims: what moves is alive, who hears more shall lead, a tie stays; and what the judge makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from noroshi.node.core.claims import Claims, Found, hears
from noroshi.node.core.judge import CLAIMED, Judge
from noroshi.node.core.membership import PeerState, pack_view
from noroshi.node.wire.messages import PeerView, Views
from noroshi.store.claims import Claim, ClaimFile, read_claims
from noroshi.store.config import Heartbeat
from noroshi.store.layout import Layout

UP, DOWN, SUSPECT, STOPPED = PeerState.UP, PeerState.DOWN, PeerState.SUSPECT, PeerState.STOPPED
NAMES = ("a", "b", "c")


def looked(*rounds: list[Found]) -> Claims:
    """A leader `a` that looked once a second, beginning at 0; patience 4 s."""
    claims = Claims("a", 4.0)
    for now, found in enumerate(rounds):
        claims.look(found, float(now))
    return claims


class TestAlive:
    def test_a_file_found_at_the_first_look_says_nothing(self) -> None:
        assert looked([Found("b", 9, 1)], [Found("b", 9, 1)]).alive(1.0) == frozenset()

    def test_a_claim_that_moves_or_appears_is_alive(self) -> None:
        assert looked([Found("b", 1, 1)], [Found("b", 1, 2), Found("c", 1, 7)]).alive(1.0) == {"b", "c"}

    def test_it_is_so_for_the_patience(self) -> None:
        claims = looked([], [Found("b", 1, 1)])
        assert claims.alive(4.9) == {"b"}
        assert claims.alive(5.0) == frozenset()

    def test_the_first_look_after_a_pause_is_a_first_look(self) -> None:
        claims = looked([Found("b", 1, 1)])
        claims.look([Found("b", 1, 2)], 60.0)
        assert claims.alive(60.0) == frozenset()
        claims.look([Found("b", 1, 3)], 61.0)
        assert claims.alive(61.0) == {"b"}

    def test_a_claim_withdrawn_is_gone_at_once(self) -> None:
        assert looked([], [Found("b", 1, 1)], []).alive(2.0) == frozenset()

    def test_the_own_claim_does_not_count(self) -> None:
        assert looked([], [Found("a", 9, 1)]).stronger(0, 1.0) is None


class TestStronger:
    @pytest.mark.parametrize(("own", "wins"), [(0, True), (1, True), (2, False), (3, False)])
    def test_more_wins_and_a_tie_stays(self, own: int, wins: bool) -> None:
        claims = looked([], [Found("b", 2, 1), Found("c", 1, 1)])
        assert claims.stronger(own, 1.0) == (Found("b", 2, 1) if wins else None)

    def test_a_dead_claim_wins_nothing(self) -> None:
        assert looked([Found("b", 2, 1)], [Found("b", 2, 1)]).stronger(0, 1.0) is None


def test_hears_counts_the_others_that_are_up() -> None:
    views = Views([PeerView("a", b"", pack_view([UP, UP, SUSPECT])), PeerView("b", b"", pack_view([UP] * 3))], [], True)
    assert hears(views, "a", NAMES) == 1
    assert hears(views, "b", NAMES) == 2
    assert hears(views, "c", NAMES) == 0
    assert hears(Views([PeerView("a", b"", b"too long")], [], True), "a", NAMES) == 0


class TestJudge:
    """`a` leads and hears b; c is cut off."""

    def judge(self, declared: str) -> Judge:
        return Judge(NAMES, "a", Heartbeat(), {"server/a": "UP", "server/b": "UP", "server/c": declared})

    def views(self, c: PeerState) -> Views:
        view = pack_view([UP, UP, c])
        return Views([PeerView("a", b"", view), PeerView("b", b"", view)], [], True)

    def test_a_node_that_claims_is_not_declared_down(self) -> None:
        judge = self.judge("UP")
        assert judge.handle(self.views(DOWN), 1.0, frozenset("c")).events == ()
        assert judge.state("c") is SUSPECT

    def test_a_node_declared_down_that_claims_is_up_and_its_paths_are_down(self) -> None:
        judge = self.judge("DOWN")
        (event,) = judge.handle(self.views(DOWN), 1.0, frozenset("c")).events
        assert (event.event, event.state, event.supplement) == ("server/c", "UP", CLAIMED)
        later = judge.handle(self.views(DOWN), 6.0, frozenset("c")).events
        assert [(each.event, each.state) for each in later] == [("path/c/a", "DOWN"), ("path/c/b", "DOWN")]

    def test_it_is_down_once_its_claim_stands_still(self) -> None:
        judge = self.judge("UP")
        judge.handle(self.views(DOWN), 1.0, frozenset("c"))
        (event,) = judge.handle(self.views(DOWN), 2.0).events
        assert (event.event, event.state) == ("server/c", "DOWN")

    def test_a_goodbye_counts_more_than_a_claim(self) -> None:
        (event,) = self.judge("UP").handle(self.views(STOPPED), 1.0, frozenset("c")).events
        assert (event.event, event.state) == ("server/c", "STOPPED")


class TestFile:
    def test_what_is_renewed_is_read_and_what_is_withdrawn_is_not(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        assert read_claims(layout) == []
        mine = ClaimFile(layout, "b", b"\x01")
        mine.renew(2)
        mine.renew(1)
        assert read_claims(layout) == [Claim("b", 1, 2, "01")]
        mine.withdraw()
        mine.withdraw()
        assert read_claims(layout) == []

    def test_junk_is_left_out(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        ClaimFile(layout, "b", b"\x01").renew(2)
        (layout.claims / "c").write_bytes(b"{" * 100_000)
        (layout.claims / "d").write_bytes(b"")
        assert [claim.node for claim in read_claims(layout)] == ["b"]

    def test_only_its_owner_may_write(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        ClaimFile(Layout(tmp_path), "b", b"\x01").renew(0)
        assert (tmp_path / "claims").stat().st_mode & 0o777 == 0o755
        assert (tmp_path / "claims" / "b").stat().st_mode & 0o777 == 0o644
