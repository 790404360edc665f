"""The coordinator's port: do the nodes agree who leads, and does it answer?"""

from __future__ import annotations

import time

from noroshi.console.doctor.check import Check, failed, listed, not_measured, ok, warning
from noroshi.console.doctor.peers import Seen
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.messages import PROTOCOL, Acknowledged, Ping, Refused, Request
from noroshi.node.wire.requests import ask
from noroshi.store.errors import NoroshiError


def coordinator(seen: Seen, keys: Keyring | None) -> Check:
    """Asks the leader that the nodes hear; a cluster without one is none that failed to be asked."""
    leaders: dict[tuple[str, int], list[str]] = {}
    for name, facts in seen.facts.items():
        leaders.setdefault((facts.leader, facts.term), []).append(name)
    if not leaders:
        return not_measured("coordinator", "no node daemon answers")
    if len(leaders) > 1:
        said = [f"{listed(names)}: {who or 'nobody'}, term {term}" for (who, term), names in leaders.items()]
        return warning("coordinator", "; ".join(said), "within a take-over that is so for seconds: ask again")
    (leader, term), _ = leaders.popitem()
    if not leader:
        return warning(
            "coordinator", "nobody leads", "the daemons' messages say why; `noroshi status` shows who did last"
        )
    return _asked(seen, leader, term, keys)


def _asked(seen: Seen, leader: str, term: int, keys: Keyring | None) -> Check:
    if leader not in seen.cluster.names:
        return failed(
            "coordinator", f"{leader} leads and is not in this cluster.yaml", "give all nodes one cluster.yaml"
        )
    endpoint = seen.cluster.node(leader).coordinator
    began = time.monotonic()
    try:
        reply = ask(endpoint, Request(PROTOCOL, seen.cluster.name, seen.own, b"", Ping()), timeout=2.0, keys=keys)
    except NoroshiError as error:
        hint = f"a firewall on port {seen.cluster.node(leader).port + 2}? No node can send it events"
        return failed(
            "coordinator", f"{leader} leads in term {term} and gives no answer at {endpoint} ({error.why})", hint
        )
    if isinstance(reply, Refused):
        return failed("coordinator", f"{leader} refused: {reply.message}", reply.hint)
    took = time.monotonic() - began
    led = reply.term if isinstance(reply, Acknowledged) else term
    return ok("coordinator", f"{leader} leads in term {led}, answered at {endpoint} in {took * 1000:.1f} ms", term=led)
