"""A definition while it is written: what is refused, what is rehearsed, what is kept of it."""

from __future__ import annotations

import difflib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.console.app import drafts
from noroshi.console.app.draft import Base, check, copy_of, difference, lines_apart, rehearse, sample, template
from noroshi.console.app.drafts import Draft
from noroshi.console.commands.explaining import LEADERLESS
from noroshi.store.explain import Facts
from noroshi.store.model import Definition, Destination
from noroshi.store.silences import Silence
from noroshi.store.views import State

NODES = ("db1", "db2")
NEW = Base(None, 0, None)
KEPT = Draft("demo", "one", "event", 3, "events: []\n", 5)
ONE = Definition(name="one", kind="event", event="raid/**", state=("ERROR",), notify=(Destination(1, "db1"),))


def facts(nodes: dict[str, str], silences: tuple[Silence, ...] = ()) -> Facts:
    return Facts((), ("ERROR", ""), nodes, frozenset(NODES), silences, "db2", {})


@pytest.mark.parametrize("text", [template("event", "db1"), template("log", "db1"), copy_of(ONE)])
def test_what_a_new_one_begins_with_has_no_problem(text: str) -> None:
    checked = check(text, NEW, NODES, {"new-definition": 3}, ())
    assert checked.problems == ()
    assert checked.definition is not None and checked.definition.name == "new-definition"
    assert checked.seen == 3, "it was there once, and removed"


@pytest.mark.parametrize(
    ("text", "base", "line", "says"),
    [
        ("events: []\n", NEW, 0, "here is no definition"),
        (template("log", "db1").replace("new-", "old-") + template("event", "db1"), NEW, 0, "here are 2 definitions"),
        (template("event", "db1"), Base("one", 1, ONE), 2, "this is definition 'one'"),
        (template("event", "db9"), NEW, 8, "unknown node 'db9'"),
        ("events:\n  - {name: taken, match: {event: x}}\n", NEW, 2, "there is a definition 'taken' already"),
    ],
)
def test_what_cannot_be_saved_is_said_with_its_line(text: str, base: Base, line: int, says: str) -> None:
    checked = check(text, base, NODES, {}, {"taken"})
    assert checked.definition is None
    assert (checked.problems[0].line, says in checked.problems[0].message) == (line, True)


def test_a_change_is_rehearsed_also_where_it_is_so_already() -> None:
    present = State("maintenance", "raid/db1/md0", "ERROR", "", "db1", 1, 0, 0, 0)
    asked = sample(ONE, [present], "db2")
    told = rehearse(ONE, asked, facts({"db1": "DOWN"}), [present])
    assert told[0] == "If raid/db1/md0 became ERROR now:"
    assert "told, any of a group is enough" in told[1]
    assert any("skipped  db1" in line and "node is down" in line for line in told)
    assert told[-1] == "It matches 1 of the events known now: raid/db1/md0 ERROR"


def test_a_rehearsal_without_a_leader_says_that_nothing_is_told() -> None:
    told = rehearse(ONE, sample(ONE, [], "db2"), replace(facts({}), own=None), [])
    assert told[:2] == ["If raid/x became ERROR now:", f"  {LEADERLESS}"]


def test_a_difference_is_that_of_the_text_and_empty_where_nothing_differs() -> None:
    assert difference(ONE, ONE) == []
    assert all(line.startswith("+ ") for line in difference(None, ONE))
    assert all(line.startswith("- ") for line in difference(ONE, None))


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "noroshi" / "drafts"


def test_a_draft_is_kept_for_its_owner_alone_and_damage_is_none(state_home: Path) -> None:
    claim = drafts.claim("demo", "one", "event")
    claim.keep(KEPT)
    file = state_home / next(each.name for each in state_home.iterdir() if each.suffix == ".json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert claim.find() == KEPT
    for other in (("demo", None, "event"), ("other", "one", "event")):
        apart = drafts.claim(*other)
        assert apart.find() is None
        apart.end()
    file.write_bytes(b"{\xff")
    assert claim.find() is None
    claim.end(forget=True)
    claim.end(forget=True)
    assert list(state_home.iterdir()) == []


def test_two_editors_at_a_time_have_a_draft_each_and_none_is_lost(state_home: Path) -> None:
    first, second = drafts.claim("demo", "one", "event"), drafts.claim("demo", "one", "event")
    first.keep(KEPT)
    second.keep(msgspec.structs.replace(KEPT, text="theirs"))
    assert first.find() == KEPT
    assert (first.elsewhere(), second.elsewhere()) == ((os.getpid(),), (os.getpid(),))
    first.end()
    assert second.elsewhere() == ()
    third = drafts.claim("demo", "one", "event")
    assert third.find() == KEPT, "the one that was left is offered again, the one in use is not"
    third.end(forget=True)
    second.end()
    again = drafts.claim("demo", "one", "event")
    assert again.find() == msgspec.structs.replace(KEPT, text="theirs")
    again.end(forget=True)


def test_after_its_end_a_claim_writes_and_removes_nothing(state_home: Path) -> None:
    """A check that is still under way in another thread comes too late."""
    first = drafts.claim("demo", "one", "event")
    first.end(forget=True)
    second = drafts.claim("demo", "one", "event")
    second.keep(KEPT)
    first.keep(msgspec.structs.replace(KEPT, text="late"))
    first.end(forget=True)
    assert second.find() == KEPT
    second.end(forget=True)


def test_a_console_that_was_killed_leaves_its_draft_to_the_next(state_home: Path) -> None:
    with editing_elsewhere() as other:
        mine = drafts.claim("demo", "one", "event")
        assert mine.find() is None
        assert mine.elsewhere() == (other.pid,)
        other.kill()
        other.wait()
        assert mine.elsewhere() == ()
        mine.end()
    left = drafts.claim("demo", "one", "event")
    assert left.find() == KEPT
    left.end(forget=True)


def test_a_claim_that_nobody_took_is_free_again(state_home: Path) -> None:
    drafts.claim("demo", "one", "event").keep(KEPT)
    gc.collect()
    assert drafts.claim("demo", "one", "event").find() == KEPT


def test_where_no_draft_can_be_kept_the_claim_says_why(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [drafts.claim("demo", "one", "event") for _ in range(drafts.MOST)]
    with pytest.raises(OSError, match="8 editors have it open"):
        drafts.claim("demo", "one", "event").keep(KEPT)
    for claim in claims:
        claim.end()
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    nowhere = drafts.claim("demo", "one", "event")
    assert (nowhere.find(), nowhere.elsewhere()) == (None, ())
    with pytest.raises(OSError, match="/proc/nowhere"):
        nowhere.keep(KEPT)
    nowhere.end(forget=True)


@contextmanager
def editing_elsewhere() -> Iterator[subprocess.Popen[str]]:
    """Another console of this operator, that has kept KEPT and goes on."""
    program = (
        "from noroshi.console.app import drafts; import sys\n"
        "claim = drafts.claim('demo', 'one', 'event')\n"
        f"claim.keep(drafts.Draft(*{tuple(getattr(KEPT, name) for name in KEPT.__struct_fields__)!r}))\n"
        "print('kept', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "kept\n"
            yield process
        finally:
            process.kill()


def test_a_difference_shows_both_texts_line_by_line() -> None:
    assert lines_apart(["a", "b", "c"], ["a", "x", "c", "d"]) == ["  a", "- b", "+ x", "  c", "+ d"]
    assert lines_apart([], ["a"]) == ["+ a"]
    assert lines_apart(["a "], []) == ["- a"]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_either_text_can_be_read_out_of_a_difference(before: list[str], after: list[str]) -> None:
    shown = lines_apart(before, after)
    assert [line[2:] for line in shown if line[0] != "+"] == before
    assert [line[2:] for line in shown if line[0] != "-"] == after


def test_long_texts_without_a_line_in_common_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The screen waits for it: no letter of a line is compared with those of another."""
    monkeypatch.setattr(difflib, "ndiff", None)
    before = [f"  - {{priority: {at}, node: db{at % 5}}}" for at in range(3000)]
    after = [f"  - {{priority: {at}, node: dc{at % 7}}}" for at in range(3000)]
    shown = lines_apart(before, after)
    assert (len(shown), shown[0], shown[3000]) == (6000, f"- {before[0]}", f"+ {after[0]}")
