"""What is shown old is said to be old, and why; and it is said no longer once it is not."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path

import pytest
from filling import layout_of, leading
from pilots import Console, console

from noroshi.console.app.claimants import Claimants
from noroshi.console.app.freshness import WHAT_NOW, Freshness, as_of, warning
from noroshi.console.app.reading import Health
from noroshi.console.queries import WHY_UNHEARD, Leader, Leadership
from noroshi.console.times import SECOND, Clockface
from noroshi.store.claims import ClaimFile

NOW = 1_763_780_645 * SECOND
LED = Leadership(True, Leader("db1", 3, NOW))
GONE = Leadership(False, Leader("db1", 3, NOW))
GOOD = Health(100.0, NOW)
UNHEARD = Health(100.0, NOW, unheard_by=("db2", "db3"))


@pytest.mark.parametrize(
    ("known", "now", "said"),
    [
        (Freshness(GOOD, 0.0, LED), 100.5, ""),
        (Freshness(GOOD, 0.0), 100.5, ""),
        (Freshness(Health(), 100.0), 101.0, ""),
        (
            Freshness(Health(), 100.0),
            112.0,
            "DISK NOT READABLE 12 s, nothing was read yet: it does not answer",
        ),
        (
            Freshness(GOOD, 0.0, LED),
            112.0,
            "DISK NOT READABLE 12 s, showing what was read at 03:04:05Z: it does not answer",
        ),
        (Freshness(Health(100.0, NOW, "input/output error"), 0.0, LED), 100.5, ""),
        (
            Freshness(Health(100.0, NOW, "input/output error\x1b[2J"), 0.0, GONE),
            102.0,
            "DISK NOT READABLE 2 s, showing what was read at 03:04:05Z: input/output error␛[2J",
        ),
        (
            Freshness(Health(None, None, "no database yet", True), 0.0, LED),
            1.0,
            "WAITING: no database yet",
        ),
        (
            Freshness(Health(100.0, NOW, "no database yet", True), 0.0, LED),
            105.0,
            "DISK NOT READABLE 5 s, showing what was read at 03:04:05Z: no database yet",
        ),
        (
            Freshness(GOOD, 0.0, GONE, NOW - 5 * SECOND, NOW - 9 * SECOND),
            100.5,
            "COORDINATOR GONE since 03:04:00Z (last was db1, term 3), data of 03:03:56Z",
        ),
        (
            Freshness(GOOD, 0.0, GONE, None, NOW - 86400 * SECOND),
            100.5,
            f"COORDINATOR GONE (last was db1, term 3), data of 11-21 03:04:05Z; {WHAT_NOW}",
        ),
        (
            Freshness(GOOD, 0.0, GONE, NOW - 21 * SECOND, NOW - 30 * SECOND),
            100.5,
            f"COORDINATOR GONE since 03:03:44Z (last was db1, term 3), data of 03:03:35Z; {WHAT_NOW}",
        ),
        (Freshness(GOOD, 90.0, Leadership(False, None)), 100.5, "COORDINATOR GONE"),
        (
            Freshness(UNHEARD, 90.0, LED, None, NOW - 9 * SECOND, 3),
            100.5,
            f"COORDINATOR db1 NOT HEARD by db2, db3, data of 03:03:56Z: {WHY_UNHEARD}",
        ),
    ],
)
def test_the_warning_says_what_is_known(known: Freshness, now: float, said: str) -> None:
    assert warning(known, now, NOW, Clockface()) == said


@pytest.mark.parametrize(
    ("known", "now", "instant"),
    [
        (Freshness(GOOD, 0.0, LED, written_at=NOW - 9 * SECOND), 100.5, None),
        (Freshness(GOOD, 0.0, written_at=NOW - 9 * SECOND), 100.5, None),
        (Freshness(GOOD, 0.0, GONE, NOW - 5 * SECOND, NOW - 9 * SECOND), 100.5, NOW - 5 * SECOND),
        (Freshness(GOOD, 0.0, GONE, None, NOW - 9 * SECOND), 100.5, NOW - 9 * SECOND),
        (Freshness(GOOD, 0.0, LED, written_at=NOW - 9 * SECOND), 112.0, NOW),
        (Freshness(GOOD, 0.0, GONE, NOW - 5 * SECOND), 112.0, NOW - 5 * SECOND),
        (Freshness(Health(), 0.0, GONE), 112.0, None),
        (Freshness(UNHEARD, 0.0, LED, None, NOW - 9 * SECOND, 3), 100.5, NOW - 9 * SECOND),
        (Freshness(UNHEARD, 0.0, LED, None, NOW - 9 * SECOND, 5), 100.5, None),
    ],
)
def test_what_is_shown_is_known_of_an_instant(known: Freshness, now: float, instant: int | None) -> None:
    assert as_of(known, now) == instant


def test_nobody_is_called_up_while_nobody_watches(filled: Path) -> None:
    """At three in the morning the word is read, not the line above it."""

    async def run() -> None:
        async with console(filled) as shown:
            with leading(layout_of(filled)) as order:
                order("node db2 UP")
                await shown.shows("● UP        db1", "● 3 UP")
            await shown.shows("COORDINATOR GONE since", "? UP", "? 3 UP")
            assert re.search(r"^\? UP \d+s ago +db1 ", shown.text, re.MULTILINE)
            assert "●" not in shown.text
            assert "▲ WARNING" in shown.text, "nobody has seen it end"
            assert shown.table.go_to("node db1")
            await shown.press("enter")
            await shown.shows("UP, as far as is known: nobody has watched it since 20")
            await shown.press("escape")
            with leading(layout_of(filled)):
                await shown.shows("● UP        db1", "● 3 UP")
                await shown.until("nothing is of the past", lambda: "ago" not in shown.text)

    asyncio.run(run())


def test_claims_that_move_for_a_while_are_told_and_dead_ones_are_not() -> None:
    claimants = Claimants()
    assert claimants.look({"db2": 7, "dead": 1}, 0.0) == ()
    for second in range(1, 8):
        told = claimants.look({"db2": 7 + second, "dead": 1}, float(second))
        assert told == (("db2",) if second >= 6 else ())
    assert claimants.look({"db2": 14, "dead": 1}, 21.9) == ("db2",), "a heartbeat may be slow"
    assert claimants.look({"db2": 14, "dead": 1}, 22.1) == ()
    assert claimants.look({"db2": 15, "dead": 1}, 23.0) == (), "and begins anew"
    assert claimants.look({"db2": 16}, 28.0) == ("db2",)
    assert claimants.look({}, 29.0) == ()


def test_a_coordinator_that_holds_the_lock_and_is_not_heard_watches_nobody(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host hangs: the lock stays held, the others claim the role, and all of them still stood there as UP."""
    monkeypatch.setattr("noroshi.console.app.claimants.LASTING", 0.5)
    claims = [ClaimFile(layout_of(filled), node, b"12345678") for node in ("db2", "db3")]

    async def claimed_until(shown: Console, text: str) -> None:
        for _ in range(300):
            for claim in claims:
                claim.renew(1)
            if text in shown.text:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"no {text}\n{shown.text}")

    async def run() -> None:
        with leading(layout_of(filled)):
            async with console(filled) as shown:
                await shown.shows("● UP        db1")
                await claimed_until(shown, "COORDINATOR db1 NOT HEARD by db2, db3")
                await claimed_until(shown, "? UP ")
                for claim in claims:
                    claim.withdraw()
                await shown.shows("● UP        db1")
                await shown.until("no warning", lambda: "NOT HEARD" not in shown.text)

    asyncio.run(run())


def test_what_was_read_before_the_disk_went_is_of_the_past(filled: Path) -> None:
    shared, away = layout_of(filled).shared, filled.parent / "away"

    async def run() -> None:
        with leading(layout_of(filled)):
            async with console(filled) as shown:
                await shown.shows("● UP        db1")
                shared.rename(away)
                await shown.shows("DISK NOT READABLE", "? 2 UP", "? UP")
                away.rename(shared)
                await shown.shows("● UP        db1")

    asyncio.run(run())


def test_a_coordinator_that_dies_is_missed_and_its_successor_seen(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("COORDINATOR GONE (last was db1, term 1)", "✖ NO COORDINATOR")
            with leading(layout_of(filled)):
                await shown.shows("coordinator db1 term 2")
                await shown.until("no warning", lambda: "GONE" not in shown.text)
            await shown.shows("COORDINATOR GONE since", "data of")
            with leading(layout_of(filled)):
                await shown.shows("coordinator db1 term 3")
                await shown.until("no warning", lambda: "GONE" not in shown.text)

    asyncio.run(run())


def test_it_opens_before_there_is_a_database_and_waits(file: Path) -> None:
    async def run() -> None:
        async with console(file) as shown:
            await shown.shows("WAITING: no database yet")
            with leading(layout_of(file)) as order:
                order("line the very first")
                await shown.shows("NODES", "db1", "? 3 UNKNOWN")
                await shown.open_log()
                await shown.shows("the very first")

    asyncio.run(run())


def test_a_disk_that_vanishes_is_said_and_what_was_read_stays_and_it_recovers(filled: Path) -> None:
    shared, away = layout_of(filled).shared, filled.parent / "away"

    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            shared.rename(away)
            await shown.shows("DISK NOT READABLE", "showing what was read at")
            assert "app/orders" in shown.text
            away.rename(shared)
            await shown.until("no such warning", lambda: "DISK" not in shown.text)

    asyncio.run(run())


def test_a_disk_that_hangs_is_said_and_does_not_keep_the_operator(filled: Path) -> None:
    """The mark becomes a FIFO nobody writes to: opening it blocks, as an unreachable disk does."""
    mark = layout_of(filled).mark
    kept = mark.read_bytes()

    async def run() -> float:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            mark.unlink()
            os.mkfifo(mark)
            await shown.shows("DISK NOT READABLE", "it does not answer")
            await shown.press("j", "2")
            await shown.shows("FOLLOWING", "giving up on db2")
            return time.monotonic()

    left = asyncio.run(run())
    assert time.monotonic() - left < 20, "it would hang until the disk answers"
    # let the thread that hangs go
    releasing = os.open(mark, os.O_RDWR | os.O_NONBLOCK)
    mark.unlink()
    mark.write_bytes(kept)
    os.close(releasing)


def test_a_cluster_file_under_edit_does_not_blind_the_console(filled: Path) -> None:
    cluster = layout_of(filled).cluster
    good = cluster.read_text()

    async def run() -> None:
        with leading(layout_of(filled)) as order:
            async with console(filled) as shown:
                await shown.shows("app/orders")
                cluster.write_text("cluster: [broken")
                order("event app/later ERROR while edited")
                await shown.shows("app/later")
                cluster.write_text(good + "  db4: {address: 127.0.0.1, port: 7500}\n")
                order("event app/last ERROR x")
                await shown.shows("db4", "? 1 UNKNOWN")

    asyncio.run(run())
