"""Figure 7 as a table: what follows each step, by what the step found.

Role: every transition of a notification stands in TABLE and nowhere else; the engine does what a step says and asks
here where to go. The steps carry the numbers of the figure (spec 4):

    S1 defined? -> S2 first group -> S3 anyone live? -> S4 send -> S5 wait -> S6 enough? -> S7 done
                                       |  ^                          |           |
                                       v  '------- S9 next <----.    v           v
                                       '----------------------> S8 another group?
                                                                 '-> S10 -> S11 notification failure, to S2 with it
                                                                       '-> S12 abnormal end

Rules: a pair that is not in the table raises NoArrow and changes nothing. A notification rests in S5, and for good in
S7, S11 or S12; all other steps are passed through within one input.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Status = Literal["delivered", "failed", "abandoned"]
"""How a notification ends; `pending` before that."""


class NoArrow(LookupError):
    """The figure has no such arrow: an error of this program, never of its input."""


class Step(StrEnum):
    """The steps of fig. 7."""

    DEFINED = "S1"
    FIRST_GROUP = "S2"
    LIVENESS = "S3"
    SEND = "S4"
    WAIT = "S5"
    JUDGE = "S6"
    DONE = "S7"
    NEXT_GROUP = "S8"
    TAKE_NEXT = "S9"
    KIND = "S10"
    RAISE = "S11"
    ABANDON = "S12"


class Found(StrEnum):
    """What a step found, or what reached a notification that waits or has ended."""

    IS_DEFINED = "a definition matches"
    TAKEN = "group taken"
    LIVE = "a node of the group is live"
    ALL_DOWN = "every node of the group is down"
    SENT = "sent to every live node"
    ANSWERED = "an answer came"
    TIME_OVER = "time limit over"
    NODE_LOST = "node went down"
    OTHERS_OUT = "others may still answer"
    ENOUGH = "enough delivered"
    NOT_ENOUGH = "not enough can deliver"
    ANOTHER = "there is another group"
    NONE_LEFT = "no group left"
    ORDINARY = "it was not a notification failure"
    FAILURE = "it was a notification failure"
    TEST = "it was a test"
    RAISED = "notification failure raised"
    STRAGGLER = "an attempt ended that decides nothing any more"


TABLE: Mapping[tuple[Step, Found], Step] = MappingProxyType(
    {
        (Step.DEFINED, Found.IS_DEFINED): Step.FIRST_GROUP,
        (Step.FIRST_GROUP, Found.TAKEN): Step.LIVENESS,
        (Step.LIVENESS, Found.LIVE): Step.SEND,
        (Step.LIVENESS, Found.ALL_DOWN): Step.NEXT_GROUP,
        (Step.SEND, Found.SENT): Step.WAIT,
        (Step.WAIT, Found.ANSWERED): Step.JUDGE,
        (Step.WAIT, Found.TIME_OVER): Step.NEXT_GROUP,
        (Step.WAIT, Found.NODE_LOST): Step.NEXT_GROUP,
        (Step.WAIT, Found.OTHERS_OUT): Step.WAIT,
        (Step.WAIT, Found.STRAGGLER): Step.WAIT,
        (Step.JUDGE, Found.ENOUGH): Step.DONE,
        (Step.JUDGE, Found.OTHERS_OUT): Step.WAIT,
        (Step.JUDGE, Found.NOT_ENOUGH): Step.NEXT_GROUP,
        (Step.NEXT_GROUP, Found.ANOTHER): Step.TAKE_NEXT,
        (Step.NEXT_GROUP, Found.NONE_LEFT): Step.KIND,
        (Step.TAKE_NEXT, Found.TAKEN): Step.LIVENESS,
        (Step.KIND, Found.ORDINARY): Step.RAISE,
        (Step.KIND, Found.FAILURE): Step.ABANDON,
        (Step.KIND, Found.TEST): Step.ABANDON,
        (Step.RAISE, Found.RAISED): Step.FIRST_GROUP,
        (Step.DONE, Found.STRAGGLER): Step.DONE,
        (Step.RAISE, Found.STRAGGLER): Step.RAISE,
        (Step.ABANDON, Found.STRAGGLER): Step.ABANDON,
    }
)
"""The arrow S11 -> S2 is walked by the new notification that tells of the failure; the failed one stays in S11.

A test is no news: one that fails is recorded as ended and raises nothing, as a failure of a failure does.
"""

FINAL: Mapping[Step, Status] = MappingProxyType(
    {Step.DONE: "delivered", Step.RAISE: "failed", Step.ABANDON: "abandoned"}
)
"""Where a notification rests for good, and the status that gives it."""


def follow(step: Step, found: Found) -> Step:
    """The step after `step`. Raises NoArrow."""
    try:
        return TABLE[step, found]
    except KeyError:
        raise NoArrow(f"fig. 7 has no arrow from {step.name} ({step.value}) on {found.name}") from None


def judge(enough: Literal["any", "all"], delivered: int, failed: int, waiting: int) -> Found:
    """S6: how a group stands, by the number of its live destinations that delivered, failed, have not answered.

    `any`: the first delivered is enough. `all`: the first failure is the end of the group (spec 4.6).
    """
    if enough == "any":
        if delivered:
            return Found.ENOUGH
        return Found.OTHERS_OUT if waiting else Found.NOT_ENOUGH
    if failed:
        return Found.NOT_ENOUGH
    return Found.OTHERS_OUT if waiting else Found.ENOUGH
