"""What `explain` foresees is what the coordinator then does, whatever went before: on a real database, at random.

Rules: the same examples every time (NOROSHI_EXPLORE=1 tries others); an example that fails is told with all its steps.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from coordinating import BEGIN, Coordinating

from noroshi.node.wire import operating
from noroshi.node.wire.messages import Changed
from noroshi.store import views
from noroshi.store.explain import AFTER_ANSWERS, NOT_ALLOWING, RECOVERY, SAME, EventAsked, Explained, explain
from noroshi.store.model import Limit

DEFINITIONS = """
events:
  - name: all
    match: {event: "app/*", state: [ERROR, FATAL]}
    repeat: 20s
    escalate: 35s
    recovery: true
    notify: [{priority: 1, node: db2}, {priority: 2, node: db3}]
  - name: flapping
    match: {event: app/x, state: [ERROR, FATAL]}
    flap: {changes: 4, within: 30s}
    recovery: true
    notify: [{priority: 1, node: db2}]
  - name: few
    match: {event: "app/*", state: ERROR}
    limit: {count: 3, within: 15s}
    notify: [{priority: 1, node: db3}]
  - name: again
    match: {event: app/y}
    duplicates: allow
    notify: [{priority: 2, node: db4}, {priority: 1}]
"""

EXPLORE = bool(os.environ.get("NOROSHI_EXPLORE"))


class Story:
    """Random steps; before each report it is asked what would come of it."""

    def __init__(self, shared: Path, seed: int) -> None:
        self.desk, self._random, self._answered = Coordinating(shared), random.Random(seed), set[str]()
        self.told = [f"seed {seed}"]
        if limit := self._random.choice([None, Limit(3, 20.0), Limit(6, 20.0)]):
            self.desk.cluster = replace(self.desk.cluster, limit=limit)
            self.desk.take_over("db1")
        assert isinstance(self.desk.define(DEFINITIONS), Changed)

    def step(self) -> None:
        steps: dict[Callable[[], object], float] = {
            self.report: 10,
            self.answer: 8,
            self.wait: 4,
            self.silence: 1.5,
            self.end_silence: 1.5,
            self.acknowledge: 1,
            self.take_over: 1,
        }
        (chosen,) = self._random.choices([*steps], [*steps.values()])
        self.told.append(f"{chosen.__name__} {chosen()}")

    def report(self) -> str:
        event = self._random.choice(["app/x", "app/y", "app/z"])
        state = self._random.choice(["OK", "ERROR", "FATAL"])
        asked = EventAsked(event, state, self._random.choice(["", "worse"]), self._random.choice(["db2", "db4"]))
        said, before = self._explained(asked), len(self._history())
        self.desk.event(asked.event, asked.state, asked.supplement, asked.node)
        done = {
            str(row.definition): row
            for row in self._history()[before:]
            if row.event == event and row.notice in ("change", RECOVERY)
        }
        self._compare(asked, said, done)
        return str(asked)

    def _explained(self, asked: EventAsked) -> dict[str, Explained]:
        desk, cluster = self.desk, self.desk.cluster
        now = BEGIN + round(desk.seconds * 1_000_000)
        found = desk.query(lambda c: views.facts(c, asked.event, cluster.names, desk.node, now, cluster.limit))
        return {one.definition: one for one in explain(asked, found)}

    def _compare(self, asked: EventAsked, said: dict[str, Explained], done: dict[str, views.Notification]) -> None:
        story = "\n".join([*self.told, f"report {asked}"])
        assert done.keys() <= said.keys(), story
        for name, foreseen in said.items():
            row = done.get(name)
            if row is None:
                waits = foreseen.reason == RECOVERY and foreseen.groups[0].turn == AFTER_ANSWERS
                assert waits or foreseen.reason in (SAME, NOT_ALLOWING), f"{story}\n{foreseen}"
                continue
            held = row.status == "held"
            assert (foreseen.told, foreseen.reason == RECOVERY) == (not held, row.notice == RECOVERY), f"{story}\n{row}"
            if held:
                assert row.reason == foreseen.reason, story
            else:
                tried = [one.node for one in foreseen.groups[0].destinations]
                assert foreseen.groups[0].turn == "now", story
                assert [attempt.node for attempt in row.attempts] == tried, story

    def _history(self) -> tuple[views.Notification, ...]:
        return tuple(self.desk.query(lambda c: views.notifications(c, views.HistoryFilter(), 10_000)))

    def answer(self) -> str:
        out = [message.delivery for _, message in self.desk.deliveries if message.delivery not in self._answered]
        if not out:
            return "nobody"
        delivery, outcome = self._random.choice(out), self._random.choice(["delivered", "delivered", "failed"])
        self._answered.add(delivery)
        self.desk.answer(delivery, outcome)
        return outcome

    def wait(self) -> float:
        """As the coordinator asks to be woken."""
        seconds = self._random.choice([0.5, 3, 11, 22, 61])
        end = self.desk.seconds + seconds
        while (due := self.desk.due_in()) is not None and self.desk.seconds + due <= end:
            self.desk.wait(max(0.0, due))
        self.desk.wait(end - self.desk.seconds)
        return seconds

    def silence(self) -> str:
        pattern, node = self._random.choice([("app/*", ""), ("app/x", ""), ("", "db4"), ("", "db2")])
        duration, wait = self._random.choice([5.0, 30.0]), self._random.choice([0.0, 0.0, 6.0])
        self.desk.ask(operating.AddSilence(pattern, node, "ann", "", duration, wait))
        return f"{pattern}{node} {duration:g} s in {wait:g} s"

    def end_silence(self) -> int:
        number = self._random.randint(1, 4)
        self.desk.ask(operating.EndSilence("ann", number))
        return number

    def acknowledge(self) -> str:
        event, duration = self._random.choice(["app/x", "app/y"]), self._random.choice([None, 10.0])
        self.desk.ask(operating.Acknowledge(event, 0, "ann", "", duration, self._random.random() < 0.3))
        return event

    def take_over(self) -> str:
        node = self._random.choice(["db1", "db2"])
        self.desk.take_over(node)
        return node


@pytest.mark.parametrize("number", range(100 if EXPLORE else 8))
def test_what_is_foreseen_comes_to_pass(tmp_path: Path, number: int) -> None:
    story = Story(tmp_path / "shared", random.randrange(10**9) if EXPLORE else number)
    try:
        for _ in range(50):
            story.step()
    finally:
        story.desk.close()
