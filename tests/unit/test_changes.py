"""Versions of definitions: what each changed, what two authors did at once, which nodes have left."""

from __future__ import annotations

from noroshi.store import changes
from noroshi.store.changes import Change
from noroshi.store.model import Definition, Destination
from noroshi.store.tables.definitions import VersionRow


def one(event: str, version: int = 0) -> Definition:
    return Definition(name="one", kind="event", event=event, version=version)


def row(version: int, definition: Definition | None, author: str = "ann") -> VersionRow:
    return VersionRow("one", version, definition, author, version * 1_000_000, f"note {version}")


HISTORY = [row(1, one("a", 1)), row(2, one("b", 2), "bob"), row(3, None), row(4, one("b", 4))]


def test_the_log_says_what_each_version_changed_in_the_one_before() -> None:
    assert [(each.version, each.author, each.lines) for each in changes.log(HISTORY)] == [
        (1, "ann", ("+ one event {event: a} -> the coordinator's own node",)),
        (2, "bob", ("~ one event: a -> b",)),
        (3, "ann", ("- one event {event: b} -> the coordinator's own node",)),
        (4, "ann", ("+ one event {event: b} -> the coordinator's own node",)),
    ]


def test_what_was_seen_last_is_no_conflict() -> None:
    change = Change("one", one("b"), one("c"))
    assert changes.conflicts([change], {"one": 4}, HISTORY) == []
    assert changes.conflicts([Change("two", None, one("c"))], {}, HISTORY) == []


def test_a_conflict_tells_theirs_and_yours() -> None:
    told = changes.conflicts([Change("one", one("b"), one("c"))], {"one": 1}, HISTORY[:2])
    assert told == [
        "one: version 1 was seen, version 2 of bob at 1970-01-01T00:00:02.000000Z is there",
        "  theirs: ~ one event: a -> b",
        "  yours, on top of it: ~ one event: b -> c",
    ]


def test_what_somebody_removed_or_made_meanwhile_is_a_conflict_too() -> None:
    removed = changes.conflicts([Change("one", None, one("c"))], {"one": 2}, HISTORY[:3])
    assert "theirs: - one event {event: b}" in removed[1]
    made = changes.conflicts([Change("one", one("a"), one("c"))], {}, HISTORY[:1])
    assert made[0].startswith("one: no version was seen, version 1 of ann")


def test_strangers_are_named_once_and_patterns_are_none() -> None:
    notify = (Destination(1, "db1"), Destination(2, "db9"), Destination(3, "db9"), Destination(4))
    assert changes.strangers(Definition(name="x", kind="event", notify=notify), ["db1"]) == ["db9"]
    assert changes.strangers(Definition(name="x", kind="log", node="db8"), ["db1"]) == ["db8"]
    assert changes.strangers(Definition(name="x", kind="log", node="db*"), ["db1"]) == []


def test_what_a_file_says_it_has_seen_is_read_back() -> None:
    seen = {"one": 4, "a.b-c_d": 12, "狼煙": 1}
    assert changes.seen_in(changes.seen_line(seen) + "\nevents: []\n") == seen
    assert changes.seen_in(changes.seen_line({})) == {}
    assert changes.seen_in("events: []  # versions: one=1\n") is None
    assert changes.seen_in("# versions: one\n") is None
