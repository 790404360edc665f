"""A coordinator restored from the database behaves as the one that never stopped (design section 7): at random.

Rules: no time limit passes, for it begins again in full. The same stories every time (NOROSHI_EXPLORE=1 tells others).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from stories import Told, steps

EXPLORE = bool(os.environ.get("NOROSHI_EXPLORE"))
LONG = "1h"


def outcome(told: Told) -> list[tuple[object, ...]]:
    """The history without what differs in any two runs: ids."""
    return [
        (
            *(row.definition, row.event, row.state, row.notice, row.status, row.reason),
            *((attempt.priority, attempt.node, attempt.outcome, attempt.reason) for attempt in row.attempts),
        )
        for row in told.history()
    ]


OVER, LOST = "taken over after each step", "each turn lost before its commit"
STORIES = (
    [(how, number) for how in (OVER, LOST) for number in range(50)] if EXPLORE else [(OVER, 12), (LOST, 1), (LOST, 12)]
)


@pytest.mark.parametrize(("how", "number"), STORIES)
def test_whatever_went_before(tmp_path: Path, how: str, number: int) -> None:
    seed = random.randrange(10**9) if EXPLORE else number
    steady, troubled = (Told(tmp_path / name, seed, timeout=LONG) for name in ("steady", "troubled"))
    troubled.desk.crashing = how == LOST
    story = [step for step in steps(seed, 40) if step[0] != "take_over" and step != ("wait", (61.0,))]
    try:
        for count, step in enumerate(story, 1):
            steady.tell(step)
            troubled.tell(step)
            if how == OVER:
                troubled.take_over(troubled.desk.node)
            assert outcome(troubled) == outcome(steady), f"seed {seed}, after {story[:count]}"
    finally:
        steady.desk.close()
        troubled.desk.close()
