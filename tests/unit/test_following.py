"""Troubles where transcripts do not reach: every transition, timers that meet, definitions edited meanwhile."""

from __future__ import annotations

import pytest

from noroshi.node.core.following import (
    TABLE,
    Happened,
    Trouble,
    behind,
    due,
    follows,
    hastened,
    moved,
    postponed,
    timed,
    told,
    untimed,
)
from noroshi.store.model import Definition, Destination

SECOND = 1_000_000


def definition(*priorities: int, **fields: object) -> Definition:
    notify = tuple(Destination(priority, f"db{priority}") for priority in priorities)
    return Definition(name="disk", kind="event", state=("ERROR",), notify=notify, **fields)  # type: ignore[arg-type]


def trouble(**fields: object) -> Trouble:
    return Trouble(1, "disk", "raid/db1/md0", 0, **fields)  # type: ignore[arg-type]


def test_every_state_that_goes_on_has_an_arrow_for_everything() -> None:
    assert set(TABLE) == {(status, happened) for status in ("open", "recovering") for happened in Happened}


@pytest.mark.parametrize("happened", [Happened.AGAIN, Happened.LEFT, Happened.LEFT_MEANWHILE])
def test_told_anew_or_over_turns_the_timers_off(happened: Happened) -> None:
    after = moved(trouble(repeat_at=5, escalate_at=6), happened)
    assert (after.repeat_at, after.escalate_at, after.next_at) == (None, None, None)


def test_told_anew_begins_with_the_first_group() -> None:
    after = moved(trouble(floor=3, reached=3), Happened.AGAIN)
    assert (after.floor, after.reached) == (0, 0)


def test_what_is_not_asked_for_is_not_timed() -> None:
    assert not follows(definition(1))
    assert follows(definition(1, recovery=True))
    assert told(trouble(), definition(1, 2, recovery=True), "change", 1, 0, acknowledged=False).next_at is None
    assert told(trouble(), definition(1, 2, repeat=5.0), "change", 1, 0, acknowledged=True).next_at is None


def test_a_repeat_does_not_put_the_escalation_off() -> None:
    both = definition(1, 2, repeat=10.0, escalate=25.0)
    first = told(trouble(), both, "change", 1, 0, acknowledged=False)
    assert (first.repeat_at, first.escalate_at) == (10 * SECOND, 25 * SECOND)
    again = told(first, both, "repeat", 1, 12 * SECOND, acknowledged=False)
    assert (again.repeat_at, again.escalate_at) == (22 * SECOND, 25 * SECOND)


def test_where_both_are_due_the_escalation_goes_first_and_alone() -> None:
    both = definition(1, 2, 3, repeat=10.0, escalate=10.0)
    now = due(trouble(reached=1, repeat_at=5, escalate_at=5), both, 5)
    assert now is not None
    assert (now.notice, [one.priority for one in now.destinations]) == ("escalation", [2, 3])
    assert (now.trouble.floor, now.trouble.next_at) == (2, None)


def test_an_escalation_with_nowhere_to_go_leaves_the_repeat() -> None:
    one = definition(1, repeat=10.0, escalate=10.0)
    assert behind(trouble(reached=1), one) == ()
    now = due(trouble(reached=1, repeat_at=5, escalate_at=5), one, 5)
    assert now is not None
    assert now.notice == "repeat"
    assert due(trouble(reached=1, escalate_at=5), one, 5) is None
    assert due(trouble(reached=1, repeat_at=6), one, 5) is None


def test_a_repeat_begins_with_the_first_group_where_an_edit_took_the_others_away() -> None:
    now = due(trouble(floor=3, repeat_at=5), definition(1, repeat=10.0), 5)
    assert now is not None
    assert [one.priority for one in now.destinations] == [1]


def test_no_group_delivered_means_none_is_left_to_escalate_to() -> None:
    after = told(trouble(), definition(1, 2, escalate=10.0, repeat=20.0), "change", None, 0, acknowledged=False)
    assert (after.reached, after.escalate_at, after.repeat_at) == (2, None, 20 * SECOND)


def test_only_what_is_due_waits_for_a_silence_and_only_for_that_one() -> None:
    waiting = postponed(trouble(repeat_at=5, escalate_at=50), 10, 100)
    assert (waiting.repeat_at, waiting.escalate_at) == (100, 50)
    assert hastened(waiting, 99, 20) == waiting
    assert hastened(waiting, 100, 20).repeat_at == 20


def test_an_acknowledgement_ends_and_the_timers_begin() -> None:
    one = definition(1, 2, repeat=10.0, escalate=30.0)
    quiet = untimed(trouble(reached=1, repeat_at=1, escalate_at=2))
    assert quiet.next_at is None
    assert (timed(quiet, one, 0).repeat_at, timed(quiet, one, 0).escalate_at) == (10 * SECOND, 30 * SECOND)
