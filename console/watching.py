"""Which states nobody watches any more because the node that saw them is gone; pure.

Rules: what is good is then only known to have been so, as long as that node was heard. Trouble stays trouble, and what
the coordinator declares itself it goes on watching, whoever's name stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from noroshi.console.severity import Severity, severity_of
from noroshi.store.model import FAILURE_EVENT
from noroshi.store.silences import DECLARED
from noroshi.store.views import NodeState, State

GONE = frozenset({"DOWN", "STOPPED"})
_BY_THE_COORDINATOR = DECLARED | {FAILURE_EVENT, "definition"}


def gone_nodes(nodes: Iterable[NodeState]) -> dict[str, int]:
    """The nodes that are down or stopped, and since when (microseconds UTC)."""
    return {node.node: node.since for node in nodes if node.state in GONE and node.since is not None}


def unwatched_since(row: State, gone: Mapping[str, int]) -> int | None:
    """The last instant of which a good state tells for sure; None while somebody watches it, and for trouble."""
    if severity_of(row.state) is not Severity.GOOD or row.event.partition("/")[0] in _BY_THE_COORDINATOR:
        return None
    return gone.get(row.node)
