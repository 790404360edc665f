"""Asking the nodes for the steps of one measurement, and keeping what went wrong with them.

Rules: a node whose disk does not answer, or where another doctor measures, is asked no more; any other trouble belongs
to the check that met it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from noroshi.node.wire.panel import Junk, Panel
from noroshi.node.wire.probing import Answer, Failed, Step
from noroshi.store.config import NodeAddress

PATIENCE = 8.0
"""Seconds beyond a step's own: a daemon gives a hung disk up after 5 and has 2 to end the process that waits."""

A = TypeVar("A")


class Round:
    """`nodes` are those still asked; of the others `hung` says why, and `busy` names those of another doctor."""

    def __init__(self, panel: Panel, nodes: Sequence[NodeAddress]) -> None:
        self._panel = panel
        self.nodes = list(nodes)
        self.hung: dict[str, str] = {}
        self.busy: list[str] = []
        self._troubles: list[str] = []

    def all(self, step: Step, kind: type[A]) -> dict[str, A]:
        """What every node answered."""
        return self.ask(dict.fromkeys(self.nodes, step), kind)

    def others(self, node: NodeAddress, step: Step, kind: type[A]) -> dict[str, A]:
        """What every node but this one answered."""
        return self.ask({each: step for each in self.nodes if each is not node}, kind)

    def one(self, node: NodeAddress, step: Step, kind: type[A]) -> A | None:
        """What one node answered, None where it did not."""
        return self.ask({node: step}, kind).get(node.name)

    def ask(self, steps: Mapping[NodeAddress, Step], kind: type[A] | tuple[type[A], ...]) -> dict[str, A]:
        """The answers of that kind, or those kinds, by node; what else came, or did not, is among the troubles."""
        limit = PATIENCE + max((float(getattr(step, "seconds", 0.0)) for step in steps.values()), default=0.0)
        asked = {node: step for node, step in steps.items() if node in self.nodes}
        replies = self._panel.ask(asked, limit)
        answers: dict[str, A] = {}
        for node in asked:
            reply = replies.get(node.name)
            answer = reply.answer if reply else Failed("hung", f"its daemon gave no answer within {limit:g} s")
            if isinstance(answer, kind):
                answers[node.name] = answer
            else:
                self._trouble(node, answer)
        return answers

    def troubles(self) -> list[str]:
        """What went wrong since this was asked last, each with its node."""
        troubles, self._troubles = self._troubles, []
        return troubles

    def _trouble(self, node: NodeAddress, answer: Answer | Junk) -> None:
        code = answer.code if isinstance(answer, Failed) else ""
        why = answer.why if isinstance(answer, (Failed, Junk)) else f"an answer that fits nothing: {answer!r:.80}"
        if code == "hung":
            self.hung[node.name] = why
        elif code == "busy":
            self.busy.append(node.name)
        else:
            self._troubles.append(f"{node.name}: {why}")
            return
        self.nodes = [each for each in self.nodes if each is not node]
