"""What `explain` foresees is what the coordinator then does, whatever went before: on a real database, at random.

Rules: the same stories every time (NOROSHI_EXPLORE=1 tells others); one that fails is told with all its steps.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from coordinating import BEGIN
from stories import Step, Told, steps

from noroshi.store import views
from noroshi.store.explain import AFTER_ANSWERS, NOT_ALLOWING, RECOVERY, SAME, EventAsked, Explained, explain

EXPLORE = bool(os.environ.get("NOROSHI_EXPLORE"))


def explained(told: Told, asked: EventAsked) -> dict[str, Explained]:
    desk, cluster = told.desk, told.desk.cluster
    now = BEGIN + round(desk.seconds * 1_000_000)
    found = desk.query(lambda c: views.facts(c, asked.event, cluster.names, desk.node, now, cluster.limit))
    return {one.definition: one for one in explain(asked, found)}


def compare(said: dict[str, Explained], done: dict[str, views.Notification]) -> None:
    assert done.keys() <= said.keys()
    for name, foreseen in said.items():
        row = done.get(name)
        if row is None:
            waits = foreseen.reason == RECOVERY and foreseen.groups[0].turn == AFTER_ANSWERS
            assert waits or foreseen.reason in (SAME, NOT_ALLOWING), foreseen
            continue
        held = row.status == "held"
        assert (foreseen.told, foreseen.reason == RECOVERY) == (not held, row.notice == RECOVERY), row
        if held:
            assert row.reason == foreseen.reason
        else:
            assert foreseen.groups[0].turn == "now"
            tried = [one.node for one in foreseen.groups[0].destinations]
            assert [attempt.node for attempt in row.attempts] == tried


def play(told: Told, story: Sequence[Step]) -> None:
    for step in story:
        if step[0] != "report":
            told.tell(step)
            continue
        asked = EventAsked(*step[1])
        said, before = explained(told, asked), len(told.history())
        told.tell(step)
        new = [row for row in told.history()[before:] if row.event == asked.event]
        compare(said, {str(row.definition): row for row in new if row.notice in ("change", RECOVERY)})


@pytest.mark.parametrize("number", range(100 if EXPLORE else 8))
def test_what_is_foreseen_comes_to_pass(tmp_path: Path, number: int) -> None:
    seed = random.randrange(10**9) if EXPLORE else number
    told, story = Told(tmp_path / "shared", seed), steps(seed, 50)
    try:
        play(told, story)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, of {story}") from error
    finally:
        told.desk.close()
