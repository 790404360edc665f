"""Fig. 7's table: every arrow of the publication, no other, and the rule of S6."""

from __future__ import annotations

import itertools

import pytest

from noroshi.node.core.fig7 import FINAL, TABLE, Found, NoArrow, Step, follow, judge

ARROWS_OF_THE_FIGURE = {
    ("S1", "S2"), ("S2", "S3"), ("S3", "S4"), ("S3", "S8"), ("S4", "S5"), ("S5", "S6"), ("S5", "S8"), ("S6", "S7"),
    ("S6", "S8"), ("S8", "S9"), ("S9", "S3"), ("S8", "S10"), ("S10", "S11"), ("S10", "S12"), ("S11", "S2"),
}  # fmt: skip


def test_the_table_has_the_arrows_of_the_figure() -> None:
    arrows = {(step.value, after.value) for (step, _), after in TABLE.items() if step is not after}
    # with several destinations in a group, one failure of an `any` group goes back to waiting for the others
    assert arrows - {("S6", "S5")} == ARROWS_OF_THE_FIGURE


@pytest.mark.parametrize(("step", "found"), sorted(set(itertools.product(Step, Found)) - set(TABLE)))
def test_a_pair_that_is_not_in_the_table_raises(step: Step, found: Found) -> None:
    with pytest.raises(NoArrow, match=f"{step.name}.*{found.name}"):
        follow(step, found)


def test_every_step_is_reached_and_only_the_final_ones_rest_for_good() -> None:
    assert set(TABLE.values()) | {Step.DEFINED} == set(Step)
    for step in FINAL:
        leaving = {found for (at, found), after in TABLE.items() if at is step and after is not step}
        assert leaving <= {Found.RAISED}, "only the new notification leaves S11, for S2"


@pytest.mark.parametrize(
    ("enough", "delivered", "failed", "waiting", "found"),
    [
        ("any", 0, 0, 2, Found.OTHERS_OUT),
        ("any", 1, 0, 1, Found.ENOUGH),
        ("any", 1, 1, 0, Found.ENOUGH),
        ("any", 0, 1, 1, Found.OTHERS_OUT),
        ("any", 0, 2, 0, Found.NOT_ENOUGH),
        ("all", 0, 0, 2, Found.OTHERS_OUT),
        ("all", 1, 0, 1, Found.OTHERS_OUT),
        ("all", 2, 0, 0, Found.ENOUGH),
        ("all", 0, 1, 1, Found.NOT_ENOUGH),
        ("all", 1, 1, 0, Found.NOT_ENOUGH),
    ],
)
def test_which_answers_are_enough(enough: str, delivered: int, failed: int, waiting: int, found: Found) -> None:
    assert judge(enough, delivered, failed, waiting) is found
