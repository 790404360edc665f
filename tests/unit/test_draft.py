"""A definition while it is written: what is refused, what is rehearsed, what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from noroshi.console.app import drafts
from noroshi.console.app.draft import Base, check, copy_of, difference, rehearse, template
from noroshi.console.app.drafts import Draft
from noroshi.store.explain import Facts
from noroshi.store.model import Definition, Destination
from noroshi.store.silences import Silence
from noroshi.store.views import State

NODES = ("db1", "db2")
NEW = Base(None, 0, None)
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
    told = rehearse(ONE, facts({"db1": "DOWN"}), [present])
    assert told[0] == "If raid/db1/md0 became ERROR now:"
    assert "told, any of a group is enough" in told[1]
    assert any("skipped  db1" in line and "node is down" in line for line in told)
    assert told[-1] == "It matches 1 of the events known now: raid/db1/md0 ERROR"


def test_a_difference_is_that_of_the_text_and_empty_where_nothing_differs() -> None:
    assert difference(ONE, ONE) == []
    assert all(line.startswith("+ ") for line in difference(None, ONE))
    assert all(line.startswith("- ") for line in difference(ONE, None))


def test_a_draft_is_kept_for_its_owner_alone_and_damage_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept = Draft("demo", "one", "event", 3, "events: []\n", 5)
    drafts.keep(kept)
    (file,) = (tmp_path / "noroshi" / "drafts").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert drafts.find("demo", "one", "event") == kept
    assert drafts.find("demo", None, "event") is drafts.find("other", "one", "event") is None
    file.write_bytes(b"{\xff")
    assert drafts.find("demo", "one", "event") is None
    drafts.drop("demo", "one", "event")
    drafts.drop("demo", "one", "event")
    assert not file.exists()
