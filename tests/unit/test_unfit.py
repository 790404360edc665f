"""A deferred item that cannot be worked on, or not even be read: kept on the shared disk, told, and passed."""

from __future__ import annotations

import errno
import json
import os
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from coordinating import BEGIN, Coordinating

from noroshi.node.core.batches import Batch, narrowed
from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import EventBatch, Heard, LineBatch, LogPart, Report, Unfit
from noroshi.store import aside, views
from noroshi.store.errors import DiskFailed, DiskFull
from noroshi.store.tables import streams

STREAM = b"a stream of db2."
BEYOND = 2**63
"""An instant that is no integer of the database's."""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Coordinating]:
    there = Coordinating(tmp_path / "shared")
    yield there
    there.close()


def batch(first: int, last: int, oldest: int = 1, at: int = BEGIN) -> EventBatch:
    return EventBatch(STREAM, first, oldest, [Report(n, f"app/{n}", "OK", "", at) for n in range(first, last + 1)])


def unfit(one: Batch) -> Heard:
    (found,) = narrowed(one, "OverflowError: no")
    return Heard("db2", found)


def poison(number: int) -> Heard:
    return unfit(batch(number, number, at=BEYOND))


def told(there: Coordinating, event: str = "monitor/db2/streams") -> list[str]:
    found = there.query(lambda c: views.events(c, views.EventFilter(event=event), 1000))
    return [f"{each.state} {each.supplement}" for each in found]


def position(there: Coordinating) -> int | None:
    return there.query(lambda connection: streams.last(connection, STREAM))


def test_an_event_that_the_database_cannot_hold_fails_its_turn(there: Coordinating) -> None:
    """What the rest of this file goes by."""
    with pytest.raises(OverflowError):
        there.turn(Heard("db2", batch(1, 1, at=BEYOND)))


def test_it_is_kept_with_its_bytes_told_once_and_passed(there: Coordinating) -> None:
    there.turn(Heard("db2", batch(1, 2)), poison(3), Heard("db2", batch(4, 5)))
    (path,) = there.layout.set_aside()
    assert path.name == f"db2-deferred-{STREAM.hex()}-3.json"
    assert path.stat().st_mode & 0o022 == 0
    kept = json.loads(path.read_text())
    assert b64decode(kept["body"]) == encode(Report(3, "app/3", "OK", "", BEYOND))
    assert kept["item"] == [3, "app/3", "OK", "", BEYOND]
    assert (kept["node"], kept["kind"], kept["sequence"]) == ("db2", "deferred", 3)
    what = "deferred stream: an item cannot be worked on (OverflowError: no) and is set aside in"
    assert told(there) == [f"ERROR {what} {path}"]
    assert position(there) == 5
    there.turn(poison(3), Heard("db2", batch(4, 5)))  # its acknowledgement was lost
    there.take_over("db3")
    there.turn(poison(3))
    assert len(told(there)) == 1
    assert [event.split("/")[1] for event in names(there)] == ["1", "2", "4", "5"]


def names(there: Coordinating) -> list[str]:
    found = there.query(lambda c: views.events(c, views.EventFilter(event="app/*"), 1000))
    return [event.event for event in found]


NO_MESSAGE = b"\xc1\x00"
NIL_AS_KEY, TRUE_AS_KEY, ARRAY_AS_KEY = b"\x81\xc0\x01", b"\x81\xc3\x01", b"\x81\x91\x01\x01"
EXTENSION = b"\xd4\x05\x00"
DEEP = b"\x91" * 100_000 + b"\x01"


@pytest.mark.parametrize("body", [NO_MESSAGE, NIL_AS_KEY, TRUE_AS_KEY, ARRAY_AS_KEY, EXTENSION, DEEP])
def test_what_is_no_message_or_cannot_be_shown_is_kept_as_it_came(there: Coordinating, body: bytes) -> None:
    there.turn(Heard("db2", Unfit(STREAM, 7, 7, "outcomes", body, "no message")))
    (path,) = there.layout.set_aside()
    kept = json.loads(path.read_text())
    assert (b64decode(kept["body"]), kept["item"]) == (body, None)
    assert len(told(there)) == 1
    assert position(there) == 7


def test_bytes_within_an_item_can_be_read_too(there: Coordinating) -> None:
    part = LogPart(b"stream of a file", "/var/log/x", 0, 9, BEYOND, ["a line"], [9])
    there.turn(unfit(LineBatch(STREAM, 1, 1, [part])))
    (path,) = there.layout.set_aside()
    kept = json.loads(path.read_text())
    assert (b64decode(kept["item"][0]), kept["item"][5]) == (b"stream of a file", ["a line"])


def test_one_that_comes_too_early_is_not_kept(there: Coordinating) -> None:
    there.turn(Heard("db2", batch(1, 2)), poison(4))
    assert (there.layout.set_aside(), told(there), position(there)) == ([], [], 2)


def test_when_a_turn_is_lost_it_is_kept_once(there: Coordinating) -> None:
    there.crashing = True
    there.turn(poison(1))
    assert len(there.layout.set_aside()) == len(told(there)) == 1


def test_where_too_many_are_kept_the_next_waits_on_its_node(
    there: Coordinating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "MOST", 2)
    there.turn(poison(1), poison(2), poison(3), poison(3), Heard("db2", batch(4, 4)))
    assert (len(there.layout.set_aside()), position(there)) == (2, 2)
    waits = [event for event in told(there) if "waits on its node" in event]
    assert len(waits) == 1 and str(there.layout.aside) in waits[0]
    there.layout.set_aside()[0].unlink()
    there.turn(poison(3), Heard("db2", batch(4, 4)))
    assert position(there) == 4


def spoil(there: Coordinating, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `aside` what nothing can be kept in."""
    match how:
        case "full":
            monkeypatch.setattr(aside, "MOST", 0)
        case "a file":
            there.layout.aside.touch()
        case "a link to nowhere":
            there.layout.aside.symlink_to("removed")
        case "a link to itself":
            there.layout.aside.symlink_to("aside")
        case number:  # a user without the right to write there: the tests run as root, who has it
            monkeypatch.setattr(aside, "create_new", partial(_refuse, int(number)))


def _refuse(number: int, path: Path) -> int:
    raise OSError(number, os.strerror(number), str(path))


REFUSED = [str(number) for number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)]


@pytest.mark.parametrize("how", ["a file", "a link to nowhere", "a link to itself", *REFUSED])
def test_where_none_can_be_kept_it_waits_on_its_node_and_the_coordinator_stays(
    there: Coordinating, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with monkeypatch.context() as spoilt:
        spoil(there, how, spoilt)
        there.turn(Heard("db2", batch(1, 1)), poison(2), Heard("db2", batch(3, 3)))
        assert position(there) == 1
        (waits,) = told(there)
        assert f"set aside in {there.layout.aside}:" in waits and "can write" in waits
    if there.layout.aside.is_symlink() or there.layout.aside.is_file():
        there.layout.aside.unlink()
    there.turn(poison(2), Heard("db2", batch(3, 3)))
    assert position(there) == 3


@pytest.mark.parametrize("how", ["full", "a file", *REFUSED])
def test_what_waits_of_several_streams_is_told_once_however_often_it_comes(
    there: Coordinating, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    spoil(there, how, monkeypatch)
    lines = LineBatch(b"another of db2's", 1, 1, [LogPart(b"of a file", "/l", 0, 2, BEYOND, ["x"], [2])])
    outcome = Heard("db2", Unfit(b"a third of db2's", 1, 1, "outcomes", NO_MESSAGE, "no message"))
    for _ in range(3):
        there.turn(poison(1), unfit(lines), outcome)
    assert len(told(there)) == 1


def test_keeping_one_looks_at_none_that_lies_there(there: Coordinating, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand, on a disk where each look is a journey, would stop every turn."""
    there.turn(*[poison(number) for number in range(1, 20)])
    looked = list[Path]()
    look = Path.stat

    def counted(path: Path, **how: bool) -> os.stat_result:
        looked.append(path)
        return look(path, **how)

    with monkeypatch.context() as watched:
        watched.setattr(Path, "stat", counted)
        there.turn(poison(20))
    assert position(there) == 20
    others = {path for path in looked if path.suffix == ".json" and not path.name.endswith("-20.json")}
    assert others == set()


@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskFailed), (errno.ESTALE, DiskFailed)],
)
def test_nothing_is_acknowledged_that_could_not_be_kept(
    there: Coordinating, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
) -> None:
    def broken(*arguments: object) -> None:
        raise OSError(number, "the disk says no")

    with monkeypatch.context() as disk:
        disk.setattr(aside, "write_synced", broken)
        with pytest.raises(raised):
            there.turn(poison(1))
    there.take_over("db3")
    assert (position(there), there.layout.set_aside()) == (None, [])
    there.turn(poison(1))
    assert position(there) == 1
