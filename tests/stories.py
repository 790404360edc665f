"""Stories at random: what nodes report, what is answered, what operators decide, and time, told to a coordinator."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from coordinating import Coordinating

from noroshi.node.wire import operating
from noroshi.node.wire.messages import Changed
from noroshi.store import views
from noroshi.store.model import Limit

DEFINITIONS = """
events:
  - name: all
    match: {event: "app/*", state: [ERROR, FATAL]}
    timeout: TIMEOUT
    repeat: 20s
    escalate: 35s
    recovery: true
    notify: [{priority: 1, node: db2}, {priority: 2, node: db3}]
  - name: flapping
    match: {event: app/x, state: [ERROR, FATAL]}
    timeout: TIMEOUT
    flap: {changes: 4, within: 30s}
    recovery: true
    notify: [{priority: 1, node: db2}]
  - name: few
    match: {event: "app/*", state: ERROR}
    timeout: TIMEOUT
    limit: {count: 3, within: 15s}
    notify: [{priority: 1, node: db3}]
  - name: again
    match: {event: app/y}
    timeout: TIMEOUT
    duplicates: allow
    notify: [{priority: 2, node: db4}, {priority: 1}]
  - name: both
    match: {event: "app/*", state: FATAL}
    timeout: TIMEOUT
    enough: all
    recovery: true
    limit: {count: 2, within: 12s}
    notify: [{priority: 1, node: db1}, {priority: 1, node: db4}, {priority: 2}]
  - {name: untold, match: {event: notification-failure}, timeout: TIMEOUT, notify: [{priority: 1, node: db3}]}
"""

Step = tuple[str, tuple[Any, ...]]
"""The name of a method of Told, and its arguments."""


def steps(seed: int, count: int) -> list[Step]:
    """So many; the same for the same seed."""
    chance = random.Random(seed)
    makers: dict[Callable[[], Step], float] = {
        lambda: ("report", (_one_of(chance, "app/x", "app/y", "app/z"), *_seen(chance))): 10,
        lambda: ("answer", (chance.random(), _one_of(chance, "delivered", "failed"))): 8,
        lambda: ("wait", (_one_of(chance, 0.5, 3.0, 6.0, 11.0, 61.0),)): 4,
        lambda: ("silence", (*_one_of(chance, ("app/*", ""), ("app/x", ""), ("", "db4")), *_when(chance))): 1.5,
        lambda: ("end_silence", (chance.randint(1, 4),)): 1.5,
        lambda: ("acknowledge", (_one_of(chance, "app/x", "app/y"), _one_of(chance, None, 10.0), _rarely(chance))): 1,
        lambda: ("take_over", (_one_of(chance, "db1", "db2"),)): 1,
    }
    return [made() for made in chance.choices([*makers], [*makers.values()], k=count)]


def _one_of(chance: random.Random, *things: Any) -> Any:
    return chance.choice(things)


def _seen(chance: random.Random) -> tuple[str, str, str]:
    """State, supplement, node."""
    return chance.choice(["OK", "ERROR", "FATAL"]), chance.choice(["", "worse"]), chance.choice(["db2", "db4"])


def _when(chance: random.Random) -> tuple[float, float]:
    """For how long, and in how long."""
    return chance.choice([5.0, 30.0]), chance.choice([0.0, 0.0, 6.0])


def _rarely(chance: random.Random) -> bool:
    return chance.random() < 0.3


class Told:
    """A coordinator that is told a story: the methods are the steps."""

    def __init__(self, shared: Path, seed: int, *, timeout: str = "10s") -> None:
        """Under one of several limits of the cluster's own, or none."""
        self.desk = Coordinating(shared)
        self._sent: list[str] = []
        self._answered: set[str] = set()
        if limit := random.Random(seed).choice([None, Limit(3, 20.0), Limit(6, 20.0)]):
            self.desk.cluster = replace(self.desk.cluster, limit=limit)
            self.desk.take_over("db1")
        said = self.desk.define(DEFINITIONS.replace("TIMEOUT", timeout))
        assert isinstance(said, Changed), said

    def tell(self, step: Step) -> None:
        name, arguments = step
        getattr(self, name)(*arguments)
        self._sent = list(dict.fromkeys([*self._sent, *(message.delivery for _, message in self.desk.deliveries)]))

    def history(self) -> tuple[views.Notification, ...]:
        return tuple(self.desk.query(lambda c: views.notifications(c, views.HistoryFilter(), 10_000)))

    def report(self, event: str, state: str, supplement: str, node: str) -> None:
        self.desk.event(event, state, supplement, node)

    def answer(self, which: float, outcome: str) -> None:
        """One of those that are out, or nobody."""
        out = [delivery for delivery in self._sent if delivery not in self._answered]
        if out:
            delivery = out[int(which * len(out))]
            self._answered.add(delivery)
            self.desk.answer(delivery, outcome)

    def wait(self, seconds: float) -> None:
        """As the coordinator asks to be woken."""
        end = self.desk.seconds + seconds
        while (due := self.desk.due_in()) is not None and self.desk.seconds + due <= end:
            self.desk.wait(max(0.0, due))
        self.desk.wait(end - self.desk.seconds)

    def silence(self, pattern: str, node: str, duration: float, wait: float) -> None:
        self.desk.ask(operating.AddSilence(pattern, node, "ann", "", duration, wait))

    def end_silence(self, number: int) -> None:
        self.desk.ask(operating.EndSilence("ann", number))

    def acknowledge(self, event: str, duration: float | None, withdraw: bool) -> None:
        self.desk.ask(operating.Acknowledge(event, 0, "ann", "", duration, withdraw))

    def take_over(self, node: str) -> None:
        self.desk.take_over(node)
