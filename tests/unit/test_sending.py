"""The sender's decisions: pauses grow, a poisoned batch is narrowed down to its one item, nothing else is set aside."""

from __future__ import annotations

from noroshi.node.core.sending import BATCH_ITEMS, Next, Sending


def test_pauses_grow_and_success_ends_them() -> None:
    sending = Sending()
    pauses = [sending.failed().pause for _ in range(12)]
    assert pauses[0] > 0 and pauses == sorted(pauses) and pauses[-1] == pauses[-2] <= 5.0
    assert sending.advanced() == Next(0.0)
    assert sending.failed().pause == pauses[0]


def narrow(poison: set[int], total: int) -> tuple[list[int], list[int], int]:
    """Send 1 .. total to a receiver that refuses every batch with a poisoned item: taken, set aside, tries."""
    sending, at, tries = Sending(), 1, 0
    taken: list[int] = []
    aside: list[int] = []
    while at <= total:
        tries += 1
        assert tries < 500, "it does not end"
        batch = list(range(at, min(at + sending.limit, total + 1)))
        if poison - set(aside) & set(batch):
            step = sending.bad(len(batch), substitute=False)
            assert step.pause > 0 or step.set_aside
            aside += batch if step.set_aside else []
            assert not step.set_aside or len(batch) == 1
        else:
            sending.advanced()
            taken += batch
            at = batch[-1] + 1
    return taken, aside, tries


def test_exactly_the_poisoned_items_are_set_aside() -> None:
    for poison in ({1}, {700}, {2000}, {3, 4, 1500}, set()):
        taken, aside, tries = narrow(poison, 2000)
        assert taken == list(range(1, 2001))
        assert set(aside) == poison
        assert tries <= 1 + 40 * len(poison)


def test_one_refusal_sets_nothing_aside() -> None:
    sending = Sending()
    assert not sending.bad(1, substitute=False).set_aside
    sending.advanced()
    assert not sending.bad(1, substitute=False).set_aside
    assert sending.limit == BATCH_ITEMS


def test_a_receiver_that_refuses_the_notice_too_is_waited_for() -> None:
    sending = Sending()
    sending.bad(1, substitute=False)
    assert sending.bad(1, substitute=False).set_aside
    step = sending.bad(1, substitute=True)
    assert step.give_back and step.pause >= 1 and not step.set_aside
