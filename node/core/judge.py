"""The vote of the observers: which node is UP, DOWN or STOPPED, and which path is broken (spec 2.1, design section 4).

Role: in the coordinator, over what each node hears (`messages.Views`); its changes become events.
Rules: `now` is monotonic seconds. While the views are not settled nothing changes. The leader's own node is UP.

Observers of X are the leader's node and those it hears, X excepted; one that hears nobody counts only if no other
remains.
  DOWN      more than half of X's observers say DOWN. A node that stopped stays STOPPED.
  STOPPED   nobody hears X, more than half have lost it or heard its goodbye, and at least as many heard the goodbye.
  UP        anyone hears X and neither of the above: so a node is UP again as soon as half of its observers hear it, a
            stopped one on the first packet anybody hears. There is no other hysteresis: going down takes a down time of
            silence at more than half of the observers, so that a state cannot change more often than that.
  SUSPECT   declared UP, but no observer hears it: for the table of nodes and the engine; no event.

A node that nobody hears and whose claim on the shared disk moves (`claims.py`) runs, cut off: it is not DOWN. It stays
UP, or is UP again, and the paths from it are told as broken.

A path is FROM the node whose packets are not heard TO the observer that misses them. It is DOWN when the observer has
lost a node that is UP, and at least as many hear it as have lost it (or it is sure to run), for the down time and
a period: long enough for all to have noticed the same death or goodbye. Of an observer that hears nobody only the paths
from the leader's node and from those that claim are told. It is UP again on the first packet; while its FROM is not UP
it stays as it was. A goodbye told by an observer whose path is DOWN is of an earlier life and counts as DOWN.

Supplements say nothing that is particular to one observer, or changes from time to time, so that duplicates are known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from noroshi.node.core.membership import PeerState, unpack_view

if TYPE_CHECKING:
    from noroshi.node.wire.messages import Views
    from noroshi.store.config import Heartbeat

Says = Mapping[str, Sequence[PeerState]]
"""What each node whose packets are heard says of all, in the order of the cluster file."""

State = Literal["UP", "DOWN", "STOPPED"]

UP, DOWN, SUSPECT, STOPPED = PeerState.UP, PeerState.DOWN, PeerState.SUSPECT, PeerState.STOPPED
_WORDS: dict[PeerState, State] = {UP: "UP", DOWN: "DOWN", STOPPED: "STOPPED"}

HEARD = "packets heard"
CLAIMED = "no packets, but its claim on the shared disk is renewed"
PLANNED = "planned stop"


@dataclass(frozen=True)
class Declared:
    """An event to store: `server/X` or `path/FROM/TO`. `observers` say so; they are no part of the event."""

    event: str
    state: State
    supplement: str
    observers: tuple[str, ...]


@dataclass(frozen=True)
class NodeState:
    """A node's state for the table of nodes and the engine, SUSPECT among them."""

    node: str
    state: PeerState


@dataclass(frozen=True)
class Judgement:
    """What changed."""

    events: tuple[Declared, ...] = ()
    nodes: tuple[NodeState, ...] = ()


def server_event(node: str) -> str:
    """The name of a node's event."""
    return f"server/{node}"


def path_event(sender: str, observer: str) -> str:
    """The name of a path's event."""
    return f"path/{sender}/{observer}"


@dataclass(frozen=True)
class _Votes:
    """What the observers of one node say, by name."""

    up: tuple[str, ...]
    down: tuple[str, ...]
    stopped: tuple[str, ...]
    count: int
    claims: bool = False

    def verdict(self, declared: PeerState | None) -> PeerState | None:
        """None: as it was."""
        if self.claims and not self.up and not self.stopped:
            return UP
        gone = len(self.down) + len(self.stopped)
        if self.stopped and not self.up and 2 * gone > self.count and len(self.stopped) >= len(self.down):
            return STOPPED
        if 2 * len(self.down) > self.count:
            return DOWN if declared is not STOPPED else None
        return UP if self.up else None


class Judge:
    """See the module. `declared` are the states of `server/…` and `path/…` events in the state table."""

    def __init__(self, names: Sequence[str], own: str, heartbeat: Heartbeat, declared: Mapping[str, str]) -> None:
        self._names, self._own = tuple(names), own
        self._places = {name: index for index, name in enumerate(names)}
        self._patience = heartbeat.down_time + heartbeat.interval
        self._silence = f"no packet for {heartbeat.down_time:g} s"
        words = {word: state for state, word in _WORDS.items()}
        self._declared = {n: words[s] for n in names if (s := declared.get(server_event(n))) in words}
        self._shown = {name: self._declared.get(name, SUSPECT) for name in names}
        self._broken = {
            (a, b) for a in names for b in names if a != b and declared.get(path_event(a, b)) == _WORDS[DOWN]
        }
        self._missed: dict[tuple[str, str], float] = {}  # since when an observer has lost a node that another hears
        self._last: object = None
        self._alive: Collection[str] = ()

    def state(self, node: str) -> PeerState:
        """As last judged; SUSPECT for one that was never declared."""
        return self._shown[node]

    def handle(self, views: Views, now: float, alive: Collection[str] = ()) -> Judgement:
        """Wanted each period. Views of another roster, or of nodes not in the cluster file, are left out.

        `alive` are the nodes whose claims move.
        """
        says = self._says(views) if views.settled else {}
        if self._own not in says:
            return Judgement()
        if (says, alive) == (self._last, self._alive) and not self._missed:
            return Judgement()
        self._last, self._alive = says, alive
        hearing = {node for node, states in says.items() if self._hears_anyone(node, states)}
        uncertain = self._uncertain(says)
        events, nodes = self._judge_nodes(says, hearing, uncertain)
        return Judgement((*events, *self._judge_paths(says, hearing, uncertain, now)), tuple(nodes))

    def _uncertain(self, says: Says) -> list[tuple[int, str]]:
        """The nodes to look at; the others are UP, all say so, and no path from them is broken."""
        broken = {sender for sender, _ in self._broken}
        columns = zip(self._names, zip(*says.values(), strict=True), strict=True)
        return [
            (index, name)
            for index, (name, votes) in enumerate(columns)
            if votes.count(UP) < len(votes) or self._shown[name] is not UP or name in broken
        ]

    def _says(self, views: Views) -> dict[str, Sequence[PeerState]]:
        """What each node says of all. The views of a quiet cluster are equal bytes, and unpacked once."""
        unpacked: dict[bytes, list[PeerState]] = {}
        says: dict[str, Sequence[PeerState]] = {}
        for each in views.views:
            if each.node in self._shown and len(each.view) == (len(self._names) + 3) // 4:
                if each.view not in unpacked:
                    unpacked[each.view] = unpack_view(each.view, len(self._names))
                says[each.node] = unpacked[each.view]
        if views.stopped and self._own in says:
            said = zip(self._names, says[self._own], strict=True)
            says[self._own] = [STOPPED if name in views.stopped and state is not UP else state for name, state in said]
        return says

    # --- nodes -----------------------------------------------------------------------------------------------

    def _judge_nodes(
        self, says: Says, hearing: set[str], uncertain: list[tuple[int, str]]
    ) -> tuple[list[Declared], list[NodeState]]:
        events: list[Declared] = []
        nodes: list[NodeState] = []
        for index, name in uncertain:
            votes = self._votes(index, name, says, hearing)
            events += self._declare(name, votes)
            nodes += self._show(name, votes)
        return events, nodes

    def _hears_anyone(self, node: str, states: Sequence[PeerState]) -> bool:
        return states.count(UP) > (states[self._places[node]] is UP)

    def _votes(self, index: int, name: str, says: Says, hearing: set[str]) -> _Votes:
        if name == self._own:
            return _Votes((self._own,), (), (), 1)
        observers = [node for node in says if node != name]
        observers = [node for node in observers if node in hearing] or observers
        by: dict[PeerState, list[str]] = {state: [] for state in PeerState}
        for node in observers:
            state = says[node][index]
            by[DOWN if state is STOPPED and (name, node) in self._broken else state].append(node)
        up, down, stopped = (tuple(sorted(by[state])) for state in (UP, DOWN, STOPPED))
        return _Votes(up, down, stopped, len(observers), name in self._alive)

    def _declare(self, name: str, votes: _Votes) -> list[Declared]:
        verdict = votes.verdict(self._declared.get(name))
        if verdict is None or verdict is self._declared.get(name):
            return []
        self._declared[name] = verdict
        heard = HEARD if votes.up else CLAIMED
        said = {UP: (heard, votes.up), DOWN: (self._silence, votes.down), STOPPED: (PLANNED, votes.stopped)}[verdict]
        return [Declared(server_event(name), _WORDS[verdict], *said)]

    def _show(self, name: str, votes: _Votes) -> list[NodeState]:
        state = self._declared.get(name, SUSPECT)
        if state is UP and not votes.up:
            state = SUSPECT
        if state is self._shown[name]:
            return []
        self._shown[name] = state
        return [NodeState(name, state)]

    # --- paths -----------------------------------------------------------------------------------------------

    def _judge_paths(
        self, says: Says, hearing: set[str], uncertain: list[tuple[int, str]], now: float
    ) -> list[Declared]:
        events: list[Declared] = []
        missed: dict[tuple[str, str], float] = {}
        sure = {self._own, *self._alive}  # these run, whoever hears them
        for index, sender in uncertain:
            heard = self._is_heard(index, sender, says, hearing)
            for observer, states in says.items():
                path = sender, observer
                if observer == sender:
                    continue
                if states[index] is UP:
                    events += self._mend(path)
                elif heard and states[index] is not SUSPECT and (observer in hearing or sender in sure):
                    missed[path] = self._missed.get(path, now)
                    events += self._break(path, now - missed[path])
        self._missed = {path: since for path, since in missed.items() if path not in self._broken}
        return events

    def _is_heard(self, index: int, sender: str, says: Says, hearing: set[str]) -> bool:
        """UP, and the packets of no fewer nodes show it than deny it."""
        if self._declared.get(sender) is not UP:
            return False
        if sender == self._own or sender in self._alive:
            return True
        votes = [states[index] for node, states in says.items() if node != sender and node in hearing]
        return votes.count(UP) >= max(1, votes.count(DOWN) + votes.count(STOPPED))

    def _mend(self, path: tuple[str, str]) -> list[Declared]:
        if path not in self._broken:
            return []
        self._broken.discard(path)
        return [Declared(path_event(*path), "UP", HEARD, (path[1],))]

    def _break(self, path: tuple[str, str], lasted: float) -> list[Declared]:
        if path in self._broken or lasted < self._patience:
            return []
        self._broken.add(path)
        return [Declared(path_event(*path), "DOWN", self._silence, (path[1],))]
