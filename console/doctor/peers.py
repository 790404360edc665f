"""The nodes: is each there on its ports, is it who it should be, does it hear the others, go by the same files?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from noroshi.console.doctor.check import Check, failed, listed, not_measured, ok, warning
from noroshi.node.wire.keyring import Keyring
from noroshi.node.wire.panel import Heading, Junk, Reply
from noroshi.node.wire.probing import Facts, Failed, Heard
from noroshi.store.config import Cluster, NodeAddress

SKEW = 0.5
"""Seconds two clocks may be apart: times of different nodes are shown side by side."""


@dataclass(frozen=True)
class Seen:
    """What came back: answers to a question, first packets heard; by node. `listened` in seconds."""

    cluster: Cluster
    own: str
    replies: Mapping[str, Reply]
    packets: Mapping[str, Heading | Junk]
    listened: float

    @property
    def facts(self) -> dict[str, Facts]:
        """Of the nodes that answered as they should, in the order of the cluster file."""
        answers = {name: reply.answer for name in self.cluster.names if (reply := self.replies.get(name))}
        return {
            name: answer
            for name, answer in answers.items()
            if isinstance(answer, Facts) and (answer.node, answer.cluster) == (name, self.cluster.name)
        }


def checks(seen: Seen) -> Iterator[Check]:
    """One a node; then what they say of each other."""
    for node in seen.cluster.nodes:
        yield _node(seen, node)
    yield _hearing(seen)
    yield _versions(seen)


def _node(seen: Seen, node: NodeAddress) -> Check:
    subject, reply, packet = f"node {node.name}", seen.replies.get(node.name), seen.packets.get(node.name)
    wrong = _impostor(seen, node, reply, packet)
    if wrong:
        return wrong
    match reply, packet:
        case Reply(answer=Facts() as facts, took=took), Heading(sequence=sequence):
            what = f"packet {sequence} heard, answered in {took * 1000:.1f} ms, version {facts.version}"
            return ok(subject, f"{what}, incarnation {facts.incarnation.hex()}", seconds=took)
        case Reply(took=took), None if seen.listened < seen.cluster.heartbeat.interval + 1.0:
            what = f"answered in {took * 1000:.1f} ms; packets come every {seen.cluster.heartbeat.interval:g} s"
            why = f"{what}, and the doctor listened for {seen.listened:.1f} s"
            return not_measured(subject, why, "whether the other nodes hear it is below: packets between nodes")
        case Reply(), None:
            why = f"answers at {node.notifier}, but sent no packet from {node.packets} within {seen.listened:.1f} s"
            return failed(
                subject, why, f"a firewall on the way? TCP ports {_ports(node)} must be open between all nodes"
            )
    return _silent(seen, node, packet)


def _silent(seen: Seen, node: NodeAddress, packet: Heading | Junk | None) -> Check:
    subject = f"node {node.name}"
    if packet is not None:
        why = f"sends packets from {node.packets}, but does not answer at {node.notifier}"
        return failed(subject, why, f"a firewall on port {node.port + 1}, or a daemon of an older version")
    said = [name for name, facts in seen.facts.items() if _of(facts, node.name).state == "STOPPED"]
    if said:
        return warning(subject, f"stopped as planned, {listed(said)} heard its goodbye", "start 'noroshi node' there")
    where = f"{node.address}, ports {_ports(node)}"
    hint = "is 'noroshi node' running there? If it is: address and ports in cluster.yaml, and firewalls on the way"
    if seen.cluster.security == "curve":
        hint += "; or its keys are not the ones known here (`noroshi check` on both)"
    return failed(subject, f"no answer and no packet from {where} within {seen.listened:.1f} s", hint)


def _impostor(seen: Seen, node: NodeAddress, reply: Reply | None, packet: Heading | Junk | None) -> Check | None:
    """Somebody is there, but not who should be."""
    subject, answer = f"node {node.name}", reply and reply.answer
    if isinstance(packet, Junk):
        return failed(subject, f"{node.packets} sends no packets of Noroshi ({packet.why})", _OTHER)
    if isinstance(packet, Heading) and (packet.cluster, packet.node) != (seen.cluster.name, node.name):
        why = f"{node.packets} sends packets of node {packet.node!r} of cluster {packet.cluster!r}"
        return failed(subject, why, "see addresses and ports in cluster.yaml, and `node` in the node file there")
    if isinstance(answer, Junk):
        return failed(subject, f"{node.notifier} answers with what is no answer ({answer.why})", _OTHER)
    if isinstance(answer, Failed):
        return failed(subject, f"refused: {answer.why}", "install one version, with one cluster.yaml, on all nodes")
    if isinstance(answer, Facts):
        return _disagrees(seen, node, answer, packet)
    return None if answer is None else failed(subject, "an answer that fits nothing", _OTHER)


_OTHER = "does another program have the port (ss -ltnp), or is another version of Noroshi installed there?"


def _disagrees(seen: Seen, node: NodeAddress, facts: Facts, packet: Heading | None) -> Check | None:
    subject = f"node {node.name}"
    if (facts.cluster, facts.node) != (seen.cluster.name, node.name):
        why = f"{node.notifier} answers as node {facts.node!r} of cluster {facts.cluster!r}"
        return failed(subject, why, "see addresses and ports in cluster.yaml, and `node` in the node file there")
    if packet is not None and packet.incarnation != facts.incarnation:
        both = f"{packet.incarnation.hex()} in packets, {facts.incarnation.hex()} in answers"
        return warning(
            subject, f"two incarnations: {both}", "it was restarted this moment, or two daemons share a name"
        )
    return None


def all_hear(seen: Seen) -> bool:
    """Whether each of the nodes that answer hears every other, in time and in the life that answered."""
    return not any(_is_deaf(heard, other) or heard.state != "UP" for _, heard, other in _paths(seen))


def _paths(seen: Seen) -> list[tuple[str, Heard, Facts]]:
    """Who hears, what it says of the one heard, and what that one says of itself."""
    facts = seen.facts
    return [(name, _of(own, other), facts[other]) for name, own in facts.items() for other in facts if other != name]


def _hearing(seen: Seen) -> Check:
    facts, paths = seen.facts, _paths(seen)
    deaf = [_deafness(name, heard, other) for name, heard, other in paths if _is_deaf(heard, other)]
    if deaf:
        hint = "the path between them, in that direction: firewalls, routes, the first port of the one not heard"
        return failed(_PACKETS, _some(deaf), hint, paths=deaf)
    late = [_deafness(name, heard, other) for name, heard, other in paths if heard.state != "UP"]
    if late:
        return warning(_PACKETS, _some(late), "packets are late: a busy host or network; ask again", paths=late)
    if len(facts) < 2:
        return not_measured(_PACKETS, f"{len(facts)} node answers, two are needed")
    return ok(_PACKETS, f"each of {len(facts)} nodes that answer hears every other", nodes=len(facts))


_PACKETS = "packets between nodes"


def _is_deaf(heard: Heard, other: Facts) -> bool:
    """SUSPECT is no more than late."""
    return heard.state not in ("UP", "SUSPECT") or heard.silent < 0 or heard.incarnation != other.incarnation


def _deafness(name: str, heard: Heard, other: Facts) -> str:
    earlier = heard.silent >= 0 and heard.incarnation != other.incarnation
    return f"{name} does not hear {heard.node} ({_state(heard)}{', an earlier start of it' * earlier})"


def _some(words: list[str]) -> str:
    more = f"; and {len(words) - 5} more" if len(words) > 5 else ""
    return "; ".join(words[:5]) + more


def _state(heard: Heard) -> str:
    return f"{heard.state}, " + ("never heard" if heard.silent < 0 else f"silent for {heard.silent:.1f} s")


def _of(facts: Facts, peer: str) -> Heard:
    return next((each for each in facts.heard if each.node == peer), Heard(peer, "UNKNOWN", b"", 0, -1.0))


def _versions(seen: Seen) -> Check:
    by_version: dict[str, list[str]] = {}
    for name, facts in seen.facts.items():
        by_version.setdefault(facts.version, []).append(name)
    words = [f"{version} on {listed(names)}" for version, names in by_version.items()]
    if not words:
        return not_measured("version", "no node daemon answers")
    if len(words) > 1:
        return warning("version", "; ".join(words), "update the others; the coordinator's node last")
    return ok("version", words[0])


def configuration(seen: Seen, digest: str | None) -> Check:
    """`digest` of cluster.yaml as it stands in the shared directory now; None where it could not be read."""
    facts = seen.facts
    if not facts:
        return not_measured("cluster.yaml", "no node daemon answers")
    own = digest or next(iter(facts.values())).digest
    others = [name for name, each in facts.items() if each.digest != own]
    what = "the file in the shared directory" if digest else "that of " + next(iter(facts))
    if others:
        why = f"{listed(others)} goes by another than {what}"
        return failed(
            "cluster.yaml", why, "restart those daemons, one after the other: it is read at the start", nodes=others
        )
    return ok("cluster.yaml", f"{len(facts)} node{'s' * (len(facts) != 1)} go by {what}, {own[:12]}", digest=own)


def clock(name: str, samples: Sequence[Reply]) -> Check:
    """How far a node's clock is from this one's: by the request that was answered fastest, within half its time."""
    timed = [(reply.took, reply.answer.now - reply.asked) for reply in samples if isinstance(reply.answer, Facts)]
    if not timed:
        return not_measured(f"clock of {name}", "it does not answer")
    took, ahead = min(timed)
    skew, bound = ahead / 1e6 - took / 2, took / 2
    where = f"{abs(skew):.3f} s {'ahead of' if skew > 0 else 'behind'} this node's, within {bound * 1000:.1f} ms"
    figures = {"skew": round(skew, 6), "bound": round(bound, 6)}
    if abs(skew) - bound > SKEW:
        hint = "nothing depends on it but the times that people read: see chronyc tracking or timedatectl on both"
        return warning(f"clock of {name}", where, hint, **figures)
    return ok(f"clock of {name}", where, **figures)


def keys(seen: Seen, ring: Keyring | None) -> Check:
    """Whether anything is encrypted; whether every node has a key, and all go by the same ones."""
    if ring is None:
        why = "security: none: nothing is encrypted or authenticated, whoever reaches the ports can take part"
        hint = "`noroshi keygen` on every node, then security: curve; until then a network of the cluster's own"
        return warning("keys", why, hint)
    missing = [name for name in seen.cluster.names if name not in ring.known]
    if missing:
        return failed("keys", f"no public key of {listed(missing)}", "run `noroshi keygen` there", missing=missing)
    others = [name for name, facts in seen.facts.items() if facts.keys != ring.digest]
    if others:
        why = f"{listed(others)} goes by other public keys than those there are now"
        return failed("keys", why, "restart those daemons: keys are read at the start", nodes=others)
    return ok("keys", f"security: curve, a key for each of {len(ring.known)} nodes, the same known everywhere")


def _ports(node: NodeAddress) -> str:
    return f"{node.port}-{node.port + 2}"
