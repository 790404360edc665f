"""The node table: what the vote decides is declared, told to the engine, and stored as events (design section 4).

Rules: the engine hears of a node before its event is notified, so that the news of a node's end is not first sent to
that node. A node that is UP again gets a new connection for its deliveries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.judge import Judge
from noroshi.node.core.membership import PeerState
from noroshi.node.core.subject import NodeState
from noroshi.node.wire.messages import Views
from noroshi.store.config import Cluster
from noroshi.store.connection import Connection
from noroshi.store.tables import events as states_table
from noroshi.store.tables import nodes as table

NodeChanged = Callable[[Connection, Turn, str, NodeState], None]
EventSeen = Callable[[Connection, Turn, str, str, str], None]
"""(connection, turn, event, state, supplement)"""


class NodeJudge:
    """The shell around `core.judge`."""

    def __init__(self, cluster: Cluster, own: str, changed: NodeChanged, seen: EventSeen) -> None:
        self._cluster, self._own, self._changed, self._seen = cluster, own, changed, seen
        self._judge = Judge(cluster.names, own, cluster.heartbeat, {})
        self.alive: frozenset[str] = frozenset()
        """The nodes whose claims on the shared disk move."""

    def restore(self, connection: Connection, turn: Turn) -> None:
        """Go on from what was declared before; every node of the cluster file has a row from now on."""
        rows = [*states_table.states_like(connection, "server/"), *states_table.states_like(connection, "path/")]
        declared = {row.event: row.state for row in rows}
        self._judge = Judge(self._cluster.names, self._own, self._cluster.heartbeat, declared)
        known = {row.name: row.state for row in table.nodes(connection)}
        for node in self._cluster.names:
            state = self._judge.state(node).name
            if node not in known:
                table.node_id(connection, node)
            elif f"server/{node}" in declared and known[node] != state:
                table.set_node_state(connection, node, state, turn.at)

    def states(self) -> dict[str, NodeState]:
        """As last judged, for the engine."""
        return {node: _word(self._judge.state(node)) for node in self._cluster.names}

    def observe(self, connection: Connection, turn: Turn, views: Views) -> None:
        """One period's views."""
        judgement = self._judge.handle(views, turn.now, self.alive)
        for node in judgement.nodes:
            table.set_node_state(connection, node.node, node.state.name, turn.at)
            self._changed(connection, turn, node.node, _word(node.state))
        for event in judgement.events:
            self._seen(connection, turn, event.event, event.state, event.supplement)


def _word(state: PeerState) -> NodeState:
    return cast("NodeState", state.name)
