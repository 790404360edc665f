"""Versions as the coordinator makes them: rolled back, refused, and none made where nothing changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from coordinating import Coordinating

from noroshi.node.wire.messages import Changed, ImportDefinitions, Refused, Reply
from noroshi.node.wire.operating import RollBack
from noroshi.store import views

ONE = "events: [{name: one, match: {event: a}}]"
TWO = "events: [{name: one, match: {event: b}}]"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Coordinating]:
    desk = Coordinating(tmp_path / "shared")
    desk.define(ONE)
    yield desk
    desk.close()


def versions(desk: Coordinating) -> list[tuple[int, str, str]]:
    rows = desk.query(lambda c: views.definition_versions(c, "one"))
    return [(row.version, row.author, row.note) for row in rows]


def rolled_back(desk: Coordinating, to: int = 0, seen: int | None = None) -> Reply:
    return desk.ask(RollBack("one", to, versions(desk)[-1][0] if seen is None else seen, "bob"))


def test_back_and_forth_makes_versions_with_their_author(there: Coordinating) -> None:
    there.define(TWO)
    assert isinstance(rolled_back(there), Changed)
    assert versions(there) == [
        (1, "ann", "import definitions.yaml"),
        (2, "ann", "import definitions.yaml"),
        (3, "bob", "roll-back to version 1"),
    ]


def test_what_changes_nothing_makes_no_version(there: Coordinating) -> None:
    reply = rolled_back(there, to=1)
    assert isinstance(reply, Changed) and reply.lines == []
    there.define(ONE)
    assert len(versions(there)) == 1


def test_before_the_first_version_there_is_none(there: Coordinating) -> None:
    reply = rolled_back(there)
    assert isinstance(reply, Refused)
    assert (reply.message, reply.hint) == ("one has one version, none before it", "`noroshi definitions remove one`")


def test_one_that_was_faster_is_a_conflict(there: Coordinating) -> None:
    there.define(TWO)
    reply = rolled_back(there, to=1, seen=1)
    assert isinstance(reply, Refused) and reply.code == "conflict"
    assert "version 1 was seen, version 2 of ann" in reply.message and "theirs: ~ one event: a -> b" in reply.message
    stale = there.ask(ImportDefinitions("events: [{name: one, match: {event: c}}]", "f", "bob", seen={"one": 1}))
    assert isinstance(stale, Refused) and "yours, on top of it: ~ one event: b -> c" in stale.message
    assert len(versions(there)) == 2
